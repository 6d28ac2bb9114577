"""What is refused before any process is started, and what a launch leaves behind: nothing."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.errors import ResourceError, StoreError, UsageError
from pilotage.serve import launch as launch_module
from pilotage.serve.config import GatewayConfig, WorkerConfig, read_config
from pilotage.serve.keys import KeyStore
from pilotage.serve.launch import ServePlan, launch, plan_serving
from pilotage.serve.listener import open_listener
from pilotage.serve.supervisor import Supervisor
from pilotage.spec import Deployment


@pytest.fixture(autouse=True)
def _a_machine_with_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launch_module, "free_memory", lambda: 4 << 30)
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "home"))


def plan(model: Path, model_fields: dict[str, Any] | None = None, **serving: Any) -> ServePlan:
    spec = Deployment.model_validate({"serving": serving, "model": model_fields or {}})
    return plan_serving(spec, [model])


# The plan -------------------------------------------------------------------------------------


def test_the_plan_covers_every_core_once(embedded_model: Path) -> None:
    cores = os.sched_getaffinity(0)
    planned = plan(embedded_model, workers=len(cores))
    assert [core for piece in planned.slices for core in piece.cores] == sorted(cores)
    assert planned.models[0].memory is not None
    assert planned.models[0].memory.kv_blocks > 0
    assert not planned.has_keys


def test_more_workers_than_cores_are_refused(embedded_model: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(UsageError, match=f"{cores + 1} workers for {cores} CPU core") as refusal:
        plan(embedded_model, workers=cores + 1)
    assert refusal.value.exit_code == 2
    assert f"at most {cores}" in str(refusal.value.hint)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org", "127.1"])
def test_beyond_loopback_nobody_gets_in_without_a_key(embedded_model: Path, host: str) -> None:
    with pytest.raises(UsageError, match="no API keys") as refusal:
        plan(embedded_model, host=host)
    assert refusal.value.exit_code == 2
    assert host in str(refusal.value)
    assert "pilotage keys add" in str(refusal.value.hint)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_no_key(embedded_model: Path, host: str) -> None:
    assert not plan(embedded_model, host=host).has_keys


def test_with_a_key_any_address_will_do(embedded_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    store = KeyStore(path)
    store.add("ci")
    assert plan(embedded_model, host="0.0.0.0", api_keys=str(path)).has_keys
    assert plan(embedded_model, host="::", api_keys=str(path)).has_keys


def test_beyond_loopback_without_keys_for_a_platform_that_checks(embedded_model, tmp_path):
    keys = str(tmp_path / "none.json")
    found = plan(embedded_model, host="0.0.0.0", access="platform", api_keys=keys)
    assert not found.has_keys


def test_a_number_format_that_the_files_do_not_have_is_refused(embedded_model: Path) -> None:
    with pytest.raises(UsageError, match="not as bf16") as refusal:
        plan(embedded_model, {"dtype": "bf16"})
    assert (refusal.value.where, refusal.value.exit_code) == ("--dtype", 2)


def test_a_machine_without_room_is_refused(
    embedded_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_module, "free_memory", lambda: 300 << 20)
    with pytest.raises(ResourceError, match="no memory for the KV cache"):
        plan(embedded_model)


# The address ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1:{}"), ("::1", "[::1]:{}")])
def test_a_taken_port_is_known_at_once(host: str, shown: str) -> None:
    with open_listener(host, 0) as first:
        port = first.getsockname()[1]
        assert port > 0
        with pytest.raises(ResourceError, match="taken by another process") as refusal:
            open_listener(host, port)
        assert refusal.value.where == shown.format(port)
        assert "--port" in str(refusal.value.hint)
    with open_listener(host, port), socket.create_connection((host, port)):
        pass  # free again, and it listens


def test_a_port_that_this_user_may_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)  # tests may run as root
    with pytest.raises(ResourceError, match="may not listen") as refusal:
        open_listener("127.0.0.1", 80)
    assert refusal.value.where == "127.0.0.1:80"
    assert "1023" in str(refusal.value.hint)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64, "a..b", "300.1.2.3"])
def test_a_host_that_does_not_exist(host: str) -> None:
    with pytest.raises(ResourceError, match="there is no address") as refusal:
        open_listener(host, 0)
    assert host in str(refusal.value)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ResourceError, match="cannot listen there"):
        open_listener("192.0.2.7", 0)


# The launch -----------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with open_listener("127.0.0.1", 0) as opened:
        yield opened


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of its own."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_launch_writes_what_its_processes_need_and_cleans_up(
    embedded_model: Path, listener: socket.socket, temporary: Path, tmp_path: Path
) -> None:
    planned = plan(embedded_model, workers=1, prefix_caching=False, max_num_batched_tokens=99)
    with launch(planned, listener, tmp_path, lambda *_: None) as supervisor:
        assert isinstance(supervisor, Supervisor)
        (folder,) = temporary.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for path in folder.glob("*.json"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        gateway = read_config(folder / "gateway.json", GatewayConfig)
        worker = read_config(folder / "worker-0.json", WorkerConfig)
        assert gateway.workers == (worker,)
        assert gateway.listener_fd == listener.fileno()
        assert Deployment.model_validate(json.loads(gateway.deployment)) == planned.deployment
        (engine,) = worker.engines
        assert engine.plan == planned.models[0].memory
        assert worker.device == planned.slices[0]
        assert (engine.prefix_caching, engine.max_num_batched_tokens) == (False, 99)
        assert Path(engine.cache).parent == tmp_path
        ((placed,),) = [model.placed for model in gateway.models]
        assert (placed.worker, placed.config, placed.copies) == (0, engine, 1)
        assert {Path(p).parent for p in (worker.socket, worker.board, worker.errors)} == {folder}
    assert list(temporary.iterdir()) == []


def test_it_cleans_up_after_an_error_too(
    embedded_model: Path, listener: socket.socket, temporary: Path, tmp_path: Path
) -> None:
    def fail() -> None:
        with launch(plan(embedded_model), listener, tmp_path, lambda *_: None):
            raise ResourceError("something else")

    with pytest.raises(ResourceError, match="something else"):
        fail()
    assert list(temporary.iterdir()) == []


def opened(planned: ServePlan, listener: socket.socket, home: Path) -> None:
    with launch(planned, listener, home, lambda *_: None):
        pass


def test_no_usable_temporary_folder(
    embedded_model: Path,
    listener: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    planned = plan(embedded_model)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(StoreError, match="No usable temporary directory") as refusal:
        opened(planned, listener, tmp_path)
    assert "TMPDIR" in str(refusal.value.hint)


def test_a_temporary_folder_that_is_not_there(
    embedded_model: Path, listener: socket.socket, temporary: Path, tmp_path: Path
) -> None:
    planned = plan(embedded_model)
    temporary.rmdir()
    with pytest.raises(StoreError, match="no temporary folder can be made") as refusal:
        opened(planned, listener, tmp_path)
    assert str(refusal.value.where).startswith(str(temporary))


def test_a_full_disk(
    embedded_model: Path,
    listener: socket.socket,
    temporary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(launch_module, "write_config", full)
    with pytest.raises(StoreError, match="No space left on device") as refusal:
        opened(plan(embedded_model), listener, tmp_path)
    assert refusal.value.exit_code == 1
    assert list(temporary.iterdir()) == []


def test_a_temporary_folder_too_deep_for_a_socket(
    embedded_model: Path,
    listener: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(StoreError, match="too long for a Unix socket") as refusal:
        opened(plan(embedded_model), listener, tmp_path)
    assert "TMPDIR" in str(refusal.value.hint)
    assert list(deep.iterdir()) == []
