"""``python -m qbeat.beat.cli``, for where the console script is not on the path."""

from qbeat.beat.cli.group import main

main()
