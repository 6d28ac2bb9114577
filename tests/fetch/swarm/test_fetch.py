"""``pilotage fetch swarm://hf://…`` by several nodes: one copy of the hub's bytes for all."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_origin import Hub
from odd_origin import Blob

from pilotage.fetch.swarm import TrackerServer

pytest.importorskip("libtorrent")

_NODES = 3
_SIZE = 12_000_000


@pytest.mark.timeout(180)
def test_three_nodes_fetch_one_model(tmp_path: Path) -> None:
    weights = Blob(_SIZE, seed=3)
    files = {"config.json": b'{"model_type": "tiny"}', "model.safetensors": weights}
    tracker = TrackerServer("127.0.0.1", 0, token="", quota=1)
    tracker.start()
    try:
        with Hub() as hub:
            hub.add("org/model", files)
            nodes = [_node(number, hub, tracker, tmp_path) for number in range(_NODES)]
            ended = [node.communicate(timeout=150) for node in nodes]
            asked = sum(hub.origin.sent.values())
    finally:
        tracker.stop()
    for node, (out, err) in zip(nodes, ended, strict=True):
        assert node.returncode == 0, err
        folder = Path(out.strip())
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        assert digest == weights.sha256
        assert (folder / "config.json").read_bytes() == files["config.json"]
        # Who gives to later nodes ends when the files are gone, not so soon that the last of
        # three on a busy machine finds nobody.
        shutil.rmtree(folder)
    # Small calls of every node, and the weights hardly more than once.
    assert asked < 1.5 * _SIZE


def _node(number: int, hub: Hub, tracker: TrackerServer, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pilotage.cli.main", "fetch", "swarm://hf://org/model"],
        env={
            **os.environ,
            "PILOTAGE_HOME": str(folder / f"home-{number}"),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(folder / "hf"),
            "PILOTAGE_SWARM_TRACKER": tracker.url,
            "PILOTAGE_SWARM_LISTEN": "127.0.0.1:0",
            "PILOTAGE_SWARM_SEED": "100s",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
