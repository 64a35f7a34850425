"""Holidays of a country or a market, as the ``holidays`` package (the extra ``calendars``) knows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple, Self

from qbeat.schedules.base import ScheduleError


class Holidays(NamedTuple):
    """A country's code (``"DE"``) with a subdivision (``"BY"``) if wanted, or a market's code (``"XNYS"``).

    The dates come from the installed version of the ``holidays`` package, so replicas should run the same one.
    """

    country: str = ""
    subdivision: str = ""
    market: str = ""

    @classmethod
    def of(cls, country: str = "", subdivision: str = "", market: str = "") -> Self:
        """Return checked holidays, or raise ``ScheduleError``: unknown code, or the package is not installed."""
        if bool(country) == bool(market) or (market and subdivision):
            raise ScheduleError(
                "holidays need one code",
                field="holidays",
                cure="give country (with a subdivision if wanted) or market",
            )
        made = cls(country, subdivision, market)
        made.holds(date(2024, 1, 1))
        return made

    @classmethod
    def from_data(cls, data: Mapping[str, str]) -> Self:
        """Return what ``to_data`` wrote down."""
        return cls.of(**data)

    def to_data(self) -> dict[str, str]:
        """Return ``{"country": …, "subdivision": …}`` or ``{"market": …}``."""
        return {name: value for name, value in self._asdict().items() if value}

    def holds(self, day: date) -> bool:
        """Whether this day is one of the holidays."""
        return day in _year(self, day.year)


@lru_cache(maxsize=1024)
def _year(holidays: Holidays, year: int) -> frozenset[date]:
    package = _package()
    try:
        if holidays.market:
            found = package.financial_holidays(holidays.market, years=year, expand=False)
        else:
            found = package.country_holidays(
                holidays.country, subdiv=holidays.subdivision or None, years=year, expand=False
            )
    except NotImplementedError as error:
        raise ScheduleError(
            f"the holidays package knows no {'/'.join(filter(None, holidays))!r}",
            field="holidays",
            cure='give ISO codes such as country="DE", subdivision="BY", or market="XNYS"',
        ) from error
    return frozenset(day for day in found if day.year == year)


def _package() -> Any:
    try:
        return import_module("holidays")
    except ImportError:
        raise ScheduleError(
            "calendars of holidays need the package holidays, which is not installed",
            field="holidays",
            cure='pip install "qbeat[calendars]"',
        ) from None
