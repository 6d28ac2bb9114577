"""`kill -9` at random points: bytes verified in the end, at most one part a kill sent twice."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import shutil
import sys
import time

import pytest
from range_server import RangeServer, SocketOrigin

from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.retry import Retry
from pilotage.fetch.transfer import TransferFolder, TransferOptions, download

PART = 1 << 20
WINDOW = 8 << 10
"""Bytes in a socket's buffers are lost by a kill too; they are the kernel's choice, so small here
as the parts are."""
RATE = 40 << 20


def child(manifest, port, folder):
    options = TransferOptions(threads=4, part_bytes=PART)
    origin = SocketOrigin(port, window=WINDOW)
    download(manifest, origin, folder, retry=Retry(), options=options)


def make(folder, sizes, seed):
    folder.mkdir()
    chance = random.Random(seed)
    entries = []
    for number, size in enumerate(sizes):
        data = chance.randbytes(size)
        (folder / f"f{number}").write_bytes(data)
        entries.append(FileEntry(f"f{number}", size, hashlib.sha256(data).hexdigest()))
    return Manifest("test://model", "rev", tuple(entries))


def until_bytes_come(server, begun, process):
    while server.count() == begun and process.is_alive():
        time.sleep(0.002)


def rehearse(tmp_path, wanted):
    """Kill until `wanted` transfers were hit; check all bytes at each one's end.

    Returns the worst that a kill cost, in parts, averaged over the kills of one transfer.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["range_server", "pilotage.fetch.transfer"])
    chance = random.Random(4)
    manifest = make(tmp_path / "source", [12 * PART + 12_345, 3 * PART, 70_000, 0, 5_000], 5)
    total = sum(file.size for file in manifest.files)
    folder = TransferFolder(tmp_path / "files", tmp_path / "journal")
    kills, worst = 0, 0.0
    with RangeServer(tmp_path / "source", rate=RATE, window=WINDOW) as server:
        while kills < wanted:
            before, here = server.count(), 0
            while True:
                begun = server.count()
                process = context.Process(target=child, args=(manifest, server.port, folder))
                process.start()
                if kills < wanted:
                    # A kill before the first byte is rehearsed now and then; it does not count.
                    if chance.random() < 0.9:
                        until_bytes_come(server, begun, process)
                    process.join(chance.uniform(0.0, 0.2))
                    process.kill()
                process.join()
                if process.exitcode == -9 and server.count() > begun:
                    here, kills = here + 1, kills + 1  # it was killed while bytes came
                code = process.exitcode
                process.close()
                if code == 0:
                    break
                assert code == -9
            time.sleep(0.05)
            again = server.count() - before - total
            assert 0 <= again <= here * PART, f"{again:,} bytes twice after {here} kills"
            worst = max(worst, again / PART / max(here, 1))
            for file in manifest.files:
                data = (folder.files / file.path).read_bytes()
                assert hashlib.sha256(data).hexdigest() == file.sha256
            shutil.rmtree(folder.files)
            folder.journal.unlink()
    return worst


def test_killed_transfers_go_on_where_they_were(tmp_path):
    assert rehearse(tmp_path, 12) <= 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_kills(tmp_path):
    worst = rehearse(tmp_path, 200)
    sys.stdout.write(f"200 kills, at most {worst:.2f} parts a kill sent twice\n")
    assert worst <= 1
