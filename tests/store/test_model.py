"""Whatever is done to a store, in whatever order: it answers as the store in memory does."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from qbeat.store.base import MAX_AHEAD, Store
from qbeat.store.memory import MemoryStore
from qbeat.store.records import (
    AUTO,
    Change,
    Claim,
    EntryRecord,
    HistoryRecord,
    NewFiring,
    Release,
    Settlement,
    Skip,
)
from tests.store.conftest import KINDS, world_of
from tests.store.making import START, World, entry, replica

NAMES = ["a", "b", "c"]
STEP = len(NAMES)

names = st.sampled_from(NAMES)
replicas = st.sampled_from(["r1", "r2", "r3"])
few = st.integers(0, 4)
outcomes = st.sampled_from(["published", "skipped", "failed"])
reasons = st.none() | st.sampled_from(["overlap", "paused"])
attempts = st.sampled_from([None, 0, 0, 1])
sometimes_stale = st.sampled_from([0, 0, 0, 0, 1, -1])


class Comparison(RuleBasedStateMachine):
    """The same verbs for a store and for its model; fire times differ between entries, so none is a tie."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.clock, self.store = world.clock, world.connect()
        self.clock.now = START
        self.model = MemoryStore(self.clock)
        self.made = 0

    def both(self, verb: str, *arguments: Any, **options: Any) -> Any:
        expected = getattr(self.model, verb)(*arguments, **options)
        assert getattr(self.store, verb)(*arguments, **options) == expected
        return expected

    @rule(microseconds=st.integers(0, 20))
    def wait(self, microseconds: int) -> None:
        self.clock.now += microseconds

    @rule(microseconds=st.integers(1, 2 * MAX_AHEAD))
    def set_back(self, microseconds: int) -> None:
        self.clock.now -= microseconds

    @rule(batch=st.lists(st.tuples(names, few), max_size=4))
    def create(self, batch: list[tuple[str, int]]) -> None:
        self.both("save", [Change(self.fresh(name, later), None) for name, later in batch])

    def fresh(self, name: str, later: int) -> EntryRecord:
        """An entry whose cursor lies behind all that any entry has fired."""
        self.made += 1
        known = [record.cursor for record in self.model.entries()]
        last = max([*known, START, *(record.last_fire_time for record in self.model.history())])
        cursor = START + (last - START) // STEP * STEP + STEP * later + STEP + NAMES.index(name)
        made = entry(name, uid=f"{self.made:032x}", cursor=cursor, anchor=cursor, due_at=cursor + later)
        return replace(made, total_run_count=later)

    @rule(batch=st.lists(st.tuples(names, few, st.booleans(), st.booleans(), sometimes_stale), max_size=3))
    def edit(self, batch: list[tuple[str, int, bool, bool, int]]) -> None:
        found = {record.name: record for record in self.model.entries()}
        changes = [self.edition(found[change[0]], change) for change in batch if change[0] in found]
        self.both("save", changes)

    def edition(self, record: EntryRecord, how: tuple[str, int, bool, bool, int]) -> Change:
        _, steps, retire, none_due, stale = how
        cursor = record.cursor + steps * STEP
        skips = (Skip(record.cursor + STEP, cursor, steps, "superseded"),) if steps else ()
        changed = replace(
            record,
            cursor=cursor,
            task=f"t{steps}",
            due_at=None if none_due else cursor + 5,
            retired_at=self.clock.now if retire else None,
        )
        return Change(changed, record.revision + stale, record.cursor, skips)

    @rule(wanted=st.lists(names, max_size=2))
    def remove(self, wanted: list[str]) -> None:
        self.both("remove", wanted)

    @rule(
        batch=st.lists(st.tuples(names, few, few, sometimes_stale), min_size=1, max_size=5),
        who=replicas,
        settle=st.booleans(),
        data=st.data(),
    )
    def claim(self, batch: list[tuple[str, int, int, int]], who: str, settle: bool, data: Any) -> None:
        found = {record.name: record for record in self.model.entries()}
        claims = []
        for name, *rest in batch:
            if name in found:
                claims.append(self.claim_of(found[name], *rest))
                found[name] = replace(found[name], cursor=claims[-1].new_cursor)
        settlements = data.draw(st.lists(self.settlements(), max_size=3)) if settle else []
        self.both("claim", claims, settlements, replica=who)

    def claim_of(self, record: EntryRecord, firings: int, skipped: int, stale: int) -> Claim:
        first = record.cursor + skipped * STEP
        new = tuple(
            NewFiring(first + STEP * number, f"{record.uid}@{number}") for number in range(1, firings + 1)
        )
        skips = (Skip(record.cursor + STEP, first, skipped, "missed"),) if skipped else ()
        last = new[-1].fire_time if new else first
        revision = record.revision + (stale > 0)
        return Claim(
            record.uid, record.cursor, revision, last, last + STEP, last + STEP + skipped, new, skips
        )

    def firings(self) -> st.SearchStrategy[HistoryRecord]:
        """The unsettled ones; if there are none, one that is settled or was never claimed."""
        known = [*self.model.history()]
        held = [one for one in known if one.outcome == "claimed"]
        return st.sampled_from(held or known[:1] or [_unknown()])

    def settlements(self) -> st.SearchStrategy[Settlement]:
        return st.builds(self.settlement_of, self.firings(), outcomes, reasons, attempts)

    def settlement_of(
        self, firing: HistoryRecord, outcome: Any, reason: str | None, attempt: int | None
    ) -> Settlement:
        attempt = None if attempt is None else firing.attempt + attempt
        return Settlement(firing.uid, firing.fire_time, AUTO, outcome, self.clock.now, reason, attempt)

    def releases(self) -> st.SearchStrategy[Release]:
        return st.builds(self.release_of, self.firings(), sometimes_stale, few, st.booleans())

    def release_of(self, firing: HistoryRecord, stale: int, later: int, uncertain: bool) -> Release:
        attempt, not_before = firing.attempt + stale, self.clock.now + later
        return Release(firing.uid, firing.fire_time, AUTO, attempt, not_before, "why", uncertain=uncertain)

    @rule(data=st.data())
    def settle(self, data: Any) -> None:
        settlements = data.draw(st.lists(self.settlements(), max_size=2))
        releases = data.draw(st.lists(self.releases(), max_size=4))
        unlike = {(one.uid, one.fire_time, one.attempt): one for one in releases}
        self.both("settle", settlements, list(unlike.values()))

    @rule(name=names, back_offs=st.lists(few, min_size=1, max_size=3), who=replicas)
    def give_back(self, name: str, back_offs: list[int], who: str) -> None:
        """Release an entry's firings with different back-offs, and look at once what can be taken."""
        held = [one for one in self.model.history(entries=[name]) if one.outcome == "claimed"]
        releases = [
            self.release_of(firing, 0, later, uncertain=False)
            for firing, later in zip(held, back_offs, strict=False)
        ]
        self.both("settle", (), releases)
        self.both("take_over", replica=who, stale_after=10, limit=5)

    @rule(who=replicas, stale_after=st.integers(0, 30), limit=st.integers(1, 6))
    def take_over(self, who: str, stale_after: int, limit: int) -> None:
        self.both("take_over", replica=who, stale_after=stale_after, limit=limit)

    @rule(before=st.integers(0, 80), limit=st.integers(1, 5))
    def prune(self, before: int, limit: int) -> None:
        self.both("prune", START + before, limit)

    @rule(who=replicas, live_within=st.integers(1, 50))
    def heartbeat(self, who: str, live_within: int) -> None:
        self.both("heartbeat", replica(who), live_within=live_within)

    @rule(who=replicas)
    def leave(self, who: str) -> None:
        self.both("leave", who)

    @rule(
        since=st.none() | st.integers(0, 80),
        until=st.none() | st.integers(0, 80),
        newest_first=st.booleans(),
        limit=st.none() | st.integers(0, 5),
        wanted=st.none() | st.lists(names, max_size=2),
    )
    def read_history(
        self,
        since: int | None,
        until: int | None,
        newest_first: bool,
        limit: int | None,
        wanted: list[str] | None,
    ) -> None:
        query = {
            "entries": wanted,
            "since": None if since is None else START + since,
            "until": None if until is None else START + until,
            "newest_first": newest_first,
            "limit": limit,
        }
        assert list(self.store.history(**query)) == list(self.model.history(**query))  # type: ignore[arg-type]

    @rule(before=st.integers(0, 80), limit=st.integers(1, 3))
    def look_for_overdue(self, before: int, limit: int) -> None:
        found = [record.name for record in self.store.overdue(START + before, limit)]
        assert found == [record.name for record in self.model.overdue(START + before, limit)]

    @invariant()
    def agree(self) -> None:
        self.both("entries")
        self.both("unsettled")
        self.both("replicas")
        assert _all(self.store) == _all(self.model)


def _unknown() -> HistoryRecord:
    return HistoryRecord("0" * 32, "x", START, START, 1, AUTO, "claimed", None, None, START, None, None, 1)


def _all(store: Store) -> list[HistoryRecord]:
    return list(store.history())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "memory"])
def test_a_store_answers_as_the_one_in_memory(kind: str, request: pytest.FixtureRequest) -> None:
    with ExitStack() as opened:

        class OfThisKind(Comparison):
            def __init__(self) -> None:
                opened.close()  # the store of the run before
                folder = Path(opened.enter_context(TemporaryDirectory()))
                super().__init__(world_of(kind, request, folder, opened))

        run_state_machine_as_test(
            OfThisKind,
            settings=settings(
                max_examples=12,
                stateful_step_count=30,
                deadline=None,
                phases=[Phase.generate],  # a server makes shrinking take minutes
                suppress_health_check=list(HealthCheck),
            ),
        )
