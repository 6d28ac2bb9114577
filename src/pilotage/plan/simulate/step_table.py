"""A step model as a table: fast enough for millions of steps, alike in a loop and in arrays.

A step's time depends on five numbers. Over a grid of prefill tokens and decoding sequences the
table holds the time at the contexts that the workload will have there, and how it grows with each
context and image. Between prefill nodes it is interpolated; for decoding sequences every whole
number has a row. For a model that is affine in the five numbers the table is exact; for a roofline,
which bends where compute overtakes memory, `StepTable.error` measures what it is off by.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage.plan.simulate.requests import Floats, Ints
from pilotage.plan.step_model import Batch, Batches, EngineLimits, ManyStepsModel, StepModel

# Every power of 2^(1/2) or so: between neighbours a roofline bends at most once.
_NODES_AN_OCTAVE = 3
_DENSE_UP_TO = 16
_FIELDS = tuple(field.name for field in dataclasses.fields(Batch))


@dataclass(frozen=True, slots=True)
class Rows:
    """The table as arrays.

    Attributes:
        values: By prefill node, decoding sequences and term: seconds at no context, seconds a
            token of decode context, of prefill context, and seconds an image.
        nodes: Prefill tokens of the nodes, ascending from 0.
    """

    values: NDArray[np.float64]
    nodes: Ints


class StepTable:
    """What steps take, tabulated.

    Args:
        model: What is tabulated.
        limits: How far the table reaches.
        prompt: A usual prompt's tokens: contexts near it are where the table is best.
        completion: A usual completion's tokens.
    """

    def __init__(
        self, model: StepModel, limits: EngineLimits, *, prompt: float, completion: float
    ) -> None:
        self._model = model
        self._errors: dict[tuple[int, int], tuple[float, float]] = {}
        self._mean_context = min(prompt + completion / 2, limits.max_model_len)
        self._mean_position = min(prompt, limits.max_model_len) / 2
        self.max_seqs = limits.max_num_seqs
        self.max_tokens = limits.max_num_batched_tokens
        nodes = _grid(self.max_tokens)
        seqs = _grid(self.max_seqs)
        coarse = self._terms(*np.meshgrid(nodes, seqs, indexing="ij"))
        dense = np.empty((len(nodes), self.max_seqs + 1, 4))
        every = np.arange(self.max_seqs + 1)
        for node in range(len(nodes)):
            for term in range(4):
                dense[node, :, term] = np.interp(every, seqs, coarse[node, :, term])
        self.rows = Rows(dense, nodes)
        # Decode steps without prefill are most of all steps, and a list answers a loop fastest.
        self.decode_s: list[float] = dense[0, :, 0].tolist()
        self.decode_s_a_token: list[float] = dense[0, :, 1].tolist()
        self._lower = np.clip(
            np.searchsorted(nodes, np.arange(self.max_tokens + 1), side="right") - 1,
            0,
            max(0, len(nodes) - 2),
        )
        widths = np.diff(nodes) if len(nodes) > 1 else np.ones(1)
        self._share = (np.arange(self.max_tokens + 1) - nodes[self._lower]) / widths[self._lower]
        # Flat nested lists for the scalar look-up.
        self._listed: list[list[list[float]]] = dense.tolist()
        self._lower_list: list[int] = self._lower.tolist()
        self._share_list: list[float] = self._share.tolist()

    def step_s(
        self, tokens: int, prefill_context: float, seqs: int, context: float, images: int
    ) -> float:
        """Seconds of one step."""
        node, share = self._lower_list[tokens], self._share_list[tokens]
        low, high = self._listed[node][seqs], self._listed[node + 1][seqs]
        below = low[0] + low[1] * context + low[2] * prefill_context + low[3] * images
        above = high[0] + high[1] * context + high[2] * prefill_context + high[3] * images
        return below + share * (above - below)

    def steps_s(
        self, tokens: Ints, prefill_context: Floats, seqs: Ints, context: Floats, images: Ints
    ) -> Floats:
        """Seconds of many steps."""
        node, share = self._lower[tokens], self._share[tokens]
        low, high = self.rows.values[node, seqs], self.rows.values[node + 1, seqs]
        below = low[:, 0] + low[:, 1] * context + low[:, 2] * prefill_context + low[:, 3] * images
        above = (
            high[:, 0] + high[:, 1] * context + high[:, 2] * prefill_context + high[:, 3] * images
        )
        result: Floats = below + share * (above - below)
        return result

    def decodes_s(self, seqs: Ints, context: Floats) -> Floats:
        """Seconds of many steps that only decode."""
        row = self.rows.values[0, seqs]
        result: Floats = row[:, 0] + row[:, 1] * context
        return result

    def error(self, samples: int = 200, seed: int = 0) -> tuple[float, float]:
        """Median and 90th percentile of the table's relative error on random batches.

        Batches are drawn as a workload makes them: any number of sequences, contexts from half to
        twice the usual one, half of them with prefill.
        """
        if (samples, seed) not in self._errors:
            self._errors[samples, seed] = self._error(samples, seed)
        return self._errors[samples, seed]

    def _error(self, samples: int, seed: int) -> tuple[float, float]:
        random = np.random.default_rng(seed)
        drawn = []
        for _ in range(samples):
            seqs = int(random.integers(0, self.max_seqs + 1))
            room = max(0, self.max_tokens - seqs)
            tokens = int(random.integers(0, room + 1)) if random.random() < 0.5 else 0
            if not seqs and not tokens:
                continue
            context = seqs * self._mean_context * float(np.exp(random.uniform(-0.7, 0.7)))
            position = tokens * self._mean_position * float(np.exp(random.uniform(-0.7, 0.7)))
            drawn.append((tokens, position, seqs, context))
        if not drawn:
            return 0.0, 0.0
        some, positions, many, contexts = (np.array(one) for one in zip(*drawn, strict=True))
        none = np.zeros_like(some)
        true = self._steps_s(
            Batches(
                prefill_tokens=some,
                prefill_context=positions,
                decode_seqs=many,
                decode_context=contexts,
                images=none,
            )
        )
        takes = true > 0  # in stand-ins decoding may take no time
        if not takes.any():
            return 0.0, 0.0
        told = self.steps_s(some, positions, many, contexts, none)
        errors = np.abs(told[takes] / true[takes] - 1)
        return float(np.median(errors)), float(np.quantile(errors, 0.9))

    def _terms(self, tokens: Ints, seqs: Ints) -> Floats:
        """Time at the usual contexts, taken back to none along its slopes; slopes; an image."""
        context: Floats = np.multiply(seqs, self._mean_context, dtype=np.float64)
        position: Floats = np.multiply(tokens, self._mean_position, dtype=np.float64)
        none = np.zeros_like(tokens)

        def at(context: Floats, position: Floats, images: Ints = none) -> Floats:
            took = self._steps_s(
                Batches(
                    prefill_tokens=tokens,
                    prefill_context=position,
                    decode_seqs=seqs,
                    decode_context=context,
                    images=images,
                )
            )
            # Nobody runs an empty step; its neighbours need a value to interpolate from.
            return np.where(tokens + seqs > 0, took, 0.0)

        reads, looks = seqs > 0, tokens > 0
        slope = np.where(
            reads,
            (at(1.5 * context, position) - at(0.5 * context, position))
            / np.where(reads, context, 1.0),
            0.0,
        )
        rise = np.where(
            looks,
            (at(context, 1.5 * position) - at(context, 0.5 * position))
            / np.where(looks, position, 1.0),
            0.0,
        )
        usual = at(context, position)
        image = np.where(looks, at(context, position, none + 1) - usual, 0.0)
        return np.stack([usual - slope * context - rise * position, slope, rise, image], axis=-1)

    def _steps_s(self, batches: Batches) -> Floats:
        """Seconds of many steps by the model itself, one by one where it knows no other way."""
        if isinstance(self._model, ManyStepsModel):
            return self._model.steps_s(batches)
        columns = (getattr(batches, name).ravel().tolist() for name in _FIELDS)
        took = [
            self._model.step_s(Batch(**dict(zip(_FIELDS, row, strict=True))))
            if row[0] or row[2]
            else 0.0
            for row in zip(*columns, strict=True)
        ]
        return np.array(took).reshape(batches.decode_seqs.shape)


def _grid(last: int) -> Ints:
    """0, every small number, then some an octave, up to ``last``; at least two."""
    dense = np.arange(min(last, _DENSE_UP_TO) + 1)
    octaves = np.log2(max(last, 2))
    geometric = np.rint(2 ** np.arange(0, octaves, 1 / _NODES_AN_OCTAVE))
    grid = np.unique(np.concatenate((dense, geometric, [last]))).astype(np.int64)
    return grid[grid <= last]
