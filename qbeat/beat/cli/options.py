"""The options that commands share, with Celery's names and meanings."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from celery import Celery

    from qbeat.store.base import Store

LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def app_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which app, and how it is configured."""
    for option in reversed(
        [
            click.option("-A", "--app", envvar=["CELERY_APP", "APP"], metavar="APP", help="The Celery app: a module, a package, or module:attribute."),
            click.option("-b", "--broker", envvar=["CELERY_BROKER_URL", "BROKER_URL"], metavar="URL", help="The broker, in place of the app's."),
            click.option("--result-backend", envvar=["CELERY_RESULT_BACKEND", "RESULT_BACKEND"], metavar="URL", help="The result backend, in place of the app's."),
            click.option("--loader", envvar=["CELERY_LOADER", "LOADER"], metavar="NAME", help="Celery's loader class."),
            click.option("--config", envvar=["CELERY_CONFIG_MODULE", "CONFIG_MODULE"], metavar="MODULE", help="The module with the app's configuration."),
            click.option("--workdir", metavar="DIR", is_eager=True, expose_value=False, callback=_change_directory, help="Change to this folder first."),
            click.option("--skip-checks", is_flag=True, envvar=["CELERY_SKIP_CHECKS", "SKIP_CHECKS"], help="Skip Django's checks at the start."),
        ]
    ):  # fmt: skip
        function = option(function)
    return function


def store_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that says where the store is."""
    return click.option(
        "-s", "--schedule", "--store", "store", envvar="QBEAT_STORE", metavar="STORE",
        help="The store: a file name, a URL, or broker for the broker's own Redis. [default: the app's qbeat_store, else qbeat.db here]",
    )(function)  # fmt: skip


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that asks for output for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def load(app: str | None, settings: tuple[str, ...] = (), **options: Any) -> Celery:
    """Load the app that the options name."""
    from qbeat.beat.app.loading import AppOptions, load_app

    return load_app(AppOptions(app=app, settings=settings, **options))


def tool_store(store: str | None, app: str | None, **options: Any) -> Store:
    """Open, for reading, the store that the options name: by itself, or as the app's settings say."""
    from qbeat.store import open_store

    if store in {None, "broker"} and app is not None:
        from qbeat.beat.settings import read_settings

        store = read_settings(load(app, **options), store=store).store
    return open_store(store or "qbeat.db", create=False)


def _change_directory(context: click.Context, parameter: click.Parameter, value: str | None) -> None:  # noqa: ARG001 - click's signature
    if value:
        try:
            os.chdir(value)
        except OSError as error:
            raise click.BadParameter(f"cannot change to {value}: {error.strerror}") from error
