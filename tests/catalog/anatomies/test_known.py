"""The well-known models: their counts are those that their publishers state."""

import pytest

from pilotage.catalog.anatomies import known_anatomy, known_config, known_models, nearest_known

STATED = {
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.3-70B-Instruct": 70_553_706_496,
    "meta-llama/Llama-3.1-405B-Instruct": 405_853_388_800,
    "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400,
    "meta-llama/Llama-3.2-3B-Instruct": 3_212_749_824,
    "meta-llama/Llama-3.2-11B-Vision-Instruct": 10_670_220_835,
    "mistralai/Mistral-7B-Instruct-v0.1": 7_241_732_096,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46_702_792_704,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-72B-Instruct": 72_706_203_648,
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "Qwen/Qwen3-Next-80B-A3B-Instruct": 79_674_391_296,
    "openai/gpt-oss-20b": 20_914_757_184,
    "openai/gpt-oss-120b": 116_829_156_672,
    "deepseek-ai/DeepSeek-V3": 671_026_404_352,
    "EleutherAI/gpt-j-6b": 6_050_882_784,
    "tiiuae/falcon-7b": 6_921_720_704,
    "tiiuae/falcon-40b": 41_303_293_952,
    "tiiuae/falcon-180B": 179_522_565_120,
    "google/gemma-2-9b-it": 9_241_705_984,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
}
"""Totals on the models' pages (DeepSeek-V3: without its multi-token-prediction layer)."""


@pytest.mark.parametrize(("name", "count"), STATED.items())
def test_parameters_are_the_published_ones(name: str, count: int) -> None:
    anatomy = known_anatomy(name)
    assert anatomy is not None
    assert anatomy.parameters == count


def test_active_parameters_of_mixtures() -> None:
    # "3B active" and "22B active" leave the embedding out; DeepSeek's "37B" counts it.
    for name, low, high in (
        ("Qwen/Qwen3-30B-A3B", 2.9e9, 3.4e9),
        ("Qwen/Qwen3-235B-A22B", 21.0e9, 22.5e9),
        ("deepseek-ai/DeepSeek-V3", 36.0e9, 38.0e9),
        ("openai/gpt-oss-120b", 5.0e9, 5.2e9),
        ("mistralai/Mixtral-8x7B-v0.1", 12.5e9, 13.0e9),
    ):
        anatomy = known_anatomy(name)
        assert anatomy is not None
        assert low < anatomy.active_parameters < high


def test_kv_cache_of_every_kind_of_attention() -> None:
    def values(name: str, tokens: int) -> int:
        anatomy = known_anatomy(name)
        assert anatomy is not None
        return anatomy.kv_values(tokens)

    assert values("meta-llama/Llama-3.1-8B-Instruct", 1) * 2 == 128 * 1024  # 128 KiB in bf16
    assert values("deepseek-ai/DeepSeek-V3", 1) == 61 * (512 + 64)  # the latent only
    assert values("tiiuae/falcon-7b", 1) == 32 * 2 * 64  # one head for 71
    mistral = "mistralai/Mistral-7B-Instruct-v0.1"
    assert values(mistral, 9000) == values(mistral, 4096)  # every layer slides
    oss = "openai/gpt-oss-20b"
    assert values(oss, 1128) - values(oss, 128) == 1000 * 12 * 2 * 8 * 64  # half of them do
    delta = "Qwen/Qwen3-Next-80B-A3B-Instruct"
    assert values(delta, 2) - values(delta, 1) == 12 * 2 * 2 * 256  # a quarter of them grow
    assert values("google-bert/bert-base-uncased", 100) == 0


def test_lookup_by_other_names() -> None:
    assert known_config("qwen/QWEN3-8b") == known_config("Qwen/Qwen3-8B") is not None
    assert known_config("Llama-3.3-70B-Instruct") is not None
    assert known_config("nobody/nothing") is None
    assert nearest_known("Qwen/Qwen2.5-7B-Instrukt") == "Qwen/Qwen2.5-7B-Instruct"
    assert len(known_models()) == len(set(known_models()))


def test_stored_formats() -> None:
    awq = known_anatomy("Qwen/Qwen2.5-7B-Instruct-AWQ")
    assert awq is not None
    assert awq.stored is not None
    assert awq.stored.bits == pytest.approx(4.16, abs=0.01)
    assert awq.stored.quantised_parameters < awq.parameters - 2 * awq.vocab * awq.hidden + 1
    oss = known_anatomy("openai/gpt-oss-20b")
    assert oss is not None
    assert oss.stored is not None
    assert oss.stored.name == "mxfp4"
