"""``python -m qbeat``."""

from qbeat.beat.cli.group import main

main()
