"""What the engine at hand can do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engines.external.files import inspect_external, largest_lora_rank
from pilotage.engines.external.program import find_program
from pilotage.engines.external.versions import parse_help, probe
from pilotage.errors import ModelError, UnsupportedModelError, UsageError

STAND_IN = Path(__file__).parents[2] / "serve" / "external" / "stand_in_engine.py"


def test_every_spelling_of_an_option_is_found() -> None:
    text = (
        "  --help\n"
        "-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers (see --device)\n"
        "  --enable-x, --no-enable-x\n"
        "                        Text that names --not-an-option.\n"
        "-m,    --model FNAME                     path\n"
    )
    assert parse_help(text) == {
        "--help", "-ngl", "--gpu-layers", "--n-gpu-layers", "--enable-x", "--no-enable-x", "-m",
        "--model",
    }  # fmt: skip


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    assert all(flag.startswith("-") for flag in parse_help(text))


def test_the_answer_is_kept_until_the_program_changes(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    program.write_text(STAND_IN.read_text())
    program.chmod(0o755)
    environment = dict(os.environ)
    known = probe("llamacpp", str(program), tmp_path / "cache", environment)
    assert (known.version, known.unix_socket) == ("1.2.3 (build 9)", True)
    assert known.first("--no-ui", "--metrics") == "--metrics"
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"--metrics", b"--changed"))
    assert "--changed" in probe("llamacpp", str(program), tmp_path / "cache", environment).flags
    program.write_text(STAND_IN.read_text() + "\n")
    assert "--metrics" in probe("llamacpp", str(program), tmp_path / "cache", environment).flags


def test_what_is_no_engine_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    program.write_text("#!/bin/sh\necho Illegal instruction\nkill -ILL $$\n")
    program.chmod(0o755)
    with pytest.raises(UsageError, match="does not run here"):
        probe("llamacpp", str(program), tmp_path, dict(os.environ))
    (tmp_path / "python").symlink_to("/bin/false")
    with pytest.raises(UsageError, match="no vLLM"):
        probe("vllm", str(tmp_path / "python"), tmp_path, dict(os.environ))


def test_programs_are_found_on_the_path(tmp_path: Path) -> None:
    for name in ("llama-server", "vllm", "python"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert find_program("llamacpp", None, str(tmp_path)) == str(tmp_path / "llama-server")
    assert find_program("vllm", None, str(tmp_path)) == str(tmp_path / "python")
    with pytest.raises(UsageError, match="not on the PATH"):
        find_program("llamacpp", None, "/nowhere")
    with pytest.raises(UsageError, match="no such program"):
        find_program("vllm", "/nowhere/python", str(tmp_path))


def test_llama_server_reads_files_and_vllm_safetensors(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="GGUF"):
        inspect_external(tmp_path, "llamacpp", "auto")
    with pytest.raises(ModelError, match=r"config\.json"):
        inspect_external(tmp_path, "vllm", "auto")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(UnsupportedModelError, match="safetensors"):
        inspect_external(tmp_path, "vllm", "auto")
    with pytest.raises(UsageError, match="question-answering"):
        inspect_external(tmp_path, "vllm", "question-answering")


def test_adapters_tell_their_rank(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 48}')
    assert largest_lora_rank({"a": str(tmp_path)}) == 48
    assert largest_lora_rank({}) is None
    with pytest.raises(UsageError, match="adapter_config"):
        largest_lora_rank({"a": "/nowhere"})
