"""One row of a table through the parts that serve requests."""

import asyncio
from dataclasses import replace

from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.policies import Ask, State, Take, Tried, with_tried, would_take


def step(policy, panel, after, table, row, *, names, generations, prompt="", answers=None):
    """Quality, dollars and generations of one row.

    Args:
        policy: Decides.
        panel: Verifies.
        after: What is expected of every tier, given who answered, how well, and what was expected.
        table: The rows.
        row: Which.
        names: Of the table's columns.
        generations: Most of them.
        prompt: Of the row.
        answers: Its answers' texts, by tier.
    """
    call = Call(body={"messages": [{"role": "user", "content": prompt}]}, request_id="")
    state = State(
        tiers=names,
        remaining=generations,
        quality=dict(zip(names, table.prior[row], strict=True)),
        cost=dict(zip(names, table.expected_usd[row], strict=True)),
    )
    usd = 0.0
    while isinstance(action := policy.decide(state), Ask):
        tier = action.tier
        usd += table.usd[row, names.index(tier)]
        score = None
        if not would_take(policy, state, tier):
            then = with_tried(state, Tried(tier=tier))
            examined = panel.examine(
                call,
                Answer(text=(answers or {}).get(tier, "")),
                tier,
                prior=state.quality[tier],
                bar=policy.bar(then, tier),
                costly=bool(then.open),
            )
            finding = asyncio.run(examined)
            score = finding.score
            usd += float(finding.cost)
        state = with_tried(state, Tried(tier=tier, score=score))
        if score is not None:
            state = replace(state, quality=after(tier, score, state.quality))
    assert isinstance(action, Take)
    return table.quality[row, names.index(action.tier)], usd, len(state.tried)
