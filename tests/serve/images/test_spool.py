"""The bound on what all uploads together hold."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.images import ImageError, ImageLimits
from pilotage.serve.images.spool import Spool, SpoolFull
from pilotage.serve.images.upload import Upload


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60) | st.none()), max_size=60))
def test_it_counts_what_open_uploads_hold(steps):
    """Each step adds bytes to one of four uploads, or (None) closes it and opens another."""
    spool = Spool(100)
    limits = ImageLimits(max_bytes=80)
    uploads = [Upload(limits, spool) for _ in range(4)]
    held = [0] * 4
    for which, count in steps:
        if count is None:
            uploads[which].close()
            uploads[which], held[which] = Upload(limits, spool), 0
            continue
        try:
            uploads[which].add(bytes(count))
        except SpoolFull as full:
            assert sum(held) + count > 100
            assert (full.status, full.retry_after_s) == (503, 1.0)
        except ImageError:
            continue  # too long by itself: not counted
        else:
            held[which] += count
        assert spool.held == sum(held) <= 100
    for upload in uploads:
        upload.close()
        upload.close()
    assert spool.held == 0


def test_bytes_on_disk_count_as_well():
    async def run():
        spool = Spool(3_000_000)
        upload = Upload(ImageLimits(max_bytes=4_000_000), spool)
        upload.add(bytes(2_000_000))
        await upload.settle()
        assert spool.held == 2_000_000
        with pytest.raises(SpoolFull, match=r"holds 1\.91MiB .* of 2\.86MiB"):
            upload.add(bytes(2_000_000))
        upload.close()
        assert spool.held == 0

    asyncio.run(run())
