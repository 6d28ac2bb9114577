"""Routing to buckets, batching into them, sharing over several runners; with real arithmetic."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engines.compiled.static_runner import SplitRunner, StaticRunner, run_split

BUCKETS, BATCHES = (4, 8, 16), (1, 2, 8)


class Table:
    """A network of one shape that looks vectors up and adds the segment; refuses other shapes."""

    def __init__(self, shape: tuple[int, int], ran: list[tuple[int, int]]) -> None:
        self.shape = shape
        self.ran = ran

    def infer(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        assert all(array.shape == self.shape for array in batch.values())
        assert (batch["attention_mask"].sum(axis=1) > 0).all()  # no row without a shown token
        self.ran.append(self.shape)
        ids = batch["input_ids"] + 1000 * batch["token_type_ids"]
        return np.stack([ids, -ids], axis=-1).astype(np.float32)


def runner(ran: list[tuple[int, int]] | None = None) -> StaticRunner:
    ran = [] if ran is None else ran
    networks = {(one, rows): Table((rows, one), ran) for one in BUCKETS for rows in BATCHES}
    return StaticRunner(networks, pad_id=0, name="table")


requests = st.lists(st.lists(st.integers(1, 900), min_size=1, max_size=16), min_size=1, max_size=40)


def expected(ids, segments):
    row = np.array(ids) + 1000 * np.array(list(segments) or [0] * len(ids))
    return np.stack([row, -row], axis=-1)


@given(requests)
def test_each_request_gets_its_own_answer(sequences):
    segments = [b"\1" * len(ids) if len(ids) % 3 == 0 else b"" for ids in sequences]
    answers = runner().run(sequences, segments)
    assert len(answers) == len(sequences)
    for ids, kinds, answer in zip(sequences, segments, answers, strict=True):
        assert np.array_equal(answer[: len(ids)], expected(ids, kinds))


@pytest.mark.parametrize(
    ("rows", "batches"),
    [(1, [1]), (3, [2, 1]), (5, [2, 2, 1]), (7, [8]), (8, [8]), (9, [8, 1]), (20, [8, 8, 2, 2])],
)
def test_rows_become_batches(rows, batches):
    ran: list[tuple[int, int]] = []
    runner(ran).run([[5] * 3] * rows, [b""] * rows)
    assert sorted(ran, reverse=True) == sorted(((one, 4) for one in batches), reverse=True)


def test_each_in_the_smallest_bucket():
    ran: list[tuple[int, int]] = []
    one = runner(ran)
    for length in (1, 4, 5, 8, 9, 16):
        one.run([[7] * length], [b""])
    assert [width for _, width in ran] == [4, 4, 8, 8, 16, 16]
    assert [one.width(n) for n in (1, 4, 5, 16)] == [4, 4, 8, 16]
    assert one.max_len == 16
    with pytest.raises(ValueError, match="17 tokens"):
        one.width(17)


@given(requests, st.integers(1, 5))
def test_a_batch_shared_by_several_runners(sequences, count):
    ran: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    segments = [b""] * len(sequences)
    with ThreadPoolExecutor(count) as threads:
        answers = run_split(sequences, segments, [runner(one) for one in ran], threads)
    for ids, answer in zip(sequences, answers, strict=True):
        assert np.array_equal(answer[: len(ids)], expected(ids, b""))


def test_all_of_them_work():
    ran: list[list[tuple[int, int]]] = [[] for _ in range(4)]
    split = SplitRunner([runner(one) for one in ran])
    answers = split.run([[3] * 8] * 64, [b""] * 64)
    assert answers.shape == (64, 8, 2)
    assert ran == [[(8, 8)] * 2] * 4
    assert (split.name, split.max_len, split.width(5)) == ("table, 4 copies", 16, 8)


def test_an_error_in_one_of_them_is_seen():
    class Broken(StaticRunner):
        def run(self, sequences, segments):
            raise RuntimeError("the device is gone")

    broken = Broken({(4, 1): Table((1, 4), [])}, pad_id=0, name="broken")
    with pytest.raises(RuntimeError, match="the device is gone"):
        SplitRunner([runner(), broken]).run([[1]] * 8, [b""] * 8)


def test_every_network_is_warmed_up():
    ran: list[tuple[int, int]] = []
    runner(ran).warm_up()
    assert sorted(ran) == sorted((rows, length) for length in BUCKETS for rows in BATCHES)


def test_answers_of_one_vector_a_row():
    class Logits:
        def infer(self, batch):
            return batch["input_ids"][:, :1].astype(np.float32)

    one = StaticRunner({(4, 2): Logits()}, pad_id=0, name="logits")
    assert one.run([[7], [8, 1], [9]], [b""] * 3).tolist() == [[7], [8], [9]]
