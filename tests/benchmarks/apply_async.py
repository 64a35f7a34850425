"""A program that publishes a load's tasks one by one, with `apply_async`."""

from __future__ import annotations

import os

from tests.benchmarks.app import app, tick
from tests.benchmarks.load import Load


def main() -> None:
    app.finalize()
    for number in range(Load.from_environment(os.environ).count):
        tick.apply_async((number,))


if __name__ == "__main__":
    main()
