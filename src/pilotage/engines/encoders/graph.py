"""The operations that encoders are made of, in OpenVINO's opset 13.

A `Node` here is OpenVINO's; its package has no types, hence `Any`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from pilotage.errors import UnsupportedModelError

Node = Any

_MASKED: Final = np.float32(np.finfo(np.float32).min)


def constant(array: NDArray[Any]) -> Node:
    """A float32 constant; integers stay what they are."""
    return ops.constant(np.ascontiguousarray(array))


def whole(*numbers: int) -> Node:
    """A vector of int64, as reshapes and slices want it."""
    return ops.constant(np.array(numbers, dtype=np.int64))


def scalar(number: int) -> Node:
    """One int64."""
    return ops.constant(np.int64(number))


def linear(x: Node, weight: NDArray[Any], bias: NDArray[Any]) -> Node:
    """``x @ weight.T + bias``; the weight is ``[out, in]`` as PyTorch keeps it."""
    return ops.add(ops.matmul(x, constant(weight), False, True), constant(bias))


def layer_norm(x: Node, weight: NDArray[Any], bias: NDArray[Any], epsilon: float) -> Node:
    """Layer norm over the last axis."""
    normed = ops.mvn(x, whole(-1), True, epsilon, "inside_sqrt")
    return ops.add(ops.multiply(normed, constant(weight)), constant(bias))


def activation(x: Node, name: str) -> Node:
    """The activation that Hugging Face calls `name`.

    Raises:
        UnsupportedModelError: There is none of that name here.
    """
    match name:
        case "gelu" | "gelu_python":
            return ops.gelu(x, "erf")
        case "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast":
            return ops.gelu(x, "tanh")
        case "relu":
            return ops.relu(x)
        case "silu" | "swish":
            return ops.swish(x)
        case "tanh":
            return ops.tanh(x)
    raise UnsupportedModelError(
        f'the activation "{name}", which the encoder builder does not have',
        hint="It has gelu, gelu_new, relu, silu and tanh",
    )


def attention_bias(mask: Node, shown: Node | None = None) -> Node:
    """What is added to attention scores: `shown` where `mask` is 1, -3e38 where it is 0.

    Chosen and not added up: the CPU plugin would rewrite ``mask * -3e38 + shown`` as
    ``(mask + shown / -3e38) * -3e38``, in which `shown` is lost to rounding (2026.4, seen with
    MPNet's relative positions).

    Args:
        mask: ``[batch, tokens]``, int64.
        shown: ``[1, heads, tokens, tokens]``; 0 if not given.
    """
    visible = ops.unsqueeze(ops.convert(mask, "boolean"), whole(1, 2))
    if shown is None:
        shown = ops.constant(np.float32(0))
    return ops.select(visible, shown, ops.constant(_MASKED))


def attention(query: Node, key: Node, value: Node, bias: Node, *, heads: int, size: int) -> Node:
    """Multi-head attention over ``[batch, tokens, heads * size]``."""

    def split(x: Node) -> Node:
        return ops.transpose(
            ops.reshape(x, whole(0, 0, heads, size), special_zero=True), whole(0, 2, 1, 3)
        )

    mixed = ops.scaled_dot_product_attention(split(query), split(key), split(value), bias)
    joined = ops.transpose(mixed, whole(0, 2, 1, 3))
    return ops.reshape(joined, whole(0, 0, heads * size), special_zero=True)


def rows(table: NDArray[Any], ids: Node) -> Node:
    """The rows of `table` that `ids` name."""
    return ops.gather(constant(table), ids, scalar(0))


def token_count(ids: Node) -> Node:
    """How long the sequences of a batch ``[batch, tokens]`` are: a vector of one int64."""
    return ops.gather(ops.shape_of(ids, "i64"), whole(1), scalar(0))


def first_rows(table: NDArray[Any], count: Node) -> Node:
    """The first `count` (a vector of one) rows of `table`."""
    return ops.slice(constant(table), whole(0), count, whole(1), whole(0))


def positions_from_mask(shown: Node, first: int) -> Node:
    """RoBERTa's positions: shown tokens count from `first`, padding is at ``first - 1``."""
    counted = ops.multiply(ops.cumsum(shown, scalar(1)), shown)
    return ops.add(counted, scalar(first - 1))


def first_token(x: Node) -> Node:
    """``[batch, tokens, hidden]`` to ``[batch, hidden]``: what stands at the first token."""
    return ops.gather(x, scalar(0), scalar(1))


def integer_input(name: str) -> Node:
    """An int64 input ``[batch, tokens]``, both free."""
    node = ops.parameter(ov.PartialShape([-1, -1]), ov.Type.i64, name=name)
    node.output(0).get_tensor().set_names({name})
    return node
