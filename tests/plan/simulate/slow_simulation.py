"""A slow, obvious simulation, against which the fast ones are held.

One step at a time, one sequence at a time, the step model asked for every step.
"""

from dataclasses import dataclass

from pilotage.plan.step_model import Batch


@dataclass
class Sequence:
    number: int
    prompt: int
    completion: int
    read: int = 0
    written: int = 0


class Engine:
    def __init__(self, model, limits, images):
        self.model, self.limits, self.images = model, limits, images
        self.waiting, self.running = [], []
        self.end = None

    @property
    def outstanding(self):
        return len(self.waiting) + len(self.running)

    def begin(self, now):
        while self.waiting and len(self.running) < self.limits.max_num_seqs:
            held = sum(s.prompt + s.completion for s in self.running)
            if held + self.waiting[0].prompt + self.waiting[0].completion > self.limits.kv_tokens:
                break
            self.running.append(self.waiting.pop(0))
        decoding = [s for s in self.running if s.read == s.prompt]
        left = self.limits.max_num_batched_tokens - len(decoding)
        self.chunks, looked_at, images = [], 0, 0
        for sequence in self.running:
            if sequence.read < sequence.prompt and left > 0:
                chunk = min(left, sequence.prompt - sequence.read)
                images += self.images if sequence.read == 0 else 0
                looked_at += sum(range(sequence.read + 1, sequence.read + chunk + 1))
                left -= chunk
                self.chunks.append((sequence, chunk))
        self.decoding = decoding
        batch = Batch(
            prefill_tokens=sum(chunk for _, chunk in self.chunks),
            prefill_context=looked_at,
            decode_seqs=len(decoding),
            decode_context=sum(s.prompt + s.written for s in decoding),
            images=images,
        )
        idle = not self.chunks and not decoding
        self.end = None if idle else now + self.model.step_s(batch)

    def finish_step(self, first, finish):
        now = self.end
        for sequence in self.decoding:
            sequence.written += 1
        for sequence, chunk in self.chunks:
            sequence.read += chunk
            if sequence.read == sequence.prompt:
                sequence.written = 1
                first[sequence.number] = now
        for sequence in [s for s in self.running if s.written == s.completion]:
            finish[sequence.number] = now
            self.running.remove(sequence)
        self.begin(now)


def simulate(requests, model, limits, replicas, routing="least-loaded"):
    """(first-token times, finish times), by request."""
    engines = [Engine(model, limits, requests.images) for _ in range(replicas)]
    first, finish = {}, {}

    def until(when):
        while True:
            due = [e for e in engines if e.end is not None and (when is None or e.end < when)]
            if not due:
                return
            min(due, key=lambda e: e.end).finish_step(first, finish)

    for number, now in enumerate(requests.times_s.tolist()):
        until(now)
        if routing == "round-robin":
            engine = engines[number % replicas]
        else:
            engine = min(engines, key=lambda e: e.outstanding)
        engine.waiting.append(
            Sequence(number, int(requests.prompt[number]), int(requests.completion[number]))
        )
        if engine.end is None:
            engine.begin(now)
    until(None)
    numbers = range(len(requests))
    return [first[n] for n in numbers], [finish[n] for n in numbers]
