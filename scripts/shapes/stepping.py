"""What both lessons share: the optimizer, and one update by the whole team."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scripts.shapes.schedule import Schedule
from scripts.shapes.team import Team


class Stepper:
    """Moves some parameters along a schedule.

    Args:
        parameters: What is trained.
        schedule: How fast.
        team: Whose gradients are averaged.
    """

    def __init__(
        self, parameters: Sequence[torch.nn.Parameter], schedule: Schedule, team: Team
    ) -> None:
        self._parameters = list(parameters)
        self._schedule = schedule
        self._team = team
        decayed = [p for p in self._parameters if p.ndim >= 2]
        kept = [p for p in self._parameters if p.ndim < 2]  # norms, gates and biases
        self._optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.05}, {"params": kept, "weight_decay": 0.0}],
            lr=schedule.rate,
            betas=(0.9, 0.98),
        )

    def step(self, number: int, loss: torch.Tensor) -> None:
        """One update, the `number`-th, against `loss`."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate_at(number)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._team.average_gradients(self._parameters)
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
