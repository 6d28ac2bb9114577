"""What the target ``local`` renders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from local_shipments import shipment

from pilotage.devices import Machine, PhysicalCore
from pilotage.errors import StoreError, UsageError
from pilotage.serve.keys import KeyStore, default_key_file
from pilotage.serve.routing.checks import check_routing
from pilotage.serve.routing.served import served_specs
from pilotage.ship.targets import target_of
from pilotage.ship.targets.local.processes import Revision, parse_processes
from pilotage.ship.targets.local.target import LocalTarget
from pilotage.spec import Deployment, parse


def machine(cores: int = 4) -> Machine:
    return Machine(
        cores=tuple(PhysicalCore(cpus=(number,)) for number in range(cores)),
        memory_bytes=32 << 30,
        free_bytes=16 << 30,
    )


def render(folder: Path, *, cores: int = 4, **sections: Any) -> dict[str, str]:
    return dict(LocalTarget(machine(cores)).render(shipment(folder, **sections)).files)


def spec_of(text: str) -> Deployment:
    found = parse(text, "rendered.yaml")
    assert isinstance(found, Deployment)
    return found


def test_is_a_pair_of_replicas_behind_a_gateway(home: Path, tmp_path: Path) -> None:
    files = render(tmp_path, serving={"max_n": 3, "drain_timeout": "7s"})
    assert sorted(files) == [
        "balancer.yaml",
        "processes.json",
        "replica-0.yaml",
        "replica-1.yaml",
    ]
    replicas = [spec_of(files[f"replica-{number}.yaml"]) for number in range(2)]
    assert [one.serving.port for one in replicas] == [8001, 8002]
    assert [one.serving.worker_map[0].cores for one in replicas] == [(0, 1), (2, 3)]
    assert {one.serving.max_n for one in replicas} == {3}
    assert {one.model.name for one in replicas} == {"tiny"}
    assert {one.serving.memory_fraction for one in replicas} == {0.3}
    balancer = spec_of(files["balancer.yaml"])
    assert balancer.serving.port == 8000
    assert balancer.serving.max_n == 3
    assert served_specs(balancer) == ()
    assert balancer.routing is not None
    (tier,) = balancer.routing.tiers
    assert balancer.routing.model == "tiny"
    assert tier.retries == 2
    assert [(one.url, one.weight) for one in tier.backends] == [
        ("http://127.0.0.1:8001/v1", 1),
        ("http://127.0.0.1:8002/v1", 1),
    ]
    assert list(check_routing(balancer, {})) == ["replicas"]
    assert balancer.routing.ledger.path == home / "ship" / "pilotage-demo" / "ledger.sqlite"


def test_processes_start_replicas_first_and_drain(home: Path, tmp_path: Path) -> None:
    text = render(tmp_path, serving={"drain_timeout": "7s"})["processes.json"]
    processes = parse_processes(text, "processes.json")
    assert [(one.name, one.role) for one in processes] == [
        ("replica-0", "replica"),
        ("replica-1", "replica"),
        ("balancer", "balancer"),
    ]
    assert processes[0].argv == ("pilotage", "serve", "--json", "replica-0.yaml")
    assert all(one.stop_s > 7 for one in processes)
    assert all(one.environment["PILOTAGE_HOME"] == str(home) for one in processes)


@pytest.mark.usefixtures("home")
def test_says_the_same_twice(tmp_path: Path) -> None:
    assert render(tmp_path) == render(tmp_path)


@pytest.mark.usefixtures("home")
def test_one_machine_has_room_for_so_many(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 replicas do not fit on this machine"):
        render(tmp_path, cores=1)
    one = render(tmp_path, cores=1, shipping={"scaling": {"min": 1, "max": 1}})
    assert sorted(one) == ["balancer.yaml", "processes.json", "replica-0.yaml"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("sections", "where"),
    [
        ({"serving": {"port": 0}}, "serving.port"),
        ({"serving": {"port": 65_534}}, "serving.port"),
        ({"model": {"source": "hf://a/b", "task": "embed"}}, "model.task"),
        ({"model": {"source": "hf://a/b", "served_name": "n" * 65}}, "model.served_name"),
    ],
)
def test_refuses_what_no_balancer_can_do(
    tmp_path: Path, sections: dict[str, Any], where: str
) -> None:
    with pytest.raises(UsageError) as error:
        render(tmp_path, **sections)
    assert error.value.where == where
    assert error.value.hint


@pytest.mark.usefixtures("home")
def test_says_what_is_left_out_and_who_gets_in(tmp_path: Path) -> None:
    KeyStore(default_key_file()).add("somebody")
    ours = shipment(tmp_path, serving={"workers": 4})
    found = LocalTarget(machine()).render(ours)
    notes = " ".join(found.notes)
    assert "The balancer asks for API keys" in notes
    assert "worker_map are left out" in notes
    assert spec_of(found.files["replica-0.yaml"]).serving.workers == 1
    keys = spec_of(found.files["replica-0.yaml"]).serving.api_keys
    assert keys is not None
    assert not KeyStore(keys).any_keys
    assert spec_of(found.files["balancer.yaml"]).serving.api_keys is None


@pytest.mark.usefixtures("home")
def test_a_routed_deployment_is_a_pair_of_gateways(tmp_path: Path) -> None:
    tiers = [{"name": "own", "price": {"input": 0, "output": 0}, "backends": [{"kind": "local"}]}]
    files = render(tmp_path, routing={"model": "auto", "tiers": tiers})
    first, second = (spec_of(files[f"replica-{number}.yaml"]).routing for number in range(2))
    assert first is not None
    assert second is not None
    assert first.ledger.path != second.ledger.path
    balancer = spec_of(files["balancer.yaml"]).routing
    assert balancer is not None
    assert balancer.model == balancer.tiers[0].backends[0].model == "auto"


def test_is_found_by_its_name() -> None:
    assert isinstance(target_of("local"), LocalTarget)


@pytest.mark.parametrize("text", ["[]", "{", '{"schema": "other/1", "processes": []}'])
def test_a_broken_process_file_is_named(text: str) -> None:
    with pytest.raises(StoreError, match=r"processes\.json"):
        Revision.of({"processes.json": text})


@pytest.mark.usefixtures("home")
def test_a_missing_spec_is_named(tmp_path: Path) -> None:
    files = render(tmp_path)
    del files["replica-1.yaml"]
    with pytest.raises(StoreError, match=r"replica-1\.yaml"):
        Revision.of(files)


@pytest.mark.usefixtures("home")
def test_a_process_is_anew_when_its_spec_is(tmp_path: Path) -> None:
    before, after = (
        Revision.of(render(tmp_path)),
        Revision.of(render(tmp_path, serving={"max_num_seqs": 4})),
    )
    assert before.id != after.id
    changed = {name for name in before.digests if before.digests[name] != after.digests[name]}
    assert changed == {"replica-0", "replica-1"}
    assert json.loads(after.files["processes.json"])["schema"] == "pilotage.processes/1"
