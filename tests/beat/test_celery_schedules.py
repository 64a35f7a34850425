"""Celery's schedule objects fire as qbeat's schedules when Celery says that they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedstate, schedule, solar
from hypothesis import given
from hypothesis import strategies as st

from qbeat.beat.app.celery_schedules import CustomSchedule, compile_schedule
from qbeat.beat.policies import Policies
from qbeat.schedules import Cron, Crontab, Interval, RRule, Schedule, ScheduleError
from qbeat.schedules.base import LATEST, SECOND, from_us, to_us

START = to_us(datetime(2026, 2, 27, 22, 58, 7, tzinfo=UTC))


def app_in(timezone: str) -> Celery:
    return Celery("tasks", set_as_current=False, changes={"timezone": timezone})


def compiled(declared: Any, timezone: str = "UTC") -> Schedule:
    if isinstance(declared, BaseSchedule):
        declared.app = app_in(timezone)
    return compile_schedule(declared, name="entry", timezone=timezone)


def fire_times(found: Schedule, count: int, start: int = START) -> list[int]:
    times, instant = [], start
    for _ in range(count):
        following = found.next_us(instant, start)
        assert following is not None
        times.append(following)
        instant = following
    return times


def celerys_fire_times(declared: BaseSchedule, count: int) -> list[int]:
    """When Celery's own object is due, asked at once after each of its fire times."""
    declared.app = app_in("UTC")

    def walk() -> Iterator[int]:
        last = from_us(START)
        for _ in range(count):
            declared.nowfun = partial(from_us, to_us(last))
            last += declared.remaining_estimate(last)
            yield to_us(last)

    return list(walk())


@pytest.mark.parametrize(
    "make",
    [
        crontab,
        lambda: crontab(minute=0, hour="*/3"),
        lambda: crontab(minute=30, hour=7, day_of_week=1),
        lambda: crontab(0, 0, "fri-mon"),
        lambda: crontab(0, 0, day_of_month="2-30/2"),
        lambda: crontab(0, 0, day_of_month=31),
        lambda: crontab(0, 12, day_of_month="1-7", month_of_year="*/3"),
        lambda: crontab(0, "22-4", day_of_week="mon"),
        lambda: crontab([1, 2], {3, 4}, day_of_month="1,15", day_of_week="sun"),
        lambda: crontab(0, 0, day_of_month=29, month_of_year=2),
        lambda: crontab(5, 4, "sun"),
    ],
)
def test_a_crontab_fires_when_celery_says(make: Callable[[], crontab]) -> None:
    assert fire_times(compiled(make()), 12) == celerys_fire_times(make(), 12)


field = st.sampled_from(["*", "*/7", "*/2", "1-3", "0"])


@given(field, field, field, st.sampled_from(["*", "1", "28-31", "*/9"]), st.sampled_from(["*", "2", "*/5"]))
def test_any_crontab_fires_when_celery_says(
    minute: str, hour: str, day_of_week: str, day_of_month: str, month_of_year: str
) -> None:
    fields = (minute, hour, day_of_week, day_of_month, month_of_year)
    assert fire_times(compiled(crontab(*fields)), 5) == celerys_fire_times(crontab(*fields), 5)


@pytest.mark.parametrize("every", [5, 0.5, timedelta(minutes=90), timedelta(days=2, microseconds=5)])
def test_an_interval_fires_when_celery_says(every: float | timedelta) -> None:
    assert fire_times(compiled(schedule(every)), 5) == celerys_fire_times(schedule(every), 5)
    assert compiled(every) == compiled(schedule(every))


@pytest.mark.parametrize("every", [60, 3600, 300, 86400])
def test_a_relative_interval_fires_when_celery_says(every: int) -> None:
    assert fire_times(compiled(schedule(every, relative=True)), 5) == celerys_fire_times(
        schedule(every, relative=True), 5
    )


@pytest.mark.parametrize("event", ["sunrise", "sunset", "dawn_civil", "dusk_nautical", "solar_noon"])
def test_the_sun_stands_where_celery_says(event: str) -> None:
    ours = fire_times(compiled(solar(event, 52.5, 13.4)), 5)
    theirs = celerys_fire_times(solar(event, 52.5, 13.4), 5)
    assert [round(one / SECOND) for one in ours] == pytest.approx([one / SECOND for one in theirs], abs=1)


def test_a_crontab_with_a_time_zone_of_its_own_keeps_it() -> None:
    from zoneinfo import ZoneInfo

    morning = crontab(0, 8)
    morning.tz = ZoneInfo("Asia/Tokyo")
    assert fire_times(compiled(morning, "Europe/Berlin"), 1) == [to_us(datetime(2026, 2, 27, 23, tzinfo=UTC))]


def test_a_crontab_lives_in_the_time_zone_of_its_app() -> None:
    assert fire_times(compiled(crontab(0, 8), "Asia/Tokyo"), 1) == [
        to_us(datetime(2026, 2, 27, 23, tzinfo=UTC))
    ]


def test_equal_schedules_are_one_object() -> None:
    assert compiled(crontab("*/5")) is compiled(crontab("*/5"))
    assert compiled(60) is compiled(timedelta(minutes=1))


# --- schedules of the user's own


class EverySeven(BaseSchedule):
    """Due seven seconds after the last time, told by ``is_due`` alone, as the documentation shows."""

    def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
        rest = (last_run_at + timedelta(seconds=7) - self.now()).total_seconds()
        return (True, 7.0) if rest <= 0 else (False, rest)


class WorkingHours(crontab):
    """A crontab that is never due before nine."""

    def is_due(self, last_run_at: datetime) -> schedstate:
        due, delay = super().is_due(last_run_at)
        if due and self.maybe_make_aware(self.now()).hour < 9:
            return schedstate(is_due=False, next=60.0)
        return schedstate(due, delay)


class Lengthening(schedule):
    """An interval that looks at the clock for how long it is."""

    def is_due(self, last_run_at: datetime) -> schedstate:
        self.run_every = timedelta(seconds=1 if self.now().hour < 23 else 10)
        return super().is_due(last_run_at)


def test_a_schedule_of_the_users_own_fires_when_its_is_due_says() -> None:
    assert fire_times(compiled(EverySeven()), 3) == [START + number * 7 * SECOND for number in (1, 2, 3)]


def test_a_subclass_of_crontab_is_asked_itself() -> None:
    found = fire_times(compiled(WorkingHours(minute=0)), 3)
    assert [from_us(instant).replace(microsecond=0).hour for instant in found] == [23, 9, 10]


def test_a_subclass_of_schedule_is_asked_itself() -> None:
    found = fire_times(compiled(Lengthening(1)), 130)
    steps = [(later - earlier) // SECOND for earlier, later in pairwise(found)]
    assert set(steps) == {1, 10}


def test_a_subclass_that_changes_nothing_of_the_rule_is_compiled() -> None:
    class Named(schedule):
        pass

    assert compiled(Named(60)) == Interval(60)


def test_an_object_that_only_looks_like_a_schedule_will_do() -> None:
    class Duck:
        nowfun: Any = None

        def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
            rest = (last_run_at + timedelta(seconds=3) - self.nowfun()).total_seconds()
            return rest <= 0, max(rest, 0.0)

    assert fire_times(compiled(Duck()), 2) == [START + 3 * SECOND, START + 6 * SECOND]


@pytest.mark.parametrize("delay", [None, float("inf"), float("nan")])
def test_a_schedule_that_gives_no_delay_is_asked_again_as_celery_does_after_its_longest_interval(
    delay: float | None,
) -> None:
    class Reticent(BaseSchedule):
        def is_due(self, last_run_at: datetime) -> tuple[bool, float | None]:
            return self.now() >= from_us(START + 1_000 * SECOND), delay

    assert compiled(Reticent()).next_us(START) == START + 1 + 4 * 300 * SECOND


def test_a_schedule_that_never_gives_a_delay_is_given_up_after_a_bounded_search() -> None:
    class Never(BaseSchedule):
        asked = 0

        def is_due(self, last_run_at: datetime) -> tuple[bool, None]:
            Never.asked += 1
            return False, None

    assert compiled(Never()).next_us(START) is None
    assert 500 < Never.asked <= 1_001


def test_a_schedule_that_puts_off_beyond_all_time_is_finished() -> None:
    class Procrastinator(BaseSchedule):
        def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
            return False, 1e11

    assert compiled(Procrastinator(), "Asia/Tokyo").next_us(START) is None
    assert compiled(Procrastinator(), "Asia/Tokyo").next_us(LATEST - SECOND) is None


def test_a_schedule_that_is_never_due_is_given_up_after_a_bounded_search() -> None:
    class Hesitant(BaseSchedule):
        asked = 0

        def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
            Hesitant.asked += 1
            return False, 1.0

    assert compiled(Hesitant()).next_us(START) is None
    assert Hesitant.asked <= 10_000


def test_being_asked_leaves_the_users_object_as_it_was() -> None:
    declared = EverySeven()
    declared.app = app_in("UTC")
    before = declared.nowfun
    compiled(declared).next_us(START)
    assert declared.nowfun is before


def test_the_data_of_a_users_schedule_do_not_change_when_it_is_asked() -> None:
    found = compiled(WorkingHours(minute=0))
    before = compiled(WorkingHours(minute=0)).to_data()
    found.next_us(START)
    assert found.to_data() == before
    assert compiled(EverySeven()).to_data() != before


def test_the_data_of_a_users_schedule_tell_its_arguments() -> None:
    class Every(BaseSchedule):
        def __init__(self, seconds: int) -> None:
            self.seconds = seconds
            super().__init__()

        def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
            return False, self.seconds

    assert compiled(Every(1)).to_data() != compiled(Every(2)).to_data()
    assert compiled(Every(1)).to_data() == compiled(Every(1)).to_data()


def test_each_users_schedule_stays_its_own_object() -> None:
    assert isinstance(compiled(EverySeven()), CustomSchedule)
    assert compiled(EverySeven()) is not compiled(EverySeven())


@pytest.mark.parametrize("declared", ["* * * * *", None, True, object(), [60], {"minute": 5}])
def test_anything_else_is_refused_with_the_cure(declared: object) -> None:
    with pytest.raises(
        ScheduleError, match=r"its schedule is .*; give seconds, a timedelta, crontab\(\.\.\.\)"
    ):
        compiled(declared)


@pytest.mark.parametrize(
    "own", [Cron("30 2 * * *"), Crontab(30, 2), RRule("DTSTART:20260105T023000\nRRULE:FREQ=DAILY")]
)
def test_an_entry_may_say_how_a_schedule_of_qbeats_own_takes_clock_changes(own: Schedule) -> None:
    asked = compile_schedule(
        own, name="entry", timezone="Europe/Berlin", policies=Policies(fold="every", gap="skip")
    )
    assert (getattr(asked, "fold", None), getattr(asked, "gap", None)) == ("every", "skip")
