"""A local deployment from nothing to running and away again, with processes of a few lines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from local_shipments import processes_of, rendered, shipment

from pilotage.errors import ResourceError, ServeError, TargetError
from pilotage.ship.lifecycle import Applied, Destroyed, Lifecycle, Note, Status
from pilotage.ship.lifecycle.asking import HttpEndpoint
from pilotage.ship.lifecycle.cloudformation import Options
from pilotage.ship.targets.local.lifecycle import APPLY_LOCK, LocalLifecycle
from pilotage.ship.targets.local.run_folder import RunFolder


@dataclass
class Local:
    """A deployment on this machine, and what was said about it."""

    folder: Path
    home: Path
    port: int
    notes: list[Note] = field(default_factory=list)
    options: Options = field(default_factory=Options)

    @property
    def lifecycle(self) -> LocalLifecycle:
        return LocalLifecycle(self.options)

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.home / "ship" / "pilotage-demo")

    def shipment(self) -> Any:
        return shipment(self.folder, port=self.port)

    def apply(self, **specs: Any) -> Applied:
        self.notes.clear()
        return self.lifecycle.apply(
            self.shipment(),
            rendered(self.port, **specs),
            agree=lambda _: True,
            say=self.notes.append,
        )

    def changes(self, **specs: Any) -> list[tuple[str, str]]:
        found = self.lifecycle.diff(self.shipment(), rendered(self.port, **specs))
        return [(one.action, one.name) for one in found.changes]

    def status(self) -> Status:
        return self.lifecycle.status(self.shipment())

    def destroy(self) -> Destroyed:
        self.notes.clear()
        return self.lifecycle.destroy(self.shipment(), agree=lambda _: True, say=self.notes.append)

    def pids(self) -> dict[str, int]:
        return {name: one["pid"] for name, one in self.run.running()["units"].items()}

    def supervisor(self) -> psutil.Process:
        return psutil.Process(self.run.running()["pid"])

    def logged(self) -> list[str]:
        """The supervisor's messages, without their figures."""
        lines = (self.run.logs / "supervisor.log").read_text().splitlines()
        messages = [json.loads(line)["message"] for line in lines]
        return [one.split(" after ")[0].split(", pid")[0] for one in messages]

    def said(self, *words: str) -> list[tuple[str | None, str]]:
        return [(one.what, one.text) for one in self.notes if one.text in words]


@pytest.fixture
def local(home: Path, tmp_path: Path, port: int) -> Local:
    return Local(tmp_path, home, port)


def eventually(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether it becomes true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_from_nothing_to_running_to_nothing(local: Local) -> None:
    assert isinstance(local.lifecycle, Lifecycle)
    assert local.status().absent
    assert local.changes() == [("add", "replica-0"), ("add", "replica-1"), ("add", "balancer")]
    assert not local.run.path.exists()  # looking leaves nothing

    done = local.apply()
    assert done.applied
    assert done.answered
    assert local.said("ready")[:2] == [("replica-0", "ready"), ("replica-1", "ready")]
    status = local.status()
    assert status.state == "running"
    assert status.address == f"http://127.0.0.1:{local.port}"
    assert status.replicas is not None
    assert (status.replicas.desired, status.replicas.running, status.replicas.healthy) == (2, 2, 2)

    before = local.pids()
    again = local.apply()
    assert not again.applied
    assert again.answered
    assert again.difference.empty
    assert local.pids() == before

    gone = local.destroy()
    assert gone.existed
    assert gone.hours is not None
    assert gone.leftovers == ()
    assert processes_of(local.home) == []
    assert not local.run.path.exists()
    assert local.status().absent
    assert not local.destroy().existed


def test_a_change_replaces_one_replica_at_a_time(local: Local) -> None:
    local.apply()
    before = local.pids()
    assert local.changes(says="other") == [("change", "replica-0"), ("change", "replica-1")]
    (change, _) = local.lifecycle.diff(local.shipment(), rendered(local.port, says="other")).changes
    assert change.fields == ("says",)

    local.apply(says="other")
    after = local.pids()
    assert after["balancer"] == before["balancer"]
    assert not set(after.values()) & {before["replica-0"], before["replica-1"]}
    assert local.logged()[-7:-1] == [
        "replica-0: stopping",
        "replica-0: started",
        "replica-0: ready",
        "replica-1: stopping",
        "replica-1: started",
        "replica-1: ready",
    ]
    assert len(list(local.run.revisions.iterdir())) == 1


def test_a_replica_goes_once_the_balancer_asks_the_others(local: Local) -> None:
    metrics = local.folder / "metrics"
    may_be_asked = 'pilotage_route_available{backend="replicas/0"} '
    metrics.write_text(f"{may_be_asked}1.0\n")
    balancer = {"metrics": str(metrics)}
    local.apply(balancer=balancer)
    metrics.write_text(f"{may_be_asked}0.0\n")  # it was away, and is left alone as yet
    with ThreadPoolExecutor() as pool:
        applied = pool.submit(local.apply, says="other", balancer=balancer)
        waits = "replica-1: goes once the balancer asks the others again"
        assert eventually(lambda: waits in local.logged())
        assert "replica-1: stopping" not in local.logged()
        metrics.write_text(f"{may_be_asked}1.0\n")
        assert applied.result(30).applied
    assert local.logged().count("replica-1: stopping") == 1


def test_a_revision_that_cannot_run_is_taken_back(local: Local) -> None:
    local.apply()
    before = local.pids()
    with pytest.raises(ServeError, match=r"(?s)replica-0 exited with code 2\n.*no such model"):
        local.apply(says="no such model", replica_0={"exit": 2})
    assert local.status().state == "running"
    assert local.changes() == []
    after = local.pids()
    assert (after["replica-1"], after["balancer"]) == (before["replica-1"], before["balancer"])
    assert [one.step for one in local.notes if one.bad] == ["capacity", "rollback"]


def test_a_first_revision_that_cannot_run_leaves_nothing_running(local: Local) -> None:
    with pytest.raises(ServeError, match="replica-1 exited with code 1"):
        local.apply(replica_1={"exit": 1})
    assert processes_of(local.home) == []
    assert local.status().state == "stopped"
    assert local.destroy().existed
    assert local.status().absent


@pytest.mark.parametrize("step", ["agree", "tiny", "replica-1", "balancer"])
def test_apply_killed_at_any_step_ends_in_the_same_state(local: Local, step: str) -> None:
    script = Path(__file__).parent / "interrupted_apply.py"
    done = subprocess.run(
        [sys.executable, script, local.folder, str(local.port), step], timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    if step in ("agree", "tiny"):  # nothing was wanted yet
        assert local.status().absent
    local.apply(says="anew")
    assert local.status().state == "running"
    assert local.changes(says="anew") == []
    serving = [one for one in processes_of(local.home) if "serve" in one.cmdline()]
    assert len(serving) == 3
    assert len(processes_of(local.home)) == 4


def test_destroy_goes_on_after_a_kill(local: Local) -> None:
    local.apply()
    local.run.want(None)  # as if destroy had been killed just then
    assert eventually(lambda: processes_of(local.home) == [])
    assert local.status().state == "stopped"
    local.destroy()
    assert not local.run.path.exists()


def test_what_dies_is_started_again(local: Local) -> None:
    local.apply()
    before = local.pids()
    os.kill(before["replica-1"], signal.SIGKILL)
    assert eventually(
        lambda: (
            local.pids()["replica-1"] not in (None, before["replica-1"])
            and local.status().state == "running"
        )
    )
    assert local.pids()["replica-0"] == before["replica-0"]
    assert any("started again 1 times" in line for line in local.status().details)


def test_a_killed_supervisor_is_replaced_and_its_processes_go_on(local: Local) -> None:
    local.apply()
    before = local.pids()
    local.supervisor().kill()
    assert eventually(lambda: local.status().state == "unsupervised")
    assert local.apply().applied
    assert local.pids() == before
    assert local.status().state == "running"

    local.supervisor().kill()
    (local.run.path / "running.json").unlink()  # it had not even written them down
    local.destroy()
    assert processes_of(local.home) == []
    assert local.status().absent


def test_sigterm_drains_the_balancer_first(local: Local) -> None:
    local.apply(replica_0={"deaf": True, "stop_s": 1})
    local.supervisor().terminate()
    assert eventually(lambda: processes_of(local.home) == [])
    assert local.logged()[-5:] == [
        "balancer: stopping",
        "replica-0: stopping",
        "replica-1: stopping",
        "replica-0: killed",
        "supervisor: ended",
    ]
    assert local.status().state == "stopped"
    assert local.apply(replica_0={"deaf": True, "stop_s": 1}).applied


def test_a_taken_port_is_known_before_anything_starts(local: Local) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", local.port + 2))
        other.listen()
        with pytest.raises(ResourceError, match="replica-1 cannot listen there"):
            local.apply()
    assert processes_of(local.home) == []
    assert local.status().absent


def test_two_at_once_are_one_too_many(local: Local) -> None:
    with local.run.locked(APPLY_LOCK) as got:
        assert got
        with pytest.raises(ResourceError, match="another apply or destroy"):
            local.apply()


def test_nothing_happens_unless_agreed(local: Local) -> None:
    done = local.lifecycle.apply(
        local.shipment(), rendered(local.port), agree=lambda _: False, say=local.notes.append
    )
    assert not done.agreed
    assert local.status().absent
    local.apply()
    kept = local.lifecycle.destroy(local.shipment(), agree=lambda _: False, say=local.notes.append)
    assert not kept.agreed
    assert local.status().state == "running"


def test_another_process_with_a_recorded_id_is_left_alone(local: Local) -> None:
    local.apply()
    local.supervisor().kill()
    running = local.run.running()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        ours = running["units"]["replica-0"]["pid"]
        # It started a minute ago and is gone, and its id was given away again.
        running["units"]["replica-0"]["pid"] = stranger.pid
        running["units"]["replica-0"]["started_at"] -= 60
        local.run.write_running(running)
        os.kill(ours, signal.SIGKILL)
        local.destroy()
        assert stranger.poll() is None
        stranger.kill()


def test_the_ledger_is_left_unless_purged(local: Local) -> None:
    local.apply()
    local.run.ledger.write_bytes(b"rows")
    (left,) = local.destroy().leftovers
    assert (left.type, left.id, left.size_bytes) == ("ledger", str(local.run.ledger), 4)
    assert local.status().absent
    local.apply()
    local.options = Options(purge=True)
    assert local.destroy().leftovers == ()
    assert not local.run.path.exists()


def test_logs_of_all_processes_in_order_and_as_they_come(local: Local) -> None:
    local.apply(says="good day")
    lines = list(local.lifecycle.logs(local.shipment(), since_s=600, most=100, follow=False))
    assert [one.at for one in lines] == sorted(one.at for one in lines)
    assert {one.stream for one in lines} == {"replica-0", "replica-1", "balancer", "supervisor"}
    assert any("good day" in one.text for one in lines)
    last = list(local.lifecycle.logs(local.shipment(), since_s=600, most=1, follow=False))
    assert last == lines[-1:]
    new = local.lifecycle.logs(local.shipment(), since_s=600, most=0, follow=True)
    os.kill(local.pids()["replica-0"], signal.SIGTERM)
    assert any("drained" in one.text for one, _ in zip(new, range(20), strict=False))


def test_the_endpoint_is_the_balancer(local: Local) -> None:
    with pytest.raises(TargetError, match="is not there"):
        local.lifecycle.endpoint(local.shipment())
    local.apply()
    endpoint = local.lifecycle.endpoint(local.shipment())
    assert endpoint == HttpEndpoint(address=f"http://127.0.0.1:{local.port}")
    assert local.lifecycle.weights(local.shipment()) == ("used where they lie, outside the cache",)


@pytest.mark.parametrize("garbage", ["", "{", "[]"])
def test_state_that_a_power_cut_left_unreadable_is_gone_on_from(local: Local, garbage: str) -> None:
    local.apply()
    running = local.pids()
    supervisor = local.supervisor()
    supervisor.kill()
    supervisor.wait()
    for name in ("running.json", "wanted.json"):
        (local.run.path / name).write_text(garbage)
    assert local.status().state in ("unreadable", "stopped", "unsupervised")
    local.apply()
    assert local.status().state == "running"
    assert local.pids() == running, "found by their command lines, and kept"
    supervisor = local.supervisor()
    supervisor.kill()
    supervisor.wait()
    for name in ("running.json", "wanted.json"):
        (local.run.path / name).write_text(garbage)
    assert local.destroy().existed
    assert processes_of(local.home) == []
    assert not local.destroy().existed
