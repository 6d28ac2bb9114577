"""Payloads and times, put down and read back."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import ResourceError, UsageError
from pilotage.prove.client.spool import Spool, SpooledPayloads, read_times
from pilotage.prove.payload import Payload

_payloads = st.builds(
    Payload,
    body=st.binary(max_size=50),
    content_type=st.sampled_from(["application/json", "multipart/form-data; boundary=a"]),
    prompt_tokens=st.none() | st.integers(0, 10_000),
    asked_tokens=st.none() | st.integers(0, 10_000),
)


@given(st.lists(_payloads, min_size=1, max_size=20))
def test_what_is_put_down_is_read_back(payloads: list[Payload]) -> None:
    with Spool() as spool:
        spool.write(payloads)
        bodies, table, times = spool.descriptors
        read = SpooledPayloads(bodies, table)
        assert times == -1
        assert spool.count == len(payloads)
        assert spool.size == sum(len(payload.body) for payload in payloads)
        for payload, (offset, length, kind, prompt, asked) in zip(payloads, read.rows, strict=True):
            assert read.body(offset, length) == payload.body
            assert spool.content_types[kind] == payload.content_type
            assert (None if prompt < 0 else prompt) == payload.prompt_tokens
            assert (None if asked < 0 else asked) == payload.asked_tokens


def test_times_and_progress() -> None:
    heard: list[int] = []
    with Spool() as spool:
        spool.write((Payload(b"x") for _ in range(600)), heard.append)
        spool.write_times(np.array([0.0, 0.5, 2.0]))
        assert read_times(spool.descriptors[2]).tolist() == [0.0, 0.5, 2.0]
    assert heard == [256, 512, 600]


def test_no_payload_is_an_error() -> None:
    with Spool() as spool, pytest.raises(UsageError, match="no prompt"):
        spool.write([])


def test_a_full_disk_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[Payload]:
        while True:
            yield Payload(b"x" * 1_000_000)

    with Spool() as spool:
        # /dev/full is the kernel's own full disk.
        full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0)
        spool._bodies.close()
        monkeypatch.setattr(spool, "_bodies", full)
        with pytest.raises(ResourceError, match="No space left"):
            spool.write(endless())
