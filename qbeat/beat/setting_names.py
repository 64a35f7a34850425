"""The names under which an app may write qbeat's settings, and what is said of those that mean nothing."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterator
from typing import Any, Final

from celery import Celery

logger = logging.getLogger("qbeat")

_CELERYS: Final = "CELERY_"
"""The prefix of Celery's own uppercase names where the app has chosen no namespace."""


def settings_of(app: Celery, names: Collection[str]) -> dict[str, Any]:
    """Return what the app's configuration says of the settings ``qbeat_<name>``, by name; warns of what is none.

    Celery's rules hold: ``qbeat_store``, or with the namespace that the app has given
    (``CELERY_QBEAT_STORE`` in Django). Without a namespace ``CELERY_QBEAT_STORE`` and ``QBEAT_STORE`` do, too,
    which is how Flask, and classes with a configuration, hand them on.
    """
    app.conf.get("qbeat_store")  # reads a configuration that has not been read yet
    conf = app.conf
    used = {name: key for name in names for key in [_used(conf, name)] if key is not None}
    for key in _keys(conf):
        _warn_of(key, conf, names, used)
    return {name: conf[key] for name, key in used.items()}


def _used(conf: Any, name: str) -> str | None:
    """Return the key by which ``conf`` gives the value of a setting."""
    return next((key for key in _accepted(conf, name) if key in conf), None)


def _accepted(conf: Any, name: str) -> Iterator[str]:
    yield f"qbeat_{name}"  # with the namespace in front, too: Celery sees to that
    if not conf.prefix:
        yield f"{_CELERYS}QBEAT_{name.upper()}"
        yield f"QBEAT_{name.upper()}"


def _spelled(conf: Any, name: str) -> str:
    """Return the name of a setting as this app should write it."""
    key = f"{conf.prefix or ''}qbeat_{name}"
    return key.upper() if conf.prefix and conf.prefix.isupper() else key


def _keys(conf: Any) -> list[str]:
    return [key for key in map(str, conf) if "qbeat_" in key.lower()]


def _warn_of(key: str, conf: Any, names: Collection[str], used: dict[str, str]) -> None:
    before, _, name = key.lower().partition("qbeat_")
    if name in names:
        _warn_of_spelling(key, name, conf, used)
    elif before in {"", _CELERYS.lower(), (conf.prefix or "").lower()}:
        known = [f"qbeat_{each}" for each in names]
        close = difflib.get_close_matches(f"qbeat_{name}", known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}."
        logger.warning("The setting %s is unknown; %s", f"qbeat_{name}", hint)


def _warn_of_spelling(key: str, name: str, conf: Any, used: dict[str, str]) -> None:
    if key in {used.get(name), f"qbeat_{name}", _spelled(conf, name)}:
        return
    if key not in _accepted(conf, name):
        logger.warning("The setting %s does nothing; write it as %s.", key, _spelled(conf, name))
    elif conf[key] != conf[used[name]]:
        logger.warning("The setting %s is passed over; %s says otherwise.", key, used[name])
