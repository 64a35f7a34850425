"""The name of an app's time zone."""

from __future__ import annotations

from typing import Any

from celery import Celery
from tzlocal import get_localzone_name


def timezone_of(app: Celery) -> str:
    """Return the name of the zone in which ``app`` means its times: ``timezone``, else UTC or the machine's."""
    configured: Any = app.conf.timezone
    if configured:
        return str(getattr(configured, "key", None) or configured)
    if app.conf.enable_utc:
        return "UTC"
    return get_localzone_name() or "UTC"
