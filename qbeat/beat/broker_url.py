"""Whether Kombu can make something of the broker that an app names; said in one sentence, before anything connects."""

from __future__ import annotations

from typing import Any, Final

from celery import Celery

from qbeat.beat.errors import SettingError

_SUCH_AS: Final = "such as redis://localhost:6379/0 or amqp://guest:guest@localhost"


def broker_of(app: Celery) -> Any:
    """Return Kombu's connection to the app's broker, not yet connected; ``SettingError`` if there can be none."""
    try:
        connection = app.connection_for_write()
        connection.get_transport_cls()
    except KeyError as error:
        raise SettingError(
            f"the broker cannot be: {error.args[0]}; set broker_url, or give -b, a URL {_SUCH_AS}"
        ) from error
    except ImportError as error:
        raise SettingError(
            f"the broker cannot be: its transport cannot be imported ({error}); install the package that it needs"
        ) from error
    except ValueError as error:
        # Its text may hold a part of a password.
        raise SettingError(
            f"the broker's URL cannot be read; write one {_SUCH_AS}, with the port as a number "
            f"and what is special in a password as %XX"
        ) from error
    return connection
