"""``celery qbeat``, and what every ``celery`` command gets before it looks for the app. Imports nothing heavy."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import click
from celery import signals

from qbeat.beat.app.declarations import watch
from qbeat.beat.arguments import AllArguments
from qbeat.beat.errors import USAGE

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger("qbeat.plugin")

CONCERNED: Final = frozenset({"beat", "worker", "qbeat"})
"""The commands of Celery that qbeat may have a part in; all others it leaves alone."""

_forever: Final = ExitStack()


@click.command(
    "qbeat",
    cls=AllArguments,
    add_help_option=False,
    short_help="Run periodic tasks with qbeat, and look at what has fired.",
)
@click.pass_context
def command(ctx: click.Context, /, **_: Any) -> None:
    """Do what the command qbeat does: ``celery -A tasks qbeat next`` is ``qbeat -A tasks next``."""
    from qbeat.beat.cli.group import COMMANDS, invoke  # noqa: PLC0415 - only this command needs it

    given = ctx.parent.params if ctx.parent else {}
    arguments = list(ctx.args)
    if given.get("no_color"):
        os.environ["NO_COLOR"] = "1"
    if given.get("quiet") and not set(arguments) & set(COMMANDS):
        arguments.insert(0, "--quiet")
    if given.get("app") is not None:
        arguments[:0] = ["--app", _name_of(given["app"])]
    # The other options of Celery's are in the environment by now.
    ctx.exit(invoke(arguments))


def watch_declarations() -> None:
    """Note from now on what apps declare, so that nothing is lost on the way into ``beat_schedule``."""
    try:
        _forever.enter_context(watch(silently=_is_ours))
    except AttributeError as error:  # pragma: no cover - another Celery than we know
        logger.warning("This version of Celery hides what apps declare from qbeat: %s", error)


def prepare_worker(sender: Any, **_: Any) -> None:
    """See to it that the worker ``sender`` starts its embedded qbeat again when that dies."""
    options = getattr(sender, "options", None) or {}
    if not options.get("beat"):
        return
    from qbeat.beat.plugin.supervision import Supervision, refusal  # noqa: PLC0415 - most workers embed nothing

    problem = refusal(sender)
    if problem:
        click.echo(f"Error: {problem}", err=True)
        raise SystemExit(USAGE)
    sender.app.steps["worker"].add(Supervision)


def _name_of(app: Any) -> str:
    """Return the name by which an app is found; until Celery 5.6, its command line gives the object."""
    if isinstance(app, str):
        return app
    for module in [*sys.modules.values()]:
        for name, value in [*getattr(module, "__dict__", {}).items()]:
            if value is app and module.__name__ != "__main__":
                return f"{module.__name__}:{name}"
    return str(app.main)


def _is_ours(app: Celery) -> bool:
    """Whether qbeat is going to be the scheduler, as far as one can know before it is made."""
    named = [*sys.argv[1:], str(app.conf.beat_scheduler)]
    return any("qbeat" in name for name in named)


signals.worker_init.connect(prepare_worker, dispatch_uid="qbeat.prepare_worker")
if not CONCERNED.isdisjoint(sys.argv):
    watch_declarations()
