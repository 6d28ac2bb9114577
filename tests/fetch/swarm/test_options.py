from __future__ import annotations

import pytest

from pilotage.errors import SourceError, UsageError
from pilotage.fetch.swarm import SwarmOptions, SwarmSource


def test_every_option_is_a_variable():
    options = SwarmOptions.from_environment(
        {
            "PILOTAGE_SWARM_TRACKER": "http://10.0.0.1:6880/",
            "PILOTAGE_SWARM_TOKEN": "t",
            "PILOTAGE_SWARM_LISTEN": "[::1]:6881",
            "PILOTAGE_SWARM_UPLOAD": "20MiB/s",
            "PILOTAGE_SWARM_QUOTA": "3",
            "PILOTAGE_SWARM_SEED": "1m",
            "PILOTAGE_SWARM_ADVERTISE": "10.0.0.7",
        }
    )
    assert options == SwarmOptions(
        tracker="http://10.0.0.1:6880",
        token="t",
        listen="::1",
        port=6881,
        upload_rate=20 << 20,
        quota=3,
        seed_s=60.0,
        advertise="10.0.0.7",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRACKER", "10.0.0.1:6880"),
        ("LISTEN", "localhost"),
        ("LISTEN", "10.0.0.1:70000"),
        ("UPLOAD", "fast"),
        ("QUOTA", "0"),
        ("SEED", "soon"),
        ("ADVERTISE", "host.example"),
    ],
)
def test_a_malformed_value_names_its_variable(name, value):
    with pytest.raises(UsageError) as raised:
        SwarmOptions.from_environment(
            {"PILOTAGE_SWARM_FOLDER": "/x", f"PILOTAGE_SWARM_{name}": value}
        )
    assert raised.value.where == f"PILOTAGE_SWARM_{name}"


def test_nodes_need_a_way_to_meet():
    with pytest.raises(UsageError, match="find one another"):
        SwarmOptions.from_environment({})


@pytest.mark.parametrize(
    "uri", ["swarm://", "swarm://abc", "swarm://file:///x", "swarm://swarm://x"]
)
def test_a_swarm_needs_an_origin(uri):
    with pytest.raises(SourceError, match="needs an origin"):
        SwarmSource.parse(uri, lambda *_: pytest.fail("parsed"), options=SwarmOptions())
