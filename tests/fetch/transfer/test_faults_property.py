"""Whatever goes wrong: verified bytes, or a clear error; and the next run goes on from there."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transfer_origins import KINDS, Fault, FaultyOrigin, QuickRetry, manifest_of

from pilotage.errors import SourceError
from pilotage.fetch.transfer import TransferFolder, TransferOptions, download

faults = st.none() | st.builds(
    Fault, st.sampled_from([*KINDS[:-1], "gone", "changed"]), st.integers(0, 500)
)
sizes = st.lists(st.sampled_from([0, 1, 7, 255, 1024, 3000]), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=sizes,
    runs=st.lists(st.lists(faults, max_size=12), min_size=1, max_size=3),
    part=st.integers(1, 2000).map(lambda part: max(part, 60)),
    buffer=st.sampled_from([1, 64, 4096]),
    threads=st.integers(1, 4),
    ranges=st.booleans(),
    cuttable=st.booleans(),
    kind=st.sampled_from(["sha256", "git"]),
)
def test_verified_bytes_or_a_clear_error(
    *, sizes, runs, part, buffer, threads, ranges, cuttable, kind
):
    chance = random.Random(len(runs))
    files = {f"d{n % 2}/f{n}": chance.randbytes(size) for n, size in enumerate(sizes)}
    promised = manifest_of(files, kind=kind)
    options = TransferOptions(
        threads=threads, part_bytes=part, buffer_bytes=buffer, stall_s=0.02, rounds=2
    )
    with tempfile.TemporaryDirectory() as home:
        folder = TransferFolder(Path(home, "files"), Path(home, "journal"))
        for schedule in [*runs, []]:
            origin = FaultyOrigin(
                files,
                lambda n, *_, s=schedule: s[n] if n < len(s) else None,
                ranges=ranges,
                cuttable=cuttable,
            )
            try:
                arrived = download(promised, origin, folder, retry=QuickRetry(), options=options)
            except SourceError as error:
                assert schedule, f"nothing went wrong in the last run, yet: {error}"
                assert error.message
                continue
            finally:
                origin.release.set()
            promised.check_arrived(arrived)
            for path, data in files.items():
                assert (folder.files / path).read_bytes() == data
