"""``pilotage fetch`` as it is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import pilotage

import pilotage.cli.fetch as fetch_module
from pilotage.cli.fetch import SOURCE_VARIABLE, from_environment
from pilotage.spec import Deployment, load
from pilotage.spec.model import EMBEDDED_SHA256, EMBEDDED_SOURCE

SHA256 = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"  # of b"12345"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"12345")
    return path


@pytest.fixture
def spec(tmp_path: Path, model: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(f"name: demo\nmodel:\n  source: {model}\n  sha256: {SHA256}\n")
    return path


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """In this process; the next test runs it as one."""
    return pilotage("fetch", *arguments, environment={SOURCE_VARIABLE: None, **environment})


def test_the_path_alone_is_on_standard_output(model: Path) -> None:
    command = [sys.executable, "-m", "pilotage.cli.main", "fetch", str(model), "--sha256", SHA256]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{model}\n", "")
    again = run(model, "--sha256", SHA256)
    assert (again.returncode, again.stdout, again.stderr) == (0, f"{model}\n", "")


def test_json_ends_with_what_was_fetched(model: Path) -> None:
    done = run(model, "--sha256", SHA256, "--json")
    *events, last = map(json.loads, done.stdout.splitlines())
    assert {event["event"] for event in events} == {"progress"}
    assert last == {
        "event": "fetched",
        "path": str(model),
        "from_cache": True,
        "bytes": 5,
        "source": model.as_uri(),
        "id": str(model),
        "files": [{"path": "model.gguf", "size": 5, "sha256": SHA256}],
    }


def test_an_error_is_one_line_and_standard_output_stays_empty(model: Path) -> None:
    done = run(model, "--sha256", "0" * 64)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {model.as_uri()}: model.gguf is not the file")
    done = run(model.with_name("none"))
    assert "there is no such file or folder" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_source_it_says_how_to_name_one() -> None:
    done = run()
    assert done.returncode == 2
    assert "a source is missing" in done.stderr
    assert SOURCE_VARIABLE in done.stderr


def test_the_source_may_come_from_the_environment(model: Path) -> None:
    assert run(PILOTAGE_SOURCE=str(model)).stdout == f"{model}\n"
    other = model.with_name("other.gguf")
    other.write_bytes(b"x")
    assert run(other, PILOTAGE_SOURCE=str(model)).stdout == f"{other}\n", "what is said here wins"


def test_a_spec_file_names_the_source_and_its_digest(spec: Path, model: Path) -> None:
    assert run(spec).stdout == f"{model}\n"
    model.write_bytes(b"other")
    done = run(spec)
    assert done.returncode == 1
    assert SHA256 in done.stderr


def test_a_spec_s_model_from_elsewhere_must_have_the_same_bytes(spec: Path, model: Path) -> None:
    elsewhere = model.with_name("elsewhere.gguf")
    elsewhere.write_bytes(b"12345")
    assert run(spec, PILOTAGE_SOURCE=str(elsewhere)).stdout == f"{elsewhere}\n"
    elsewhere.write_bytes(b"other")
    assert "is not the file that was named" in run(spec, PILOTAGE_SOURCE=str(elsewhere)).stderr


def test_the_environment_s_source_changes_the_place_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, spec: Path, tmp_path: Path
) -> None:
    monkeypatch.delenv(SOURCE_VARIABLE, raising=False)
    deployment = load(spec)
    assert from_environment(deployment) == deployment
    for unchanged in ("", deployment.model.source, str(spec)):
        monkeypatch.setenv(SOURCE_VARIABLE, unchanged)
        assert from_environment(deployment) == deployment
    monkeypatch.setenv(SOURCE_VARIABLE, "hf://org/other")
    moved = from_environment(deployment)
    assert (moved.model.source, moved.model.sha256) == ("hf://org/other", SHA256)
    assert moved.model.name == deployment.model.name
    assert moved.name == deployment.name
    pinned = tmp_path / "pinned.yaml"
    pinned.write_text("name: d\nmodel: {source: hf://org/model, revision: abc}\n")
    assert from_environment(load(pinned)).model.revision is None


def test_the_embedded_model_s_digest_is_not_asked_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SOURCE_VARIABLE, "hf://org/other")
    assert Deployment().model.sha256 == EMBEDDED_SHA256
    assert from_environment(Deployment()).model.sha256 is None
    monkeypatch.setenv(SOURCE_VARIABLE, EMBEDDED_SOURCE)
    assert from_environment(Deployment()).model.sha256 == EMBEDDED_SHA256


def test_patterns_revision_and_home_reach_the_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, object] = {}

    def record(source: str, **options: object) -> None:
        seen.update(options, source=source)
        raise SystemExit

    monkeypatch.setattr(fetch_module, "fetch_model", record)
    with pytest.raises(SystemExit):
        fetch_module.fetch(
            "hf://org/model",
            revision="main",
            include=["*.gguf", "a"],
            exclude=["b"],
            home=tmp_path,
            verify=True,
        )
    del seen["progress"]
    assert seen == {
        "source": "hf://org/model",
        "revision": "main",
        "sha256": None,
        "include": ["*.gguf", "a"],
        "exclude": ["b"],
        "home": tmp_path,
        "verify": True,
    }
