"""What must hold after every history, whatever went wrong in it. Pure: facts in, sentences about problems out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

from qbeat.beat.entries import Entry
from qbeat.beat.policies import CATCH_UP_GRACE, Policies
from qbeat.schedules.base import SECOND
from qbeat.schedules.codec import from_data
from qbeat.store.records import EntryRecord, HistoryRecord, Won
from tests.simulation.ledger import Arrival, Ledger, Saved
from tests.simulation.plan import Entries, Plan

MAX_TICKS: Final = 60
"""A replica that ticks more often in a second, beyond what it publishes, is busy with nothing."""
MAX_LOST: Final = 0.05
"""Of the claims that two healthy replicas try, so many may be lost."""
KILLED_WITHIN: Final = SECOND
STOPPED_WITHIN: Final = SECOND // 4
"""So much later may the entries of a replica fire that was killed, or stopped."""
ON_TIME_WITHIN: Final = SECOND // 20
"""Where all is well, a firing is claimed no later than this."""
WARM_UP: Final = 3 * SECOND
"""Until then replicas that have started at the same time get to know each other."""

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Definition:
    """An entry as it was in force for the fire times in ``(after, until]``."""

    uid: str
    name: str
    policies: Policies
    after: int
    until: int
    due: Mapping[int, int]
    """Its fire times, and when each is due: then, or later by its jitter."""
    ended: bool
    """Whether a change or a retirement ended it, so that fire times may have been superseded."""


@dataclass(frozen=True)
class Facts:
    """What a history has left."""

    plan: Plan
    ledger: Ledger
    entries: Mapping[str, EntryRecord]
    history: list[HistoryRecord]
    running: list[Entries]
    """The declarations of the replicas that live."""
    until: int
    """Fire times up to here must have their outcome."""
    now: int

    @cached_property
    def definitions(self) -> dict[str, list[Definition]]:
        """All definitions of each entry, the oldest first."""
        saved: dict[str, list[Saved]] = defaultdict(list)
        for one in self.ledger.saved:
            saved[one.record.uid].append(one)
        return {uid: list(self._definitions(saves)) for uid, saves in saved.items()}

    @cached_property
    def arrivals(self) -> dict[tuple[str, int], list[Arrival]]:
        """What reached the broker, for each firing."""
        found: dict[tuple[str, int], list[Arrival]] = defaultdict(list)
        for arrival in self.ledger.arrivals:
            found[arrival.uid, arrival.fire_time].append(arrival)
        return found

    @cached_property
    def outcomes(self) -> dict[str, list[HistoryRecord]]:
        """What is recorded of each entry."""
        found: dict[str, list[HistoryRecord]] = defaultdict(list)
        for record in self.history:
            found[record.uid].append(record)
        return found

    def due_at(self, uid: str, fire_time: int) -> int:
        """Return when a firing is due; what is no fire time, when it says."""
        return next((one.due[fire_time] for one in self.definitions[uid] if fire_time in one.due), fire_time)

    @cached_property
    def _declared(self) -> dict[str, Entry]:
        return {entry.fingerprint: entry for entries in self.plan.generations for entry in entries.values()}

    def _definitions(self, saves: list[Saved]) -> Iterator[Definition]:
        for saved, following in zip(saves, [*saves[1:], None], strict=True):
            record = saved.record
            entry = self._declared[record.fingerprint]
            until = following.record.cursor if following else record.retired_at or self.now
            yield Definition(
                record.uid,
                record.name,
                entry.policies,
                record.cursor,
                until,
                {at: _due_at(entry, record, at) for at in _fire_times(record, until)},
                ended=record.retired_at is not None
                or (following is not None and _ends(record, following.record)),
            )


def _fire_times(record: EntryRecord, until: int) -> Iterator[int]:
    schedule = from_data(record.schedule)
    at = schedule.next_us(record.cursor, record.anchor)
    while at is not None and at <= until:
        yield at
        at = schedule.next_us(at, record.anchor)


def _due_at(entry: Entry, record: EntryRecord, fire_time: int) -> int:
    due_at = entry.policies.due_at(record.uid, entry.schedule, fire_time, record.anchor)
    assert due_at is not None
    return due_at


def _ends(before: EntryRecord, after: EntryRecord) -> bool:
    return before.schedule != after.schedule or after.retired_at is not None


def judge(facts: Facts) -> list[str]:
    """Return what is wrong, a sentence each; an empty list is what we hope for."""
    problems = [*facts.ledger.errors]
    for check in CHECKS:
        problems += check(facts)
    return problems


# --- every fire time has exactly one outcome


def one_outcome(facts: Facts) -> Iterator[str]:
    """Hold the outcomes of each entry against its fire times."""
    for uid, definitions in facts.definitions.items():
        due = {at: due for definition in definitions for at, due in definition.due.items()}
        expected = sorted(due)
        name = definitions[-1].name
        counts = [0] * len(expected)
        for record in facts.outcomes.get(uid, []):
            covered = range(
                bisect_left(expected, record.fire_time), bisect_right(expected, record.last_fire_time)
            )
            for index in covered:
                counts[index] += 1
            if record.count != len(covered):
                yield f"{name}: {_span(facts, record)} stands for {record.count} fire times, not {len(covered)}"
        for at, count in zip(expected, counts, strict=True):
            if count > 1 or (count == 0 and due[at] <= facts.until):
                yield f"{name} {_at(facts, at)}: {count} outcomes"


def cursors_stay_in_the_past(facts: Facts) -> Iterator[str]:
    """An entry begins where it is registered or changed: never later, or fire times are lost."""
    for saved in facts.ledger.saved:
        if saved.record.cursor > saved.at:
            yield f"{saved.record.name}: saved with a cursor in the future"


def outbox_is_empty(facts: Facts) -> Iterator[str]:
    for record in facts.history:
        if record.outcome == "claimed" and record.claimed_at <= facts.until:
            yield f"{record.entry} {_at(facts, record.fire_time)}: still in the outbox"


# --- what reached the broker


def published_as_recorded(facts: Facts) -> Iterator[str]:
    """Hold what reached the broker against the outcomes."""
    known: set[tuple[str, int]] = set()
    for record in facts.history:
        if record.task_id is None:
            continue
        known.add((record.uid, record.fire_time))
        count = len(facts.arrivals.get((record.uid, record.fire_time), ()))
        least, most = _bounds(facts, record)
        if not least <= count <= most:
            yield f"{record.entry} {_at(facts, record.fire_time)}: {record.outcome}, but published {count} times"
    for uid, fire_time in facts.arrivals.keys() - known:
        yield f"{uid} {_at(facts, fire_time)}: published, but not claimed"


def _bounds(facts: Facts, record: HistoryRecord) -> tuple[int, float]:
    least = 1 if record.outcome == "published" else 0
    if facts.plan.way != "plain" or facts.plan.kind == "calm":
        return least, 1
    on_uncertain = {definition.policies.on_uncertain for definition in facts.definitions[record.uid]}
    return least, 1 if on_uncertain == {"skip"} else float("inf")


def one_task_id(facts: Facts) -> Iterator[str]:
    for (uid, fire_time), arrivals in facts.arrivals.items():
        if len({arrival.task_id for arrival in arrivals}) > 1:
            yield f"{uid} {_at(facts, fire_time)}: published under two ids"


def nothing_early(facts: Facts) -> Iterator[str]:
    for arrival in facts.ledger.arrivals:
        early = facts.due_at(arrival.uid, arrival.fire_time) - arrival.at
        if early > 0:
            yield f"{arrival.uid} {_at(facts, arrival.fire_time)}: published {early} µs before its time"


def in_order(facts: Facts) -> Iterator[str]:
    """Per entry and lane, firings first reach the broker in the order of their fire times."""
    latest: dict[tuple[str, str], int] = {}
    given_up = {(record.uid, record.fire_time) for record in facts.history if record.outcome != "published"}
    for arrival in facts.ledger.arrivals:
        firing, field = (arrival.uid, arrival.fire_time), (arrival.uid, arrival.lane)
        if firing in given_up or facts.arrivals[firing][0] is not arrival:
            continue
        if arrival.fire_time < latest.get(field, 0):
            yield f"{arrival.uid} {_at(facts, arrival.fire_time)}: published after a later one"
        latest[field] = max(arrival.fire_time, latest.get(field, 0))


# --- policies


def nothing_skipped_in_calm(facts: Facts) -> Iterator[str]:
    """Where nothing goes wrong, everything is fired.

    But jitter may let two fire times be due at nearly the same instant; then one claim finds both.
    """
    for record in facts.history:
        late = record.claimed_at - facts.due_at(record.uid, record.fire_time)
        together = record.reason == "coalesced" and late <= ON_TIME_WITHIN
        if facts.plan.kind == "calm" and record.outcome == "skipped" and not together:
            yield f"{record.entry} {_span(facts, record)}: skipped for no reason"


def policies_held(facts: Facts) -> Iterator[str]:
    """Each skip has a reason that the entry's policies, or the end of its definition, allow."""
    for uid, records in facts.outcomes.items():
        for record in records:
            definition = _in_force(facts, uid, record)
            if record.outcome == "skipped" and definition is not None:
                problem = _judge_skip(record, definition)
                if problem and _was_too_late(facts, record, definition):
                    continue
                if problem:
                    yield f"{record.entry} {_span(facts, record)}: {problem}"


def _in_force(facts: Facts, uid: str, record: HistoryRecord) -> Definition | None:
    for definition in facts.definitions[uid]:
        if definition.after < record.fire_time <= definition.until:
            return definition
    return None


def _judge_skip(record: HistoryRecord, definition: Definition) -> str | None:
    policies = definition.policies
    if record.reason == "coalesced":
        return "coalesced, but catch_up is 'all'" if policies.catch_up == "all" else None
    if record.reason == "superseded":
        return None if definition.ended or record.task_id else "superseded by nothing"
    window = _window(policies)
    if window is None:
        return "missed, but nothing says how late is too late"
    late = record.claimed_at - definition.due[record.last_fire_time]
    return None if late > window else f"missed, but only {late} µs late"


def _was_too_late(facts: Facts, record: HistoryRecord, definition: Definition) -> bool:
    """Whether a firing waited in the outbox for too long, by the entry as it was or as it came to be."""
    decided_at = facts.ledger.skipped_at.get((record.uid, record.fire_time, record.lane))
    if decided_at is None or record.reason != "missed":
        return False
    late = decided_at - definition.due[record.fire_time]
    windows = [_window(one.policies) for one in facts.definitions[record.uid]]
    return any(window is not None and late > window for window in windows)


def _window(policies: Policies) -> int | None:
    """After how many microseconds a fire time is missed."""
    windows = [policies.catch_up_window] if policies.catch_up_window is not None else []
    if policies.catch_up == "skip":
        windows.append(CATCH_UP_GRACE)
    return min(windows) // _MICROSECOND if windows else None


def one_firing_per_catch_up(facts: Facts) -> Iterator[str]:
    """Unless ``catch_up`` is ``all``, a claim fires once, and what it coalesces gives way to that firing."""
    for claimed in facts.ledger.claimed:
        claim = claimed.claim
        if claimed.won is Won.LOST or _catches_up_all(facts, claim.uid, claim.cursor):
            continue
        if len(claim.firings) > 1:
            yield f"{claim.uid}: a claim fires {len(claim.firings)} times"
        for skip in claim.skips:
            if skip.reason == "coalesced" and not any(new.fire_time > skip.last for new in claim.firings):
                yield f"{claim.uid} {_at(facts, skip.last)}: coalesced into nothing"


def _catches_up_all(facts: Facts, uid: str, cursor: int) -> bool:
    return any(
        definition.policies.catch_up == "all" and definition.after <= cursor <= definition.until
        for definition in facts.definitions[uid]
    )


# --- declarations


def declarations_in_force(facts: Facts) -> Iterator[str]:
    """What the living declare is in force, what nobody declares is retired."""
    standing = {record.name: record for record in facts.entries.values() if record.retired_at is None}
    declared: dict[str, set[str]] = defaultdict(set)
    for entries in facts.running:
        for entry in entries.values():
            declared[entry.name].add(entry.fingerprint)
    for name, fingerprints in declared.items():
        if name not in standing:
            yield f"{name}: declared, but not in force"
        elif standing[name].fingerprint not in fingerprints:
            yield f"{name}: in force is a definition that nobody declares any more"
    for name in standing.keys() - declared.keys():
        yield f"{name}: declared by nobody, but not retired"


# --- figures


def rests_between_ticks(facts: Facts) -> Iterator[str]:
    work = Counter((arrival.replica, arrival.at // SECOND) for arrival in facts.ledger.arrivals)
    work += facts.ledger.dropped
    for (replica, second), ticks in facts.ledger.ticks.items():
        if ticks > MAX_TICKS + 2 * work[replica, second]:
            yield f"{replica}: {ticks} ticks in second {second - facts.plan.start // SECOND}"


def few_claims_are_lost(facts: Facts) -> Iterator[str]:
    """Shares save work: healthy replicas hardly ever try the same claim."""
    if facts.plan.kind != "calm":
        return
    tried = [claimed.won for claimed in facts.ledger.claimed if claimed.at > facts.plan.start + WARM_UP]
    lost = tried.count(Won.LOST)
    if lost > MAX_LOST * len(tried):
        yield f"{lost} of {len(tried)} claims were lost"


def shares_are_kept(facts: Facts) -> Iterator[str]:
    """Between healthy replicas, the same one fires an entry each time."""
    if facts.plan.kind != "calm":
        return
    firing: dict[str, str] = {}
    for claimed in facts.ledger.claimed:
        if claimed.at > facts.plan.start + WARM_UP:
            replica = firing.setdefault(claimed.claim.uid, claimed.replica)
            if replica != claimed.replica:
                yield f"{claimed.claim.uid}: {claimed.replica} tries to fire what is {replica}'s to fire"


def on_time_in_the_end(facts: Facts) -> Iterator[str]:
    """When all is well again, each entry is claimed on time."""
    for record in facts.history:
        due_at = facts.due_at(record.uid, record.fire_time)
        if due_at > facts.until and record.claimed_at - due_at > ON_TIME_WITHIN:
            yield f"{record.entry} {_at(facts, record.fire_time)}: {record.claimed_at - due_at} µs late in the end"


def late_by_little(facts: Facts) -> Iterator[str]:
    """After a replica has ended, others fire its entries soon."""
    if facts.plan.kind not in {"kill", "stop"} or not facts.ledger.ended:
        return
    limit = KILLED_WITHIN if facts.plan.kind == "kill" else STOPPED_WITHIN
    ended_at, _, unsettled = facts.ledger.ended[0]
    for record in facts.history:
        if record.fire_time < ended_at or record.uid in unsettled:
            continue
        arrivals = facts.arrivals.get((record.uid, record.fire_time), ())
        done_at = max((arrival.at for arrival in arrivals), default=record.claimed_at)
        late = done_at - facts.due_at(record.uid, record.fire_time)
        if late > limit and record.last_fire_time < ended_at + 5 * SECOND:
            yield f"{record.entry} {_at(facts, record.fire_time)}: {late / SECOND:.3f} s late"


def _at(facts: Facts, instant: int) -> str:
    return f"{(instant - facts.plan.start) / SECOND:.3f}"


def _span(facts: Facts, record: HistoryRecord) -> str:
    return f"{_at(facts, record.fire_time)} to {_at(facts, record.last_fire_time)} ({record.reason})"


Check = Callable[[Facts], Iterable[str]]

CHECKS: Final[tuple[Check, ...]] = (
    one_outcome,
    cursors_stay_in_the_past,
    outbox_is_empty,
    published_as_recorded,
    one_task_id,
    nothing_early,
    in_order,
    nothing_skipped_in_calm,
    policies_held,
    one_firing_per_catch_up,
    declarations_in_force,
    rests_between_ticks,
    few_claims_are_lost,
    shares_are_kept,
    on_time_in_the_end,
    late_by_little,
)
