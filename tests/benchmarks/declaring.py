"""A program that loads the app with its declarations, tells its size, and does nothing else."""

from __future__ import annotations

import os

from tests.benchmarks.app import app
from tests.benchmarks.processes import resident


def main() -> None:
    app.loader.init_worker()
    app.finalize()
    assert app.conf.beat_schedule
    print(resident(os.getpid()))


if __name__ == "__main__":
    main()
