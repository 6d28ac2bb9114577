"""Build and push: the lines that are printed, and what answers on a machine."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from shipments import ACCOUNT, DIGEST, G5, finance, receipts

from pilotage import __version__
from pilotage.errors import ResourceError, UsageError
from pilotage.ship.images import (
    build_command,
    content_of_wheels,
    find_builder,
    image_name,
    login_line,
    push_commands,
    render_image,
    run,
    shown,
    wheel_command,
)


def program(folder: Path, name: str, script: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_the_name_is_in_the_accounts_registry_where_it_is_known() -> None:
    assert image_name(receipts()) == f"pilotage-receipts:{__version__}-cuda"
    registry = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
    inside = receipts(account=ACCOUNT, region="eu-west-1")
    assert image_name(inside) == f"{registry}/pilotage-receipts:{__version__}-cuda"
    assert image_name(receipts(), "999999999999").startswith("999999999999.dkr.ecr.us-east-1.")


def test_what_is_built_of_something_else_has_another_tag(tmp_path: Path) -> None:
    # The repository's tags never move: a second push under the first one's tag is refused.
    names = [
        found.name
        for found in (
            render_image(receipts()),
            render_image(receipts(), digest=DIGEST),
            render_image(receipts(), wheels="pilotage-1.whl 00"),
            render_image(receipts(), wheels="pilotage-1.whl 01"),
        )
        if found is not None
    ]
    assert len(set(names)) == 4
    assert {one.rpartition("-")[0] for one in names} == {f"pilotage-receipts:{__version__}-cuda"}
    again = render_image(receipts())
    assert again is not None
    assert again.name == names[0]
    # A manifest names the image by its tag, so that is known before it is built.
    cluster = replace(receipts(), target="kubernetes")
    in_manifests = [render_image(cluster), render_image(cluster, digest=DIGEST)]
    assert {one.name for one in in_manifests if one is not None} == {image_name(cluster)}
    assert content_of_wheels(tmp_path / "wheels") == ""
    (tmp_path / "b.whl").write_bytes(b"1")
    (tmp_path / "a.whl").write_bytes(b"2")
    (tmp_path / "notes.txt").write_bytes(b"3")
    before = content_of_wheels(tmp_path)
    assert [line.split()[0] for line in before.splitlines()] == ["a.whl", "b.whl"]
    (tmp_path / "b.whl").write_bytes(b"4")
    assert content_of_wheels(tmp_path) != before


def test_docker_makes_an_image_and_no_index_of_it() -> None:
    assert "--provenance=false" in build_command("a:1", Path("image"))
    # Podman makes none, and does not know the flag.
    assert "--provenance=false" not in build_command(
        "a:1", Path("image"), program="/usr/bin/podman"
    )


def test_a_build_is_told_its_digest() -> None:
    command = build_command("a:1", Path("image"), digest=DIGEST)
    assert command[-3:] == ["--build-arg", f"BASE_DIGEST={DIGEST}", "image"]
    with pytest.raises(UsageError):
        build_command("a:1", Path("image"), digest="latest")


def test_wheels_are_those_of_the_bases_python_and_machine() -> None:
    command = wheel_command("cuda", Path("image"), arm=True)
    assert command[command.index("--python-version") + 1] == "3.12"
    assert "manylinux_2_28_aarch64" in command
    assert "--only-binary=:all:" in command


def test_a_name_without_a_registry_cannot_be_pushed() -> None:
    with pytest.raises(UsageError, match="no registry") as refused:
        push_commands("pilotage-receipts:1")
    assert "shipping.account" in str(refused.value)
    assert login_line("ghcr.io/us/receipts:1") is None
    assert push_commands("ghcr.io/us/receipts:1") == [["docker", "push", "ghcr.io/us/receipts:1"]]


def test_lines_can_be_pasted_into_a_shell() -> None:
    assert shlex.split(shown(["docker", "build", "a folder"])) == ["docker", "build", "a folder"]


def test_rendered_with_an_account_all_four_lines_are_there() -> None:
    found = render_image(receipts(account=ACCOUNT))
    assert found is not None
    assert sorted(found.files) == ["image/.dockerignore", "image/Dockerfile"]
    wheels, build, login, push = found.commands
    assert "pip download" in wheels
    assert f"--tag {found.name} --provenance=false image" in build
    assert login.endswith(f"--password-stdin {ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com")
    assert push == f"docker push {found.name}"
    assert "BASE_DIGEST" in found.warnings[0]


def test_a_digest_that_is_given_needs_no_warning() -> None:
    found = render_image(receipts(), digest=DIGEST)
    assert found is not None
    assert found.warnings == ()
    assert len(found.commands) == 2
    assert DIGEST in found.files["image/Dockerfile"]


def test_an_arm_instance_gets_an_arm_image() -> None:
    found = render_image(receipts(replace(G5, instance_type="g5g.2xlarge")))
    assert found is not None
    assert "linux/arm64" in found.commands[1]
    assert "aarch64" in found.commands[0]


def test_an_image_that_exists_is_not_rendered() -> None:
    assert render_image(finance()) is None


def test_no_builder_says_so(tmp_path: Path) -> None:
    found = find_builder(str(tmp_path))
    assert (found.program, found.problem) == (None, "neither docker nor podman is installed")


def test_a_client_without_its_daemon_is_no_builder(tmp_path: Path) -> None:
    # Docker's own client has exited 0 here, and told it on stderr.
    program(tmp_path, "docker", "echo 'Cannot connect to the Docker daemon' >&2")
    found = find_builder(str(tmp_path))
    assert found.program is None
    assert found.problem == "docker is installed, but its daemon does not answer"


def test_the_first_that_answers_builds(tmp_path: Path) -> None:
    program(tmp_path, "docker", "exit 1")
    podman = program(tmp_path, "podman", "echo all well")
    assert find_builder(str(tmp_path)).program == str(podman)


def test_a_command_that_fails_is_an_error(tmp_path: Path) -> None:
    run([str(program(tmp_path, "good", f"touch {tmp_path}/made"))])
    assert (tmp_path / "made").exists()
    with pytest.raises(ResourceError, match="status 3"):
        run([str(program(tmp_path, "bad", "exit 3"))])


def test_this_machine_is_asked() -> None:
    found = find_builder()
    assert (found.program is None) == (found.problem is not None)
    assert found.program is None or os.access(found.program, os.X_OK)
