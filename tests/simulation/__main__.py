"""Lets histories happen by the thousand, on all cores, or tells one of them: ``python -m tests.simulation -h``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from multiprocessing import Pool

from tests.simulation.history import Verdict, run_history
from tests.simulation.mutations import MAX_SEEDS, MUTATIONS

MAX_TOLD = 20
"""So many bad histories are named; one is mostly like the other."""


def main() -> int:
    """Run as the command line asks; return the exit code."""
    options = _options()
    if options.seed is not None:
        return _tell(run_history(options.seed, trace=options.trace))
    if options.mutations:
        return _hunt_bugs(options.processes)
    return _run_many(range(options.first, options.first + options.seeds), options.processes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many histories")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--processes", type=int, default=None, help="how many at a time; one for each core")
    parser.add_argument("--seed", type=int, help="this history alone")
    parser.add_argument("--mutations", action="store_true", help="say how soon each bug of a list is found")
    parser.add_argument("--trace", action="store_true", help="tell what happens in it")
    return parser.parse_args()


def _tell(verdict: Verdict) -> int:
    for line in verdict.story:
        print(line)
    print(f"seed {verdict.seed} ({verdict.plan.kind}): {verdict.figures}")
    for problem in verdict.problems:
        print(f"  {problem}")
    return bool(verdict.problems)


def _hunt_bugs(processes: int | None) -> int:
    missed = 0
    with Pool(processes) as pool:
        for number, found in pool.imap(_hunt, range(len(MUTATIONS))):
            missed += found is None
            told = f"seed {found[0]:>5}: {found[1]}" if found else f"not found in {MAX_SEEDS:,} histories"
            print(f"{MUTATIONS[number].name:<50} {told}", flush=True)
    return bool(missed)


def _hunt(number: int) -> tuple[int, tuple[int, str] | None]:
    return number, MUTATIONS[number].hunt()


def _run_many(seeds: range, processes: int | None) -> int:
    started, bad = time.monotonic(), 0
    figures: Counter[str] = Counter()
    with Pool(processes) as pool:
        for verdict in pool.imap_unordered(run_history, seeds, chunksize=10):
            figures.update(verdict.figures)
            if verdict.problems:
                bad += 1
            if verdict.problems and bad <= MAX_TOLD:
                print(
                    f"seed {verdict.seed} ({verdict.plan.kind}): {len(verdict.problems)} problems, the first:"
                )
                print(f"  {verdict.problems[0]}", flush=True)
    took = time.monotonic() - started
    told = ", ".join(f"{value:,} {name}" for name, value in figures.items())
    print(f"{len(seeds):,} histories with {told}, in {took:.0f} s; {bad} bad ones.")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
