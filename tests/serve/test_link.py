"""Frames survive any cutting of the stream, and a broken peer is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engines.engine import EngineInfo, EngineOutput, EngineRequest, SamplingParams
from pilotage.serve.link import (
    MAX_FRAME,
    Cancel,
    FrameDecoder,
    Hello,
    OpenedEngine,
    Step,
    Submit,
    ToGateway,
    ToWorker,
    encode,
)

ids = st.lists(st.integers(0, 2**31), max_size=20)
outputs = st.builds(
    EngineOutput,
    id=st.integers(0, 2**40),
    token_ids=ids,
    logprobs=st.none() | st.lists(st.floats(-50, 0), max_size=5),
    finish_reason=st.sampled_from([None, "stop", "length", "cancelled", "error"]),
    error=st.none() | st.text(max_size=20),
)
steps = st.builds(
    Step,
    engine=st.integers(0, 100),
    outputs=st.lists(outputs, max_size=10),
    duration_s=st.floats(0, 10),
    running=st.integers(0, 1000),
    kv_cache_usage=st.floats(0, 1),
    prefill_tokens_per_s=st.floats(0, 1e6),
)
submits = st.builds(
    Submit,
    st.integers(0, 100),
    st.builds(
        EngineRequest,
        id=st.integers(0, 2**40),
        prompt_ids=ids,
        params=st.builds(
            SamplingParams,
            max_tokens=st.integers(1, 10**6),
            seed=st.none() | st.integers(0, 2**63 - 1),
            stop_token_ids=st.lists(st.integers(0, 10**6), max_size=4).map(tuple),
            json_schema=st.none() | st.text(max_size=30),
        ),
    ),
)


@given(st.lists(steps, max_size=5), st.integers(1, 50))
def test_steps_arrive_whole_however_the_stream_is_cut(sent: list[Step], cut: int) -> None:
    decoder: FrameDecoder[ToGateway] = FrameDecoder(ToGateway)  # type: ignore[arg-type]
    stream = b"".join(map(encode, sent))
    pieces = [stream[i : i + cut] for i in range(0, len(stream), cut)]
    assert [message for piece in pieces for message in decoder.feed(piece)] == sent


@given(
    st.lists(submits | st.builds(Cancel, st.integers(0, 100), st.integers(0, 2**40)), max_size=5)
)
def test_requests_arrive_as_they_were(sent: list[Submit | Cancel]) -> None:
    decoder: FrameDecoder[ToWorker] = FrameDecoder(ToWorker)  # type: ignore[arg-type]
    assert list(decoder.feed(b"".join(map(encode, sent)))) == sent


def test_the_greeting_tells_what_the_worker_can_hold() -> None:
    info = EngineInfo(
        engine="x", max_model_len=1, max_num_seqs=2, max_num_batched_tokens=3, kv_cache_tokens=4,
        kv_cache_bytes=5, prefill_tokens_per_s=6.0, load_s=7.0,
    )  # fmt: skip
    hello = Hello(3, [OpenedEngine(0, "a", info), OpenedEngine(7, "b", None)])
    decoder: FrameDecoder[ToGateway] = FrameDecoder(ToGateway)  # type: ignore[arg-type]
    assert list(decoder.feed(encode(hello))) == [hello]


def test_a_step_of_64_streams_is_one_small_frame() -> None:
    step = Step(0, [EngineOutput(i, [i]) for i in range(64)], 0.05, 64, 0.5, 1000.0)
    assert len(encode(step)) < 64 * 16


@pytest.mark.parametrize(
    "broken",
    [
        (MAX_FRAME + 1).to_bytes(4, "little"),
        (3).to_bytes(4, "little") + b"\xc1\xc1\xc1",
        (1).to_bytes(4, "little") + b"\x01",
    ],
)
def test_a_broken_peer_is_a_value_error(broken: bytes) -> None:
    decoder: FrameDecoder[ToWorker] = FrameDecoder(ToWorker)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"."):
        list(decoder.feed(broken))
