"""Draws what a history is about: machines, clocks, declarations, weather and planned trouble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Literal

from qbeat.beat.entries import Entry
from qbeat.beat.policies import Policies
from qbeat.beat.timings import Timings
from qbeat.schedules import Cron, Crontab, Interval, Schedule
from qbeat.schedules.base import SECOND, to_us
from qbeat.schedules.jitter import Jitter
from tests.simulation.world import Weather

Kind = Literal["chaos", "calm", "kill", "stop"]
Ending = Literal["kill", "stop"]
Way = Literal["plain", "marked", "fused"]
"""How messages reach the broker: at least once, exactly once by marks, or pushed by the claim itself."""
Entries = Mapping[str, Entry]

STARTS: Final = {
    "UTC": datetime(2026, 3, 27, 12, 0, tzinfo=UTC),
    "Europe/Berlin": datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
    "America/New_York": datetime(2026, 11, 1, 6, 0, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    "Pacific/Apia": datetime(2011, 12, 30, 10, 0, tzinfo=UTC),
}
"""Instants at which something is odd about the local clock of a zone; a history begins shortly before."""


@dataclass(frozen=True)
class Event:
    """Trouble that is planned: what happens ``at`` (microseconds after the start) to a machine."""

    at: int
    what: Literal["start", "stop", "kill", "pause", "jump", "store", "broker"]
    machine: int = 0
    value: int = 0
    """How long, how far, or which declaration: microseconds, or the number of a generation."""


@dataclass(frozen=True)
class Plan:
    """One history before it happens."""

    kind: Kind
    start: int
    length: int
    """After so many microseconds all faults stop."""
    rates: tuple[float, ...]
    skews: tuple[int, ...]
    way: Way
    timings: Timings
    generations: tuple[Entries, ...]
    weather: Weather
    events: tuple[Event, ...]
    narrow: bool = False
    """Whether batches and queues are so short that a handful of firings fills them."""


def draw_plan(random: Random) -> Plan:
    """Draw a history: mostly chaos, sometimes a calm one in which figures are held to account."""
    kinds: tuple[Kind, ...] = ("chaos", "calm", "kill", "stop")
    (kind,) = random.choices(kinds, (80, 6, 7, 7))
    zone, noon = random.choice(list(STARTS.items()))
    start = to_us(noon) - random.randrange(0, 20 * SECOND)
    if kind == "chaos":
        return _draw_chaos(random, start, zone)
    return _draw_calm(random, kind, start, zone)


# --- calm histories


def _draw_calm(random: Random, kind: Literal["calm"] | Ending, start: int, zone: str) -> Plan:
    machines = 2 if kind == "calm" else random.randint(2, 3)
    length = 12 * SECOND
    entries = _draw_entries(random, zone, count=random.randint(6, 10))
    events = [Event(random.randrange(0, SECOND), "start", machine) for machine in range(machines)]
    if kind != "calm":
        events.append(Event(random.randrange(5 * SECOND, 7 * SECOND), kind, random.randrange(machines)))
    return Plan(
        kind=kind,
        start=start,
        length=length,
        rates=tuple(_draw_rate(random) for _ in range(machines)),
        skews=tuple(_draw_skew(random) for _ in range(machines)),
        way=_draw_way(random),
        timings=Timings(),
        generations=({name: entry for name, entry in entries.items() if _is_frequent(entry)} or entries,),
        weather=Weather(),
        events=tuple(events),
    )


def _is_frequent(entry: Entry) -> bool:
    return isinstance(entry.schedule, Interval)


# --- chaos


def _draw_chaos(random: Random, start: int, zone: str) -> Plan:
    machines = random.choices((1, 2, 3, 4), (2, 5, 4, 1))[0]
    length = random.randrange(4 * SECOND, 16 * SECOND)
    way = _draw_way(random)
    # Where claims publish, more are due at a time, and batches of one, so that several are under way.
    most, narrow = (10, 0.7) if way == "fused" else (5, 0.3)
    generations = _draw_generations(random, zone, most)
    events = [Event(random.randrange(0, 2 * SECOND), "start", machine) for machine in range(machines)]
    events += _draw_deploys(random, machines, length, len(generations))
    events += _draw_trouble(random, machines, length)
    return Plan(
        kind="chaos",
        start=start,
        length=length,
        rates=tuple(_draw_rate(random) for _ in range(machines)),
        skews=tuple(_draw_skew(random) for _ in range(machines)),
        way=way,
        timings=replace(Timings(), uncertain_after=random.choice((2.0, 4.0, 10.0))),
        generations=generations,
        weather=_draw_weather(random),
        events=tuple(events),
        narrow=random.random() < narrow,
    )


def _draw_deploys(random: Random, machines: int, length: int, generations: int) -> list[Event]:
    """Draw rolling deploys: machine after machine ends and starts again with another declaration."""
    events: list[Event] = []
    endings: tuple[Ending, ...] = ("stop", "stop", "kill")
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        at = random.randrange(SECOND, length)
        generation = random.randrange(generations)
        for machine in random.sample(range(machines), machines):
            how = random.choice(endings)
            events.append(Event(at, how, machine))
            events.append(Event(at + random.randrange(1, 2 * SECOND), "start", machine, generation))
            at += random.choice((0, SECOND // 2, 2 * SECOND))
    return events


def _draw_trouble(random: Random, machines: int, length: int) -> list[Event]:
    events: list[Event] = []

    def some(what: Literal["pause", "jump", "store", "broker", "kill"], least: int, most: int) -> None:
        for _ in range(random.choice((0, 0, 1, 2))):
            machine, at = random.randrange(machines), random.randrange(length)
            events.append(Event(at, what, machine, random.randrange(least, most)))

    some("pause", SECOND // 10, 25 * SECOND)
    some("jump", -3_600 * SECOND, 3_600 * SECOND)
    some("store", SECOND // 10, 6 * SECOND)
    some("broker", SECOND // 10, 8 * SECOND)
    some("kill", 0, 1)
    return events


def _draw_weather(random: Random) -> Weather:
    def rare(least: float, most: float) -> float:
        return random.choice((0.0, random.uniform(least, most)))

    return Weather(
        crash=rare(0.0002, 0.004),
        pause=rare(0.0002, 0.002),
        slow=rare(0.002, 0.05),
        store_fails=rare(0.002, 0.06),
        send_fails=rare(0.01, 0.3),
        entry_fails=random.choice((0.0, 0.0, 0.0, 0.05, 0.5)),
    )


def _draw_way(random: Random) -> Way:
    ways: tuple[Way, ...] = ("plain", "marked", "fused")
    return random.choices(ways, (4, 5, 3))[0]


def _draw_rate(random: Random) -> float:
    return 1 + random.choice((0.0, random.uniform(-0.0002, 0.0002)))


def _draw_skew(random: Random) -> int:
    return random.choice(
        (0, random.randrange(-5 * SECOND, 5 * SECOND), random.randrange(-86_400 * SECOND, 1))
    )


# --- declarations


def _draw_generations(random: Random, zone: str, most: int) -> tuple[Entries, ...]:
    """Draw a declaration and a few that came of it: entries added, removed and changed."""
    generations = [_draw_entries(random, zone, count=random.randint(1, most))]
    for _ in range(random.choice((0, 1, 1, 2))):
        entries = dict(generations[-1])
        for name in [*entries, *(f"e{number}" for number in range(6))]:
            fate = random.random()
            if name in entries and fate < 0.2:
                del entries[name]
            elif name in entries and fate < 0.35:
                entries[name] = _draw_entry(random, name, zone)
            elif name in entries and fate < 0.5:
                entries[name] = replace(entries[name], args=(random.randrange(10),))
            elif name not in entries and fate < 0.2:
                entries[name] = _draw_entry(random, name, zone)
        generations.append(entries)
    return tuple(generations)


def _draw_entries(random: Random, zone: str, count: int) -> Entries:
    return {name: _draw_entry(random, name, zone) for name in (f"e{number}" for number in range(count))}


def _draw_entry(random: Random, name: str, zone: str) -> Entry:
    schedule = _draw_schedule(random, zone).resolve(name=name, timezone=zone)
    return Entry(name, f"tasks.{name}", schedule, zone, policies=_draw_policies(random))


def _draw_schedule(random: Random, zone: str) -> Schedule:
    kind = random.random()
    if kind < 0.1:
        return Crontab(timezone=zone)
    if kind < 0.2:
        return Cron(f"*/{random.choice((2, 5, 15))} * * * * *", seconds="first", timezone=zone)
    if kind < 0.25:
        return Cron("*/7 */10 0-3 * * *", seconds="first", timezone=zone)
    return Interval(random.choice((0.2, 0.5, 1, 1, 1.5, 2, 2, 3.7, 5)))


def _draw_policies(random: Random) -> Policies:
    window = random.choice((None, None, timedelta(seconds=random.choice((0.5, 3, 8)))))
    return Policies(
        catch_up=random.choice(("latest", "all", "skip")),
        catch_up_window=window,
        on_uncertain=random.choice(("publish", "publish", "skip")),
        jitter=random.choice((None, None, None, Jitter(duration=SECOND // 2), Jitter(share=500_000))),
    )
