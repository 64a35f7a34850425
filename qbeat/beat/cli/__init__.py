"""The command line: ``qbeat -A tasks`` runs, everything else is a command. Imports nothing heavy."""

from qbeat.beat.cli.group import main

__all__ = ["main"]
