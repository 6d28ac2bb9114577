"""What a freshly loaded model is put through before it serves."""

from __future__ import annotations

import time
from typing import Final

import torch

from pilotage.engines.engine import EngineRequest, Image, SamplingParams
from pilotage.engines.transformers.engine import TransformersEngine
from pilotage.engines.transformers.runner import Runner
from pilotage.engines.transformers.sampling import Sampler
from pilotage.engines.transformers.sequence import Prompt, Sequence
from pilotage.engines.transformers_memory import MemorySum
from pilotage.errors import UnsupportedModelError, UsageError

_WARM_UP_TOKENS: Final = 256
_LENGTHS: Final = (9, 5)
_SIDE: Final = 32
_PATIENCE_S: Final = 3.0

_TOLERANCE: Final = {torch.float32: 0.02, torch.bfloat16: 0.5, torch.float16: 0.25}
"""Greatest difference of a logit, in standard deviations of the logits: rounding stays well below
it (1e-5, 0.1 and 0.02), a wrong position or mask well above for any trained model."""


def prove_batching(runner: Runner, plan: MemorySum, where: str) -> None:
    """Compare our way of running the model with its own, on two short prompts of random tokens.

    One is prefilled in two chunks, the other in one; then both decode a token together. Each
    result is held against one plain pass of the model over the whole text.

    Raises:
        UnsupportedModelError: They differ, or the model does not take our inputs: its cache,
            positions or masks are of a kind that this engine does not know.
    """
    draw = torch.Generator().manual_seed(0)
    most = min(1000, runner.model.config.get_text_config(decoder=True).vocab_size)
    count = min(len(_LENGTHS), plan.max_num_seqs)
    texts = [
        torch.randint(most // 10, most, (length + 1,), generator=draw).tolist()
        for length in _LENGTHS[:count]
    ]
    try:
        ours, sequences = [], []
        for row, text in enumerate(texts):
            prompt = Prompt(text[:-1])
            cut = len(prompt.ids) // 2 if row == 0 else 0
            if cut:
                runner.prefill(row, prompt, 0, cut)
            ours.append(runner.prefill(row, prompt, cut, len(prompt.ids)))
            sequence = Sequence(EngineRequest(row, text, _PARAMS), Sampler(_PARAMS), prompt)
            runner.finish_prefill(row, sequence)
            sequence.cached, sequence.next = len(prompt.ids), text[-1]
            sequences.append(sequence)
        ours += list(runner.decode(sequences))
        theirs = [runner.plain(text[:-1]) for text in texts] + [runner.plain(t) for t in texts]
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _unsupported(f"the model does not run batched ({reason})", where) from error
    for mine, reference in zip(ours, theirs, strict=True):
        spread = reference.float().std().clamp_min(1e-6)
        apart = ((mine.float() - reference.float()).abs().max() / spread).item()
        if not apart <= _TOLERANCE[runner.dtype]:
            raise _unsupported(
                f"batched, the model's logits are {apart:.2g} standard deviations off its own",
                where,
            )


def measure_prefill(runner: Runner, plan: MemorySum) -> float:
    """Prompt tokens a second: the better of two passes after one that warms up.

    A device on which the first takes long is measured by that one.
    """
    count = max(1, min(_WARM_UP_TOKENS, plan.max_num_batched_tokens, plan.max_model_len - 2))
    most = min(1000, runner.model.config.get_text_config(decoder=True).vocab_size)
    prompt = Prompt([most // 2] * count)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        runner.prefill(0, prompt, 0, count)[0].item()  # waits for the device
        seconds.append(time.perf_counter() - began)
        if sum(seconds) > _PATIENCE_S:
            break
    return count / max(1e-9, min(seconds[1:] or seconds))


def try_image(engine: TransformersEngine, image_token: int, where: str) -> None:
    """Run one grey image through, so that eyes that do not work stop the start, not a request.

    Raises:
        UsageError: An image does not fit into ``max_model_len``, or cannot be processed.
    """
    image = Image(_SIDE, _SIDE, bytes([127]) * (3 * _SIDE * _SIDE))
    params = SamplingParams(max_tokens=2, temperature=0.0)
    engine.submit(EngineRequest(0, [image_token, 1], params, (image,)))
    while engine.busy:
        for output in engine.step():
            if output.finish_reason == "error":
                raise UsageError(
                    f"the model cannot take an image: {output.error}",
                    where=where,
                    hint="Raise --max-model-len if it is that",
                )


_PARAMS: Final = SamplingParams(max_tokens=1, temperature=0.0)


def _unsupported(message: str, where: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        message, where=where or None, hint="The engine vllm may run this family"
    )
