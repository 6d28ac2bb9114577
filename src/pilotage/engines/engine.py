"""The engine interface: `submit`, `cancel`, `step`.

An engine works in token ids. Text (tokenizer, chat template, stop strings) belongs to the room
`tokens` and is applied by whoever calls the engine, so that every engine behaves alike.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import msgspec

FinishReason = Literal["stop", "length", "cancelled", "error"]

Task = Literal["generate", "embed", "question-answering", "classify"]
"""What a model does with its tokens. All but "generate" are encoders: one pass, one tensor."""


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one sequence is sampled. Field names are those of the field (OpenAI, vLLM).

    ``temperature`` 0 is greedy. ``top_k`` 0 means all. ``stop_token_ids`` end the sequence and are
    themselves not part of the output; ``ignore_eos`` drops them. ``min_tokens`` tokens are
    generated before a stop token counts. ``json_schema`` is a JSON Schema as JSON text that the
    output must satisfy.
    """

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: bool = False
    json_schema: str | None = None


class Image(msgspec.Struct, frozen=True, array_like=True):
    """A decoded image: ``height`` rows of ``width`` RGB pixels, a byte a channel."""

    width: int
    height: int
    pixels: bytes


class Tensor(msgspec.Struct, frozen=True, array_like=True):
    """An encoder's answer: little-endian float32 values in row-major order."""

    shape: tuple[int, ...]
    data: bytes


class EngineRequest(msgspec.Struct, frozen=True):
    """One sequence to run.

    Attributes:
        id: Unique while it runs.
        prompt_ids: Its token ids. With images, each image is one image token here; an engine
            whose model wants several tokens an image expands them itself.
        params: How it is sampled. Encoders look at none of it.
        images: The prompt's images, in the order of their tokens.
        segments: For encoders that read pairs: the segment (0 or 1) of every token, a byte each;
            empty is all 0.
    """

    id: int
    prompt_ids: list[int]
    params: SamplingParams
    images: tuple[Image, ...] = ()
    segments: bytes = b""


class EngineOutput(msgspec.Struct, frozen=True, array_like=True):
    """What one step brought for one request.

    ``token_ids`` may be empty when only ``finish_reason`` is news. ``logprobs`` has one natural
    logarithm a token, when asked for. ``error`` says why, when ``finish_reason`` is "error".
    ``tensor`` is the whole answer of an encoder, which ends with ``finish_reason`` "stop": for
    "embed" the pooled and normalised vector ``[hidden]``, for "question-answering" the start and
    end logits ``[2, tokens]``, for "classify" the logits ``[labels]``.
    """

    id: int
    token_ids: list[int]
    logprobs: list[float] | None = None
    finish_reason: FinishReason | None = None
    error: str | None = None
    tensor: Tensor | None = None


class EncoderTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What an encoder's answers mean.

    Attributes:
        labels: A classifier's labels, by their number in the logits.
        multi_label: Whether each label has a probability of its own (sigmoid); else they share
            one (softmax).
        hidden: Length of an embedding.
        dimensions: Shorter lengths that an embedding may be cut to (Matryoshka); empty for none.
    """

    labels: tuple[str, ...] = ()
    multi_label: bool = False
    hidden: int = 0
    dimensions: tuple[int, ...] = ()


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an opened engine can hold, measured on its device.

    Attributes:
        engine: Name and version, such as "openvino 2026.4.1".
        max_model_len: Longest prompt plus completion, tokens.
        max_num_seqs: Sequences that run at once.
        max_num_batched_tokens: Tokens that one step may process.
        kv_cache_tokens: Tokens that the KV cache holds.
        kv_cache_bytes: Its size.
        prefill_tokens_per_s: Prompt tokens per second, measured at warm-up.
        load_s: Seconds from start to ready.
        unsupported: Sampling parameters that this engine does not have.
        task: What it does.
        encoder: What its answers mean; None for a model that generates.
    """

    engine: str
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_cache_tokens: int
    kv_cache_bytes: int
    prefill_tokens_per_s: float
    load_s: float
    unsupported: tuple[str, ...] = ()
    task: Task = "generate"
    encoder: EncoderTraits | None = None


@runtime_checkable
class Closable(Protocol):
    """An engine that holds more than Python frees with it, such as a device's memory."""

    def close(self) -> None:
        """Give it all back; the engine is idle, and not used again."""


class Engine(Protocol):
    """A model on a device slice, advanced one step at a time by a single thread.

    One that is `Closable` too is closed when its model is unloaded.
    """

    info: EngineInfo

    @property
    def busy(self) -> bool:
        """Whether any request is unfinished, so that `step` has something to do."""

    def submit(self, request: EngineRequest) -> None:
        """Take a request; it runs from the next step on. Raises ValueError for bad parameters."""

    def cancel(self, request_id: int) -> None:
        """Stop a request; a later step reports it finished once the device has let go of it."""

    def step(self) -> list[EngineOutput]:
        """Advance every running request by one iteration and return what is new."""

    def kv_cache_usage(self) -> float:
        """Share of the KV cache in use, 0 to 1."""
