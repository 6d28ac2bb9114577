"""The table of instance types: all of it parses, and known facts hold."""

from __future__ import annotations

import re

import pytest

from pilotage.catalog.instances import PRICES_ON, load_instances, models_that_fit
from pilotage.catalog.neuron_chips import NEURON_CHIPS, chip_model


def test_every_row_parses_and_makes_sense() -> None:
    instances = load_instances()
    assert len(instances) == 110
    for name, instance in instances.items():
        assert name == instance.name
        assert re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", name)
        assert instance.architecture in ("amd64", "arm64")
        assert instance.vcpus > 0
        assert instance.memory_bytes >= 1 << 30
        assert instance.network_mbps > 0
        assert instance.usd_per_hour is None or instance.usd_per_hour > 0
        if instance.accelerator is not None:
            assert instance.accelerator.count > 0
            assert instance.accelerator.memory_bytes >= 1 << 30


def test_a_row_is_read_as_it_stands() -> None:
    g5 = load_instances()["g5.2xlarge"]
    assert (g5.vcpus, g5.memory_bytes, g5.nvme_bytes) == (8, 32 << 30, 450 * 10**9)
    assert g5.accelerator is not None
    assert (g5.accelerator.name, g5.accelerator.count) == ("a10g", 1)
    assert g5.accelerator.memory_bytes == 22888 << 20
    assert g5.usd_per_hour == 1.212
    assert g5.family == "g5"
    assert g5.neuron_cores == 0
    assert load_instances()["p5e.48xlarge"].usd_per_hour is None
    share = load_instances()["g6f.large"].accelerator
    assert share is not None
    assert (share.count, share.memory_bytes) == (1, 2861 << 20)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", PRICES_ON)


@pytest.mark.parametrize(
    ("name", "chips", "cores"),
    [
        ("inf1.xlarge", 1, 4),
        ("inf1.2xlarge", 1, 4),
        ("inf1.6xlarge", 4, 16),
        ("inf1.24xlarge", 16, 64),
        ("inf2.xlarge", 1, 2),
        ("inf2.8xlarge", 1, 2),
        ("inf2.24xlarge", 6, 12),
        ("inf2.48xlarge", 12, 24),
        ("trn1.2xlarge", 1, 2),
        ("trn1.32xlarge", 16, 32),
    ],
)
def test_neuron_chips_and_cores(name: str, chips: int, cores: int) -> None:
    instance = load_instances()[name]
    assert instance.accelerator is not None
    assert instance.accelerator.count == chips
    assert instance.neuron_cores == cores
    assert instance.neuron_chip is not None
    assert instance.family in instance.neuron_chip.families


def test_a_chip_is_found_by_its_names() -> None:
    for name in ("Inferentia2", "inferentia2", " inf2 "):
        assert chip_model(name) == NEURON_CHIPS[1]
    for name in ("Trainium", "trainium1", "trn1n"):
        assert chip_model(name) == NEURON_CHIPS[2]
    assert chip_model("a10g") is None
    assert chip_model("") is None


def test_how_many_copies_fit() -> None:
    instances = load_instances()
    eleven_billion = 2 * 10_670_000_000
    assert models_that_fit(instances["g4dn.xlarge"], eleven_billion) == 0
    assert models_that_fit(instances["g5.12xlarge"], eleven_billion) == 0
    assert models_that_fit(instances["g5.12xlarge"], eleven_billion, devices=2) == 2
    assert models_that_fit(instances["g5.12xlarge"], 2 << 30) == 4 * 8
    assert models_that_fit(instances["c7a.4xlarge"], 8 << 30) == 3
    assert models_that_fit(instances["inf2.48xlarge"], 20 << 30) == 12
    assert models_that_fit(instances["inf2.xlarge"], 20 << 30, headroom=0.5) == 0


@pytest.mark.parametrize(
    "wrong",
    [{"model_bytes": 0}, {"model_bytes": 1, "headroom": 1.0}, {"model_bytes": 1, "devices": 0}],
)
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="should be"):
        models_that_fit(load_instances()["g5.xlarge"], **wrong)  # type: ignore[arg-type]
