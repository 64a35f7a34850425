"""The simulator finds what it is there to find: each bug of a list, put into the real code."""

from __future__ import annotations

import pytest

from tests.simulation.history import run_history
from tests.simulation.mutations import MAX_SEEDS, MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_simulator_finds_each_bug(mutation: Mutation) -> None:
    assert mutation.hunt() is not None, f"{MAX_SEEDS} histories do not show it"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_bug_is_gone_when_its_mutation_is(mutation: Mutation) -> None:
    with mutation.applied():
        pass
    assert all(getattr(where, name) is not changed for where, name, changed in mutation.patches)


def test_there_are_enough_bugs() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 10


def test_without_a_bug_nothing_is_found() -> None:
    assert not run_history(0).problems
