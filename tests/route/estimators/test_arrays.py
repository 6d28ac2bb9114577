"""Arrays in JSON: the same when they come back, and nothing else comes back."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest

from pilotage.route.estimators.arrays import MOST_BYTES, packed, unpacked


@pytest.mark.parametrize("kind", ["<f4", "<f2", "|i1", "<i2", "<i4"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 5), (0, 4)])
def test_what_was_packed_comes_back(kind: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    found = unpacked(json.loads(json.dumps(packed(array, kind))))
    assert found.shape == shape
    assert found.dtype == np.dtype(kind)
    assert (found == array).all()


def _bomb() -> str:
    return base64.b64encode(zlib.compress(bytes(1 << 20))).decode()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "|O8"},
        {"kind": "<f8"},
        {"shape": [MOST_BYTES]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [2]},
        {"shape": [-3]},
        {"shape": None},
        {"data": "no base64!"},
        {"data": base64.b64encode(b"not compressed").decode()},
        {"data": _bomb()},
        {"data": 7},
    ],
)
def test_damage_is_an_error(change: dict[str, Any]) -> None:
    data = packed(np.ones(3), "<f4") | change
    with pytest.raises((ValueError, TypeError, KeyError)):
        unpacked(data)
