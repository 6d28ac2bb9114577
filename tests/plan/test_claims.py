"""Claims that physics refutes are caught, each for the right reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.catalog.accelerators import ACCELERATORS
from pilotage.catalog.anatomies import known_anatomy
from pilotage.catalog.prices import load_price_book
from pilotage.errors import UsageError
from pilotage.plan.claims import Claim, Verdict, check_claim, judge, read_claim

VISION = "meta-llama/Llama-3.2-11B-Vision-Instruct"
SMALL = "meta-llama/Llama-3.1-8B-Instruct"


def found(verdict: Verdict, limit: str) -> str:
    """The message of the finding that refutes, by its limit."""
    (one,) = [one for one in verdict.findings if one.limit == limit and one.holds is False]
    return one.message


def anatomy(name: str):
    known = known_anatomy(name)
    assert known is not None
    return known


class TestTheT4:
    SENTENCE = "Llama 3.2 11B Vision, 512×512 image + 128 tokens, p99 387 ms on a T4"  # noqa: RUF001

    def test_is_read(self):
        claim = read_claim(self.SENTENCE)
        assert claim.model.family == "mllama"
        assert claim.device is ACCELERATORS["t4"]
        assert (claim.completion, claim.image_width, claim.images) == (128, 512, 1)
        assert claim.latency_p99_s == pytest.approx(0.387)

    def test_weights_do_not_fit(self):
        message = found(check_claim(read_claim(self.SENTENCE)), "memory")
        assert "19.9 GiB of weights" in message
        assert "15 GiB" in message

    def test_each_token_reads_the_weights(self):
        verdict = check_claim(read_claim(self.SENTENCE))
        assert "320 GB/s" in found(verdict, "latency")
        model = verdict.findings
        assert not verdict.possible
        assert model

    def test_the_floor_is_seconds(self):
        """128 tokens of some 20 GB at 320 GB/s: between 7 and 9 seconds."""
        message = found(check_claim(read_claim(self.SENTENCE)), "latency")
        seconds = float(message.partition("at least ")[2].split()[0])
        assert 7 < seconds < 9

    def test_it_has_no_bf16(self):
        verdict = check_claim(read_claim(self.SENTENCE))
        (one,) = [one for one in verdict.findings if one.limit == "number format"]
        assert "no bf16" in one.message
        claimed = check_claim(read_claim(self.SENTENCE.replace("Vision", "Vision in bf16")))
        assert "no bf16" in found(claimed, "number format")

    def test_nor_does_an_h100(self):
        verdict = check_claim(read_claim(self.SENTENCE.replace("T4", "H100")))
        message = found(verdict, "latency")
        assert "3,350 GB/s" in message
        assert "722 ms" in message


@pytest.mark.parametrize(
    ("text", "limit", "says"),
    [
        ("11B is 22 GB in fp32", "bytes", "4 bytes a parameter"),
        ("11B is 11 GB in bf16", "bytes", "2 bytes a parameter"),
        ("Fargate has GPUs", "no GPU", "Fargate has no GPUs"),
        ("GPU tasks run on Fargate", "no GPU", "EC2"),
        ("Four uvicorn workers for one GPU", "copies", "4 copies"),
        ("4 workers share 2 GPUs", "copies", "4 copies"),
        ("LLMs need 2–4× the model size in GPU memory", "rule of thumb", "KV cache"),  # noqa: RUF001
        ("you need 3x the model size", "rule of thumb", "weights"),
        (
            "Async pydantic validators keep the event loop free",
            "synchronous",
            "pydantic validators are synchronous",
        ),
    ],
)
def test_refuted_statements(text: str, limit: str, says: str):
    verdict = judge(text)
    assert verdict is not None
    assert not verdict.possible
    assert says in found(verdict, limit)


def test_both_sizes_of_a_sentence_are_judged():
    verdict = judge("11B is 22 GB in fp32 and 11 GB in bf16")
    assert verdict is not None
    assert [one.holds for one in verdict.findings] == [False, False]


def test_true_statements_stand():
    sizes = judge("11B is 44 GB in fp32 and 22 GB in bf16")
    assert sizes is not None
    assert sizes.possible
    workers = judge("two uvicorn workers for two GPUs")
    assert workers is not None
    assert workers.possible


def test_copies_of_the_model_are_added_up():
    verdict = judge("Four uvicorn workers for one GPU", anatomy(SMALL))
    assert verdict is not None
    assert "4 x 15 GiB = 59.8 GiB" in found(verdict, "copies")
    copied = check_claim(Claim(model=anatomy(SMALL), device=ACCELERATORS["l40s"], copies=4))
    assert "4 copies" in found(copied, "memory")


def test_other_sentences_are_none():
    assert judge("Llamas are mammals") is None


def test_throughput_is_bound_by_bandwidth_and_memory():
    claim = Claim(
        model=anatomy(SMALL),
        device=ACCELERATORS["l4"],
        tokens_per_s=100_000,
        prompt=500,
        completion=200,
    )
    assert "tokens/s" in found(check_claim(claim), "throughput")


def test_cost_names_the_instance():
    claim = Claim(model=anatomy(SMALL), device=ACCELERATORS["l4"], usd_per_month=100)
    message = found(check_claim(claim, load_price_book()), "cost")
    assert "g6.xlarge" in message
    assert "730 h" in message


def test_without_a_device_all_are_tried():
    easy = Claim(model=anatomy(SMALL), latency_p99_s=30, completion=100)
    assert check_claim(easy).possible
    hard = Claim(model=anatomy(SMALL), latency_p99_s=1e-4, completion=100)
    verdict = check_claim(hard)
    assert not verdict.possible
    assert "no accelerator" in verdict.instead


@pytest.mark.parametrize(
    "text", ["", "nonsense", "Llama 9 on a T4", "Llama 3.1 8B Instruct on a T4, $.,. a month"]
)
def test_what_cannot_be_read_shows_the_forms(text: str):
    with pytest.raises(UsageError) as caught:
        read_claim(text)
    assert caught.value.exit_code == 2


def test_images_need_eyes():
    with pytest.raises(UsageError, match="takes no images"):
        check_claim(Claim(model=anatomy(SMALL), device=ACCELERATORS["l4"], images=1))


@settings(max_examples=40, deadline=None)
@given(
    device=st.sampled_from([one for one in ACCELERATORS.values() if not one.neuron]),
    seconds=st.floats(0.01, 100),
    completion=st.integers(1, 500),
)
def test_more_time_never_makes_a_claim_impossible(device, seconds, completion):
    claim = Claim(model=anatomy(SMALL), device=device, latency_p99_s=seconds, completion=completion)
    looser = Claim(
        model=anatomy(SMALL), device=device, latency_p99_s=2 * seconds, completion=completion
    )
    assert check_claim(looser).possible or not check_claim(claim).possible


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_verdict_or_a_usage_error(text: str):
    try:
        verdict = judge(text) or check_claim(read_claim(text))
    except UsageError:
        return
    assert verdict.claim
