"""What Hypothesis draws for schedules: field sets and their many spellings, zones, instants around clock changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

from qbeat.schedules import Cron
from qbeat.schedules.search import ALL_DAYS, ALL_WEEKDAYS, Days, Fields
from qbeat.schedules.tzdb import database
from tests.schedules.oracle import DAY_MINUTES, MINUTE_US

database()
ZONES = sorted(available_timezones() - {"localtime"})
LIVELY_ZONES = [
    "Africa/Cairo", "Africa/Casablanca", "America/Asuncion", "America/Caracas", "America/Havana",
    "America/New_York", "America/Nuuk", "America/Santiago", "America/Sao_Paulo", "America/St_Johns",
    "Antarctica/Troll", "Asia/Amman", "Asia/Beirut", "Asia/Gaza", "Asia/Pyongyang", "Asia/Tehran",
    "Australia/Lord_Howe", "Europe/Berlin", "Europe/Dublin", "Europe/Istanbul", "Europe/London",
    "Pacific/Apia", "Pacific/Chatham", "Pacific/Easter", "Pacific/Kwajalein",
]  # fmt: skip
FIRST_YEAR, LAST_YEAR = 1973, 2060

MONTH_NAMES = ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAY_NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

zones = st.one_of(st.sampled_from(LIVELY_ZONES), st.sampled_from(ZONES))


@cache
def changes_of(zone: str) -> list[int]:
    """Return the minutes (since the epoch) at which a zone's offset changes, found by halving; none are a week apart."""
    info = ZoneInfo(zone)

    def offset(minute: int) -> timedelta | None:
        return datetime.fromtimestamp(minute * 60, UTC).astimezone(info).utcoffset()

    found = []
    for start in range(_begin(FIRST_YEAR), _begin(LAST_YEAR), 3 * DAY_MINUTES):
        low, high = start, start + 3 * DAY_MINUTES
        if offset(low) != offset(high):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            found.append(high)
    return found


def _begin(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // 60


@st.composite
def minutes_of(draw: st.DrawFn, zone: str) -> int:
    """Draw an instant in minutes, most often within two days of a clock change of the zone."""
    changes = changes_of(zone)
    if changes and draw(st.sampled_from([True, True, True, False])):
        change = changes[draw(st.integers(0, len(changes) - 1))]
        # Some days or hours before the change, or within what it repeats.
        return (
            change
            + draw(st.sampled_from([-3000, -1440, -600, -150, -90, -60, 0, 30]))
            + draw(st.integers(0, 59))
        )
    return draw(st.integers(_begin(FIRST_YEAR) + 3 * DAY_MINUTES, _begin(LAST_YEAR)))


@st.composite
def zones_and_instants(draw: st.DrawFn) -> tuple[str, int]:
    """Draw a zone and an instant in microseconds that need not lie on a minute."""
    zone = draw(zones)
    minute = draw(minutes_of(zone))
    return zone, minute * MINUTE_US + draw(st.sampled_from([0, 0, 1, 59_999_999, 30_000_000]))


def _subset(first: int, last: int) -> st.SearchStrategy[frozenset[int]]:
    whole = frozenset(range(first, last + 1))
    steps = st.builds(lambda start, step: frozenset(range(start, last + 1, step)),
                      st.integers(first, last), st.integers(1, last))  # fmt: skip
    few = st.frozensets(st.integers(first, last), min_size=1, max_size=4)
    return st.one_of(st.just(whole), few, steps)


@st.composite
def plain_fields(draw: st.DrawFn, *, either: bool | None = None) -> Fields:
    """Draw field sets that cron texts can write without special days, and that fire at some time."""
    dom, dow = draw(_subset(1, 31)), draw(_subset(0, 6))
    both = dom < ALL_DAYS and dow < ALL_WEEKDAYS
    fields = Fields(
        minutes=draw(_subset(0, 59)),
        hours=draw(_subset(0, 23)),
        months=draw(st.one_of(st.just(frozenset(range(1, 13))), _subset(1, 12))),
        days=Days(dom=dom, dow=dow, either=both if either is None else either and both),
    )
    return fields if fields.ever_fires() else replace(fields, days=Days())


@st.composite
def busy_fields(draw: st.DrawFn) -> Fields:
    """Draw field sets that name few hours, near those at which clocks change, on most days."""
    night = st.frozensets(st.sampled_from([0, 1, 2, 3, 23]), min_size=4)
    hours = draw(st.one_of(night, night, st.just(frozenset(range(24)))))
    dow = draw(st.one_of(st.just(ALL_WEEKDAYS), st.frozensets(st.integers(0, 6), min_size=4)))
    return Fields(minutes=draw(_subset(0, 59)), hours=hours, days=Days(dow=dow))


@st.composite
def special_texts(draw: st.DrawFn) -> str:
    """Draw a cron text with one of the notations that only day fields have."""
    fields = draw(plain_fields(either=False))
    day, weekday, nth = draw(st.integers(1, 31)), draw(st.integers(0, 6)), draw(st.integers(1, 4))
    dom, dow = draw(
        st.sampled_from([
            ("L", "*"), (f"L,{day}", "*"), (f"{day}W", "*"), (f"w{day}", "?"), ("*", f"{weekday}#{nth}"),
            ("?", f"{DAY_NAMES[weekday]}#{nth},L{weekday}"), ("*", f"L{weekday}"), ("L", f"{weekday}"),
            ("*", f"L{weekday},L{(weekday + 2) % 7}"),
        ])
    )  # fmt: skip
    minute, hour = as_list(fields.minutes, 0, 59), as_list(fields.hours, 0, 23)
    return f"{minute} {hour} {dom} * {dow}"


def as_list(numbers: frozenset[int], first: int, last: int) -> str:
    """Return the plainest text of a field."""
    return "*" if len(numbers) == last - first + 1 else ",".join(map(str, sorted(numbers)))


def cron_text(fields: Fields) -> str:
    """Return the plainest cron text of fields without special days."""
    return " ".join(
        (
            as_list(fields.minutes, 0, 59),
            as_list(fields.hours, 0, 23),
            as_list(fields.days.dom, 1, 31),
            as_list(fields.months, 1, 12),
            as_list(fields.days.dow, 0, 6),
        )
    )


@st.composite
def field_texts(
    draw: st.DrawFn, numbers: frozenset[int], first: int, last: int, names: list[str] | None = None
) -> str:
    """Draw one of the many spellings of a field."""
    parts = []
    ordered = sorted(numbers)
    if len(ordered) == last - first + 1:
        # A whole range is written so that cron texts and Celery's read it alike.
        return draw(st.sampled_from(["*", "*/1", f"{first}-{last}", "*"]))
    while ordered:
        length = draw(st.integers(1, len(ordered)))
        run, ordered = ordered[:length], ordered[length:]
        step = run[1] - run[0] if len(run) > 1 else 1
        if len(run) > 2 and run == list(range(run[0], run[-1] + 1, step)):
            parts.append(
                f"{run[0]}-{run[-1]}" + (f"/{step}" if step > 1 else draw(st.sampled_from(["", "/1"])))
            )
        else:
            parts += [draw(_spelled(number, names)) for number in run]
    parts += draw(st.lists(st.sampled_from(parts), max_size=2))
    return ",".join(draw(st.permutations(parts)))


def _spelled(number: int, names: list[str] | None) -> st.SearchStrategy[str]:
    spellings = [str(number), f"{number:02}"]
    if names:
        spellings += [names[number], names[number].upper(), names[number].title()]
    if names is DAY_NAMES and number == 0:
        spellings.append("7")
    return st.sampled_from(spellings)


@st.composite
def cron_spellings(draw: st.DrawFn, fields: Fields) -> str:
    """Draw one of the many cron texts of the same field sets."""
    texts = [
        draw(field_texts(fields.minutes, 0, 59)),
        draw(field_texts(fields.hours, 0, 23)),
        draw(field_texts(fields.days.dom, 1, 31)),
        draw(field_texts(fields.months, 1, 12, MONTH_NAMES)),
        draw(field_texts(fields.days.dow, 0, 6, DAY_NAMES)),
    ]
    blank = draw(st.sampled_from([" ", "  ", "\t", " \t "]))
    return draw(st.sampled_from(["", " "])) + blank.join(texts) + draw(st.sampled_from(["", "\n"]))


def drawn_cron(fields: Fields, zone: str | None = None, fold: str = "once", gap: str = "fire") -> Cron:
    """Return the cron schedule of drawn fields in a zone."""
    return Cron(cron_text(fields), zone, fold=fold, gap=gap)
