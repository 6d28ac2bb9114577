"""Memory does not grow with the file."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import pytest
from range_server import RangeServer, SocketOrigin

from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.retry import Retry
from pilotage.fetch.transfer import TransferOptions, download

MIB = 1 << 20


def peak_mib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def child(manifest, port, folder, answer):
    before = peak_mib()
    options = TransferOptions(threads=8)
    download(manifest, SocketOrigin(port), folder, retry=Retry(), options=options)
    answer.send(peak_mib() - before)


def growth(tmp_path, size):
    source = tmp_path / "source"
    source.mkdir()
    with (source / "f").open("wb") as file:
        file.truncate(size)
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(bytes(MIB))
    manifest = Manifest("test://m", "1", (FileEntry("f", size, digest.hexdigest()),))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["range_server", "pilotage.fetch.transfer"])
    mine, theirs = context.Pipe()
    with RangeServer(source) as server:
        arguments = (manifest, server.port, tmp_path / "files", theirs)
        process = context.Process(target=child, args=arguments)
        process.start()
        theirs.close()
        grown = mine.recv()
        process.join()
    return grown


def test_buffers_are_all_that_a_transfer_takes(tmp_path):
    assert growth(tmp_path, 96 * MIB) < 40


@pytest.mark.slow
def test_a_gibibyte_takes_no_more(tmp_path):
    assert growth(tmp_path, 1024 * MIB) < 40
