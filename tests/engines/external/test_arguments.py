"""Command lines from the spec, against the help texts of real versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilotage.devices import DeviceSlice
from pilotage.engines.external.command import Address, Command, clean_environment
from pilotage.engines.external.llama_server_arguments import llama_server_command
from pilotage.engines.external.settings import ExternalSettings, external_settings
from pilotage.engines.external.versions import KnownFlags, parse_help
from pilotage.engines.external.vllm_arguments import vllm_command
from pilotage.errors import UsageError
from pilotage.spec.model import ModelSpec
from pilotage.spec.serving import ServingSpec

HERE = Path(__file__).parent
VLLM = KnownFlags(
    "0.32.0", parse_help((HERE / "vllm-0.32.0-help.txt").read_text()), True, ("-P", "-m", "vllm")
)
OLD_VLLM = KnownFlags(
    "0.6.0",
    (VLLM.flags | {"--swap-space", "--task"})
    - {"--kv-offloading-size", "--runner", "--uds", "--no-enable-prefix-caching"},
    False,
)
LLAMA = KnownFlags("9", parse_help((HERE / "llama-server-help.txt").read_text()), True)
SOCKET = Address(socket="/run/engine.sock")
GPUS = DeviceSlice(worker=0, kind="cuda", cores=(0, 1), devices=(0, 1, 2, 3))
CPU = DeviceSlice(worker=0, kind="cpu", cores=(0, 1))


def settings(
    engine: Any, *, device: DeviceSlice = GPUS, model: Any = None, **serving: Any
) -> ExternalSettings:
    return external_settings(
        ModelSpec.model_validate({"source": "hf://owner/big", **(model or {})}),
        ServingSpec.model_validate(serving),
        engine=engine,
        path="/models/big",
        task="generate",
        device=device,
        max_lora_rank=24,
    )


def vllm(known: KnownFlags = VLLM, address: Address = SOCKET, **options: Any) -> Command:
    return vllm_command(
        "/venv/bin/python", settings("vllm", **options), known, address, "key", outer={}, device={}
    )


def llama(known: KnownFlags = LLAMA, **options: Any) -> Command:
    return llama_server_command(
        "/bin/llama-server", settings("llamacpp", **options), known, SOCKET, "key", outer={},
        device={},
    )  # fmt: skip


def value(command: Command, flag: str) -> str:
    return command.argv[command.argv.index(flag) + 1]


def test_vllm_gets_all_that_the_spec_says() -> None:
    command = vllm(
        model={"dtype": "bf16", "quantization": "awq", "max_model_len": 4096},
        tensor_parallel=2, pipeline_parallel=2, gpu_memory_utilization=0.85, kv_cache_dtype="fp8",
        max_num_seqs=32, max_num_batched_tokens=8192, swap_space="4GiB",
        lora_adapters={"sql": "/adapters/sql"},
    )  # fmt: skip
    assert command.argv[:4] == ("/venv/bin/python", "-P", "-m", "vllm")
    told = {
        "--model": "/models/big", "--served-model-name": "big", "--uds": "/run/engine.sock",
        "--dtype": "bfloat16", "--quantization": "awq", "--max-model-len": "4096",
        "--tensor-parallel-size": "2", "--pipeline-parallel-size": "2",
        "--gpu-memory-utilization": "0.85", "--kv-cache-dtype": "fp8", "--max-num-seqs": "32",
        "--max-num-batched-tokens": "8192", "--lora-modules": "sql=/adapters/sql",
        "--max-lora-rank": "32",
        "--kv-offloading-size": "8",  # 4 GiB for each of two tensor-parallel devices
    }  # fmt: skip
    assert {flag: value(command, flag) for flag in told} == told
    assert {"--enable-lora", "--enable-prefix-caching"} <= set(command.argv)


def test_no_secret_and_no_remote_code_on_the_command_line() -> None:
    for command in (vllm(), llama(device=CPU)):
        assert "key" not in command.argv
        assert "key" in command.environment.values()
        assert "--trust-remote-code" not in command.argv


def test_defaults_are_left_to_vllm() -> None:
    argv = vllm(device=CPU).argv
    for flag in ("--max-model-len", "--max-num-seqs", "--dtype", "--tensor-parallel-size"):
        assert flag not in argv
    assert "--gpu-memory-utilization" not in argv  # there is no GPU


def test_an_older_version_gets_its_own_options() -> None:
    command = vllm(OLD_VLLM, Address(port=4321), swap_space="4GiB")
    assert value(command, "--swap-space") == "4"
    assert (value(command, "--host"), value(command, "--port")) == ("127.0.0.1", "4321")


def test_what_a_version_lacks_is_refused_by_name_only_where_it_was_asked_for() -> None:
    assert "--no-enable-prefix-caching" not in vllm(OLD_VLLM).argv
    with pytest.raises(UsageError, match=r"serving\.prefix_caching.*0\.6\.0 has no option"):
        vllm(OLD_VLLM, prefix_caching=False)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_vllm_does_not_quantise_to_integers(dtype: str) -> None:
    with pytest.raises(UsageError, match=dtype):
        vllm(model={"dtype": dtype})


def test_fp8_is_a_quantisation_in_vllm() -> None:
    assert value(vllm(model={"dtype": "fp8"}), "--quantization") == "fp8"
    with pytest.raises(UsageError, match="contradict"):
        vllm(model={"dtype": "fp8", "quantization": "awq"})


def test_parallelism_beyond_the_devices_is_refused() -> None:
    with pytest.raises(UsageError, match="needs 8 devices, a worker has 4"):
        vllm(tensor_parallel=8)


def test_vllm_on_a_cpu() -> None:
    environment = vllm(device=CPU, kv_cache="1536MiB").environment
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert environment["OMP_NUM_THREADS"] == "2"


def test_llama_server_gets_context_for_every_slot() -> None:
    command = llama(device=CPU, model={"max_model_len": 2048}, max_num_seqs=8, prefix_caching=False)
    assert (value(command, "--ctx-size"), value(command, "--parallel")) == ("16384", "8")
    assert value(command, "--n-gpu-layers") == "0"
    assert value(command, "--host") == "/run/engine.sock"
    assert {"--metrics", "--no-slots", "--no-cache-prompt", "--no-ui"} <= set(command.argv)
    assert value(llama(), "--n-gpu-layers") == "999"


@pytest.mark.parametrize(
    "asked",
    [{"tensor_parallel": 2}, {"kv_cache_dtype": "fp8"}, {"swap_space": "1GiB"},
     {"lora_adapters": {"a": "/a"}}],
)  # fmt: skip
def test_what_llama_server_has_nothing_for(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"llama-server has nothing"):
        llama(**asked)


def test_an_older_llama_server() -> None:
    known = KnownFlags("1", LLAMA.flags - {"--no-ui", "--no-slots", "--offline"}, True)
    argv = llama(known, device=CPU).argv
    assert "--no-webui" in argv
    assert "--no-slots" not in argv


def test_engines_see_no_secrets_and_no_options_beside_the_specs() -> None:
    outer = {
        "PATH": "/bin", "HF_TOKEN": "a", "AWS_SECRET_ACCESS_KEY": "b", "OPENAI_API_KEY": "c",
        "VLLM_API_KEY": "d", "LLAMA_ARG_HOST": "0.0.0.0", "VLLM_SERVER_DEV_MODE": "1",
        "CUDA_HOME": "/cuda", "VLLM_LOGGING_LEVEL": "INFO", "HTTPS_PROXY": "http://u:p@h",
    }  # fmt: skip
    kept = clean_environment(outer, {"CUDA_VISIBLE_DEVICES": "0"}, {"VLLM_API_KEY": "own"})
    assert kept == {
        "PATH": "/bin", "CUDA_HOME": "/cuda", "VLLM_LOGGING_LEVEL": "INFO",
        "CUDA_VISIBLE_DEVICES": "0", "VLLM_API_KEY": "own", "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1",
    }  # fmt: skip
