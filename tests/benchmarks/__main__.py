"""Run the benchmarks, all or some, and show or write what they found.

    python -m tests.benchmarks [CASE ...] [--entries N] [--repeats N] [--seconds S] [--write docs/benchmarks.md]

Sizes that are not given are those of each case. Every contender is a process of its own, started as its users
start it; the servers are started for the run, on free ports.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.cases import CASES
from tests.benchmarks.machine import machine, versions
from tests.benchmarks.report import Record, rendered, write
from tests.benchmarks.results import Sizes


def main() -> None:
    options = _options()
    sizes = Sizes(options.entries, options.repeats, options.seconds)
    for name in options.cases or CASES:
        print(f"== {name}", file=sys.stderr, flush=True)
        began = time.monotonic()
        part = CASES[name](sizes)
        print(f"## {part.title}\n\n{rendered(part)}\n", flush=True)
        print(f"== {name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        if options.write:
            day = datetime.now(UTC).date().isoformat()
            write(options.write, name, Record(part, day, machine(), versions()), tuple(CASES))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; without any, all")
    parser.add_argument("--entries", type=int, help="how many entries, in place of each case's own number")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of which the median is taken")
    parser.add_argument("--seconds", type=float, help="how long a rival, a lull or lateness is watched")
    parser.add_argument(
        "--write", type=Path, metavar="PAGE", help="keep the figures, and make this page anew"
    )
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    return options


if __name__ == "__main__":
    main()
