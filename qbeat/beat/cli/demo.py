"""``qbeat demo``: the main job on a small app, without any server."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo")
@click.option(
    "--seconds", type=click.FloatRange(min=1), metavar="SECONDS", help="End by itself after so long."
)
@click.option("--json", "as_json", is_flag=True, help="Print counts as JSON at the end.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Work here, and leave it as it is at the end.",
)
def command(seconds: float | None, as_json: bool, folder: Path | None) -> int:
    """Run a small app with a real worker and qbeat, without any server, and show what fires.

    With --seconds, exit 0 only if every fire time in that span was published once and executed once.
    """
    from qbeat.beat.demo.runner import run_demo

    return run_demo(seconds, as_json, folder)
