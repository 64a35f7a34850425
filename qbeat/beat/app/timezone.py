"""The name of an app's time zone."""

from __future__ import annotations

from celery import Celery
from tzlocal import get_localzone_name

from qbeat.beat.errors import SettingError
from qbeat.schedules import ScheduleError
from qbeat.schedules.zones import zone_name


def timezone_of(app: Celery) -> str:
    """Return the name of the zone in which ``app`` means its times: ``timezone``, else UTC or the machine's."""
    try:
        configured = zone_name(app.conf.timezone or None)
    except ScheduleError as error:
        raise SettingError(f"the app's setting timezone cannot be: {error}") from error
    if configured:
        return configured
    if app.conf.enable_utc:
        return "UTC"
    return get_localzone_name() or "UTC"
