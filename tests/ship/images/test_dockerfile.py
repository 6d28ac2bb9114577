"""Dockerfiles of the three engines, against hadolint and against what an image must not have."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from pilotage import __version__
from pilotage.errors import UsageError
from pilotage.ship.images import ImageEngine, dockerfile, load_bases

DIGEST = "sha256:" + "0123456789abcdef" * 4
ENGINES = get_args(ImageEngine)
HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not installed")
def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    files = []
    for engine in ENGINES:
        for name, digest in (("pinned", DIGEST), ("open", None)):
            file = tmp_path / f"Dockerfile.{engine}.{name}"
            file.write_text(dockerfile(engine, digest=digest))
            files.append(str(file))
    checked = subprocess.run(
        [str(HADOLINT), "--no-color", *files], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_base_is_pinned_by_the_digest_that_is_given(engine: ImageEngine) -> None:
    text = dockerfile(engine, digest=DIGEST)
    base = load_bases()[engine]
    assert f"ARG BASE_DIGEST={DIGEST}\n" in text
    assert f"FROM {base.name}@${{BASE_DIGEST}}\n" in text


@pytest.mark.parametrize("engine", ENGINES)
def test_without_a_digest_the_argument_has_no_default_so_that_a_build_fails(
    engine: ImageEngine,
) -> None:
    assert load_bases()[engine].digest is None, "then the README's sentence is to be changed"
    text = dockerfile(engine)
    assert "ARG BASE_DIGEST\nFROM" in text
    assert "sha256:" not in text


@pytest.mark.parametrize("wrong", ["latest", "sha256:abc", DIGEST + "0", DIGEST.upper()])
def test_what_is_no_digest_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="is no digest") as refused:
        dockerfile("cpu", digest=wrong)
    assert "--resolve" in str(refused.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_it_runs_without_root_and_without_a_shell(engine: ImageEngine) -> None:
    text = dockerfile(engine, digest=DIGEST)
    lines = text.splitlines()
    users = [line for line in lines if line.startswith("USER")]
    assert users[-1] == "USER 10001:10001"
    entrypoint = next(line for line in lines if line.startswith("ENTRYPOINT"))
    assert entrypoint.startswith('ENTRYPOINT ["/opt/pilotage/bin/python", ')
    health = re.search(r"HEALTHCHECK .*\\\n +CMD (.*)", text)
    assert health is not None
    assert health[1].startswith('["/opt/pilotage/bin/python", ')
    assert "curl" not in text
    assert "localhost" not in text


@pytest.mark.parametrize("engine", ENGINES)
def test_it_copies_nothing_and_installs_from_mounted_wheels_alone(engine: ImageEngine) -> None:
    text = dockerfile(engine, digest=DIGEST)
    assert not re.search(r"^(COPY|ADD) ", text, re.MULTILINE)
    assert "--no-index" in text
    assert f'=={__version__}"' in text


def test_engines_that_come_with_packages_keep_them() -> None:
    assert "--system-site-packages" in dockerfile("cuda")
    assert "--system-site-packages" in dockerfile("neuron")
    assert "--system-site-packages" not in dockerfile("cpu")
    assert "PILOTAGE_ENGINE_COMMAND=python3" in dockerfile("cuda")
    assert "PILOTAGE_ENGINE_COMMAND" not in dockerfile("cpu")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_base_has_a_python_that_pilotage_runs_on(engine: ImageEngine) -> None:
    major, minor = load_bases()[engine].python.split(".")
    assert (int(major), int(minor)) >= (3, 11)
