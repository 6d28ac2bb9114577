"""Dynamic batching over a transformers model, behind the engine interface.

A step is one token of every sequence that has its prompt behind it, and as much of the next
prompts and their images as ``max_num_batched_tokens`` leaves room for. One prompt is prefilled at
a time, in chunks, in the order of arrival; a newcomer waits for no one's end, only for a free row.

Rows of the cache: those of decoding sequences come first, then the one that is being prefilled.
"""

from __future__ import annotations

import gc
from collections import deque
from typing import Any, Final

import torch

from pilotage.engines.engine import (
    EngineInfo,
    EngineOutput,
    EngineRequest,
    FinishReason,
)
from pilotage.engines.transformers.runner import Runner
from pilotage.engines.transformers.sampling import Choice, Sampler, choose
from pilotage.engines.transformers.sequence import Prompt, Sequence
from pilotage.engines.transformers.vision import Eyes, ImageProblem

_LEAST_PREFILL: Final = 16
"""Prompt tokens a step, however many sequences decode: a newcomer always gets on."""

_NOT_A_NUMBER: Final = "the model computed no numbers; its number format may be too narrow"


class TransformersEngine:
    """A model on this process's device. See `pilotage.engines.engine.Engine`.

    Args:
        runner: The loaded model and its cache.
        info: Its limits.
        eyes: How its images become inputs; None for a text model.
    """

    def __init__(self, runner: Runner, info: EngineInfo, eyes: Eyes | None = None) -> None:
        self.info = info
        self._runner = runner
        self._eyes = eyes
        self._vocabulary = int(runner.model.get_input_embeddings().num_embeddings)
        self._waiting: deque[Sequence] = deque()
        self._prefilling: Sequence | None = None
        self._decoding: list[Sequence] = []
        self._known: dict[int, Sequence] = {}

    @property
    def model(self) -> Any:
        """The transformers model itself, for measurements and tests."""
        return self._runner.model

    @property
    def busy(self) -> bool:
        """Whether a step has something to do."""
        return bool(self._known)

    def submit(self, request: EngineRequest) -> None:
        """Take a request; raises ValueError when its parameters or its prompt cannot be used."""
        _check(request, self.info, self._vocabulary)
        if self._eyes is not None:
            self._eyes.check(request)
        elif request.images:
            raise ValueError("this model takes no images")
        sequence = Sequence(request, Sampler.of(request.params, request.prompt_ids))
        self._waiting.append(sequence)
        self._known[request.id] = sequence

    def cancel(self, request_id: int) -> None:
        """Stop a request; the next step lets go of it and reports it."""
        if sequence := self._known.get(request_id):
            sequence.cancelled = True

    def step(self) -> list[EngineOutput]:
        """One token of every running sequence, and a bounded amount of prefill."""
        with torch.inference_mode():
            return self._step()

    def _step(self) -> list[EngineOutput]:
        outputs = self._let_go()
        room = max(_LEAST_PREFILL, self.info.max_num_batched_tokens - len(self._decoding))
        if self._decoding:
            logits = self._runner.decode(self._decoding)
            for sequence in self._decoding:
                sequence.cached += 1
            outputs += self._advance(list(self._decoding), logits)
        while room > 0 and self._next_prompt(outputs):
            room -= self._prefill(room, outputs)
        return outputs

    def close(self) -> None:
        """Give the device's memory back, which PyTorch would keep for itself."""
        self._waiting.clear()
        self._decoding.clear()
        self._known.clear()
        self._prefilling = self._eyes = None
        del self._runner
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def kv_cache_usage(self) -> float:
        """Share of the KV cache in use: tokens held of those planned for."""
        held = sum(sequence.cached for sequence in self._decoding)
        if self._prefilling is not None:
            held += self._prefilling.cached
        return min(1.0, held / self.info.kv_cache_tokens)

    def _let_go(self) -> list[EngineOutput]:
        """Drop what was cancelled, wherever it is."""
        gone = [sequence for sequence in self._known.values() if sequence.cancelled]
        for sequence in gone:
            if sequence is self._prefilling:
                self._prefilling = None
            elif sequence in self._decoding:
                self._leave(sequence)
            else:
                self._waiting.remove(sequence)
            del self._known[sequence.request.id]
        return [EngineOutput(sequence.request.id, [], None, "cancelled") for sequence in gone]

    def _next_prompt(self, outputs: list[EngineOutput]) -> bool:
        """Whether there is a prompt to prefill; takes the next one that can be used."""
        while self._prefilling is None:
            if not self._waiting or len(self._decoding) >= self.info.max_num_seqs:
                return False
            sequence = self._waiting.popleft()
            try:
                sequence.prompt = self._prompt(sequence.request)
            except ImageProblem as problem:
                del self._known[sequence.request.id]
                outputs.append(EngineOutput(sequence.request.id, [], None, "error", str(problem)))
                continue
            self._prefilling = sequence
        return True

    def _prompt(self, request: EngineRequest) -> Prompt:
        if self._eyes is None or not request.images:
            return Prompt(request.prompt_ids)
        prompt = self._eyes.prompt(request, self._runner.device, self._runner.dtype)
        if len(prompt.ids) >= self.info.max_model_len:
            raise ImageProblem(
                f"with its images the prompt has {len(prompt.ids):,} tokens; "
                f"the model takes {self.info.max_model_len:,} with the completion"
            )
        return prompt

    def _prefill(self, room: int, outputs: list[EngineOutput]) -> int:
        """Run the next chunk of the prompt whose turn it is; returns the room that it took.

        Images take room as well: a patch of the vision encoder counts as a token.
        """
        sequence = self._prefilling
        assert sequence is not None
        assert sequence.prompt is not None
        begin, whole = sequence.cached, len(sequence.prompt.ids)
        end = whole if sequence.prompt.whole else min(whole, begin + room)
        row = len(self._decoding)
        patches = sequence.prompt.patches if begin == 0 else 0
        logits = self._runner.prefill(row, sequence.prompt, begin, end)
        sequence.cached = end
        if end == whole:
            self._runner.finish_prefill(row, sequence)
            self._prefilling = None
            self._decoding.append(sequence)
            outputs += self._advance([sequence], logits[None])
        return end - begin + patches

    def _advance(self, sequences: list[Sequence], logits: torch.Tensor) -> list[EngineOutput]:
        """Choose every sequence's next token, and let those leave that are done."""
        choices = choose(logits, [sequence.sampler for sequence in sequences])
        outputs = []
        for sequence, choice in zip(sequences, choices, strict=True):
            output = self._note(sequence, choice)
            outputs.append(output)
            if output.finish_reason is not None:
                self._leave(sequence)
                del self._known[sequence.request.id]
        return outputs

    def _note(self, sequence: Sequence, choice: Choice) -> EngineOutput:
        number, sampler = sequence.request.id, sequence.sampler
        if choice.token is None:
            return EngineOutput(number, [], None, "error", _NOT_A_NUMBER)
        logprobs = None if choice.logprob is None else [choice.logprob]
        if choice.token in sampler.stops and sampler.count >= sampler.params.min_tokens:
            return EngineOutput(number, [], None if logprobs is None else [], "stop")
        sampler.took(choice.token)
        sequence.next = choice.token
        full = sequence.cached + 1 >= self.info.max_model_len
        finish: FinishReason | None = (
            "length" if full or sampler.count >= sampler.params.max_tokens else None
        )
        return EngineOutput(number, [choice.token], logprobs, finish)

    def _leave(self, sequence: Sequence) -> None:
        """Free a decoding sequence's row: the last ones close the gap."""
        row = self._decoding.index(sequence)
        last = self._decoding.pop()
        if last is not sequence:
            self._decoding[row] = last
            self._runner.cache.move(len(self._decoding), row, last.cached)
        if self._prefilling is not None and self._prefilling.cached:
            freed = len(self._decoding)
            self._runner.cache.move(freed + 1, freed, self._prefilling.cached)


def _check(request: EngineRequest, info: EngineInfo, vocabulary: int) -> None:
    params = request.params
    if params.json_schema is not None:
        raise ValueError("the transformers engine does not support json_schema")
    if params.max_tokens < 1:
        raise ValueError("max_tokens must be at least 1")
    if not request.prompt_ids:
        raise ValueError("the prompt has no tokens")
    if len(request.prompt_ids) >= info.max_model_len:
        raise ValueError(
            f"the prompt has {len(request.prompt_ids):,} tokens; the model takes "
            f"{info.max_model_len:,} with the completion"
        )
    if not 0 <= min(request.prompt_ids) <= max(request.prompt_ids) < vocabulary:
        raise ValueError("the prompt has a token that the model does not know")
