"""``pilotage ship images``: the file, the lines, and what is missing to run them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage.cli.ship import app
from pilotage.errors import PilotageError, ResourceError, TargetError, UsageError

DIGEST = "sha256:" + "cd" * 32
SPEC = """\
name: receipts
model: {source: "hf://meta-llama/Llama-3.2-11B-Vision-Instruct"}
shipping: {target: local, account: "123456789012", image: {engine: %s}}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "receipts.yaml"
    file.write_text(SPEC % "cuda")
    return file


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["images", *arguments])
    if isinstance(result.exception, PilotageError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_dockerfile_is_written_and_the_lines_are_printed(spec: Path) -> None:
    lines = run(str(spec)).splitlines()
    assert lines[0] == "cd ship/receipts-image"
    assert any(line.startswith("docker build") for line in lines)
    assert lines[-1].startswith("docker push 123456789012.dkr.ecr.us-east-1.amazonaws.com/")
    assert "ARG BASE_DIGEST\n" in Path("ship/receipts-image/image/Dockerfile").read_text()


def test_a_digest_pins_it_and_can_be_given_anew(spec: Path) -> None:
    run(str(spec))
    told = json.loads(run(str(spec), "--digest", DIGEST, "--json"))
    assert (told["digest"], told["warnings"]) == (DIGEST, [])
    assert told["base"].startswith("docker.io/vllm/vllm-openai:")
    assert DIGEST in Path("ship/receipts-image/image/Dockerfile").read_text()


def test_both_ways_to_a_digest_contradict_each_other(spec: Path) -> None:
    with pytest.raises(UsageError, match="contradict"):
        run(str(spec), "--resolve", "--digest", DIGEST)


def test_an_image_that_exists_is_not_built(spec: Path) -> None:
    spec.write_text(spec.read_text().replace("engine: cuda", f"uri: 'ghcr.io/us/a@{DIGEST}'"))
    with pytest.raises(UsageError) as refused:
        run(str(spec))
    assert refused.value.where == "shipping.image.uri"


def test_no_builder_is_said_after_the_lines(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ResourceError, match="nothing here builds images"):
        run(str(spec), "--build")
    assert Path("ship/receipts-image/image/Dockerfile").exists()


def test_a_build_needs_its_wheels(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = spec.parent / "docker"
    builder.write_text(f'#!/bin/sh\necho "$@" >> {spec.parent}/asked\n')
    builder.chmod(0o755)
    monkeypatch.setenv("PATH", str(spec.parent))
    with pytest.raises(UsageError, match="no wheels") as refused:
        run(str(spec), "--build")
    assert "pip download" in str(refused.value.hint)
    Path("ship/receipts-image/image/wheels").mkdir()
    run(str(spec), "--build", "--push")
    asked = (spec.parent / "asked").read_text().splitlines()
    assert asked[-2].startswith("build --platform linux/amd64 --tag 123456789012.dkr.ecr.")
    assert asked[-1].startswith("push 123456789012.dkr.ecr.")


def test_a_registry_out_of_reach_is_said(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy that is not there: nothing of this test leaves the machine.
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TargetError, match="cannot be asked"):
        run(str(spec), "--resolve")
