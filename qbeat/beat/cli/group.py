"""The command ``qbeat``: finds the command in the arguments, and turns errors into a sentence and an exit code."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from qbeat import __version__
from qbeat.beat.errors import CONFIGURATION, INTERRUPTED, OK, UNAVAILABLE, USAGE, QbeatError
from qbeat.beat.standard_files import open_closed_ones, print_nothing_more
from qbeat.store.base import StoreUnavailable, StoreUnusable

COMMANDS: Final = {
    "run": "Fire the entries of the app (what qbeat does without a command).",
    "list": "List the entries with their last and next fire times.",
    "next": "Show what fires next: of all entries, of one, or of a cron expression.",
    "history": "Show what became of past fire times.",
    "check": "List what may surprise in the entries of the app.",
    "status": "Show whether all is well: replicas, backlog, what is overdue, what fires next.",
    "doctor": "Look for what is wrong or unwise here, and say how to cure it.",
    "worker": "Run Celery's worker; with -B, qbeat runs inside it.",
    "demo": "Run a small app with a worker and qbeat, without any server.",
}
"""Each is the attribute ``command`` of the module of its name (``list`` lives in ``list_``), imported on use."""

DEFAULT: Final = "run"


class QbeatGroup(click.Group):
    """Takes the options of a command before it as well as after it, as Celery's users are used to.

    Without a command, ``run`` is meant; its ``key=value`` arguments are settings of the app.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"qbeat.beat.cli.{'list_' if cmd_name == 'list' else cmd_name}")
        command: click.Command = module.command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._command_first(ctx, args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            close = [name for name in COMMANDS if name.startswith(args[0])] or get_close_matches(
                args[0], COMMANDS
            )
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}."
            ctx.fail(f"There is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if ctx.invoked_subcommand == DEFAULT:
                # It goes on without a reader, so this is another pipe; click would end without a word.
                raise RuntimeError("a pipe broke that is not standard output") from error
            print_nothing_more()  # the reader has gone (``qbeat history | head``)
            return OK

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        run = self.get_command(ctx, DEFAULT)
        assert run is not None
        run.format_options(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def _command_first(self, ctx: click.Context, args: list[str]) -> list[str]:
        position = self._position_of_command(ctx, args)
        if position is not None and not self._is_unknown_option(ctx, args, position - 1):
            return [args[position], *args[:position], *args[position + 1 :]]
        for argument in args:
            if argument in ctx.help_option_names or argument == "--version":
                return [argument]
        return [DEFAULT, *args]

    def _is_unknown_option(self, ctx: click.Context, args: list[str], position: int) -> bool:
        """Whether an option stands there that no command has: what follows may be its value, and no command."""
        if position < 0 or not args[position].startswith("--") or "=" in args[position]:
            return False
        commands = (self.get_command(ctx, name) for name in COMMANDS)
        known = {option for command in commands if command for each in command.params for option in each.opts}
        return args[position] not in known and args[position + 1] not in COMMANDS

    def _position_of_command(self, ctx: click.Context, args: list[str]) -> int | None:
        """Return where the command stands: the first argument that is no option, no option's value, no setting."""
        run = self.get_command(ctx, DEFAULT)
        assert run is not None
        with_value = {
            name
            for parameter in run.params
            if isinstance(parameter, click.Option) and not parameter.is_flag
            for name in parameter.opts
        }
        skip = False
        for position, argument in enumerate(args):
            if skip:
                skip = False
            elif argument in with_value:
                skip = True
            elif argument == "--":
                return None
            elif not argument.startswith("-") and "=" not in argument:
                return position
        return None


@click.group(
    cls=QbeatGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="[COMMAND] [ARGS]...",
)
@click.version_option(__version__, "--version", prog_name="qbeat")
def cli() -> None:
    """Run the periodic tasks of a Celery app, in place of celery beat.

    qbeat -A tasks fires what the app in tasks.py declares, and remembers in a store what has fired.
    """


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    sys.exit(invoke(args))


def invoke(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    open_closed_ones()
    try:
        result: Any = cli.main(args, prog_name="qbeat", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return USAGE
    except click.Abort:
        return INTERRUPTED
    except (QbeatError, StoreUnavailable, StoreUnusable) as error:
        click.echo(f"qbeat: {error}", err=True)
        return _code_of(error)
    return result if isinstance(result, int) else OK


def _code_of(error: Exception) -> int:
    if isinstance(error, QbeatError):
        return error.exit_code
    return UNAVAILABLE if isinstance(error, StoreUnavailable) else CONFIGURATION
