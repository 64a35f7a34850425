"""A command that takes its arguments as they are: someone else reads them."""

from __future__ import annotations

import click


class AllArguments(click.Command):
    """Leaves every argument, options too, in ``ctx.args``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args
