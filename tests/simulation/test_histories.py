"""Hundreds of histories in each test run; ``make torture`` lets thousands happen."""

from __future__ import annotations

import pytest

from tests.simulation.history import run_history

SEEDS = 200
BATCH = 20


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_promise_holds_in_every_history(first: int) -> None:
    bad = [verdict for seed in range(first, first + BATCH) if (verdict := run_history(seed)).problems]
    told = [f"seed {verdict.seed}: {problem}" for verdict in bad for problem in verdict.problems[:3]]
    assert not bad, "\n".join([*told, "python -m tests.simulation --trace --seed … tells what happened"])


@pytest.mark.parametrize("seed", [3, 7])
def test_a_seed_gives_the_same_history_each_time(seed: int) -> None:
    once, again = run_history(seed, trace=True), run_history(seed, trace=True)
    assert once.story == again.story
    assert len(once.story) > 10


def test_histories_are_about_something() -> None:
    verdicts = [run_history(seed) for seed in range(40)]
    assert {verdict.plan.kind for verdict in verdicts} == {"chaos", "calm", "kill", "stop"}
    assert {verdict.plan.way for verdict in verdicts} == {"plain", "marked", "fused"}
    assert sum(verdict.figures["firings"] for verdict in verdicts) > 1_000
    assert sum(verdict.figures["replicas"] for verdict in verdicts) > 100
