"""Two clients at once: whatever they want of the same entry or firing, exactly one gets it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import TypeVar

import pytest

from qbeat.store.base import Store
from qbeat.store.records import Change, Claim, Release, Settlement, Won
from tests.store.making import (
    START,
    World,
    claim_of,
    create,
    edit,
    entry,
    fire,
    fire_times,
    history_of,
    read,
    release,
    replica,
    settled,
    take_over,
    uid_of,
)

Result = TypeVar("Result")
CLIENTS = 3
ROUNDS = 10


def at_once(stores: Sequence[Store], act: Callable[[int, Store], Result]) -> list[Result]:
    """Let each client act in a thread of its own, all from the same moment on."""
    barrier = Barrier(len(stores))

    def run(number: int, store: Store) -> Result:
        barrier.wait(timeout=20)
        return act(number, store)

    with ThreadPoolExecutor(len(stores)) as pool:
        return list(pool.map(run, range(len(stores)), stores))


Act = Callable[[int, Store], Result]


def claiming(claim: Claim) -> Act[list[Won]]:
    return lambda n, store: store.claim([claim], replica=f"r{n}")


def claiming_in(orders: Sequence[Sequence[Claim]]) -> Act[list[Won]]:
    return lambda n, store: store.claim(orders[n], replica=f"r{n}")


def saving(changes: Sequence[Change]) -> Act[list[bool]]:
    return lambda n, store: store.save([changes[n % len(changes)]])


def settling(settlements: Sequence[Settlement]) -> Act[None]:
    return lambda n, store: store.settle([settlements[n]])


def settling_or_releasing(settlement: Settlement, release: Release) -> Act[None]:
    return lambda n, store: store.settle((), [release]) if n else store.settle([settlement])


def removing_or_claiming(claim: Claim, name: str) -> Act[object]:
    return first_or_others(lambda _, store: store.remove([name]), claiming(claim))


def first_or_others(first: Act[object], others: Act[object]) -> Act[object]:
    return lambda n, store: others(n, store) if n else first(n, store)


@pytest.fixture
def stores(world: World) -> list[Store]:
    return [world.connect() for _ in range(CLIENTS)]


def test_one_claim_of_a_cursor_wins(stores: list[Store]) -> None:
    create(stores[0], entry())
    for number in range(1, ROUNDS + 1):
        claim = claim_of(read(stores[0]), number)
        results = at_once(stores, claiming(claim))
        assert sum(won is not Won.LOST for (won,) in results) == 1
    assert fire_times(history_of(stores[0])) == [*range(1, ROUNDS + 1)]
    assert read(stores[0]).total_run_count == ROUNDS


def test_batches_in_different_orders_win_each_entry_once(stores: list[Store]) -> None:
    names = [f"n{number}" for number in range(30)]
    create(stores[0], *(entry(name) for name in names))
    for number in range(1, ROUNDS + 1):
        claims = [claim_of(record, number) for record in stores[0].entries()]
        orders = [claims, claims[::-1], claims[15:] + claims[:15]]
        results = at_once(stores, claiming_in(orders))
        won = [
            claim.uid
            for order, decided in zip(orders, results, strict=True)
            for claim, how in zip(order, decided, strict=True)
            if how is not Won.LOST
        ]
        assert sorted(won) == sorted(claim.uid for claim in claims)


def test_one_creation_of_a_name_wins(stores: list[Store]) -> None:
    for number in range(ROUNDS):
        name = f"n{number}"
        creations = [Change(entry(name, uid=uid_of(f"{name} {client}")), None) for client in range(CLIENTS)]
        results = at_once(stores, saving(creations))
        assert sorted(results) == [[False]] * (CLIENTS - 1) + [[True]]


def test_of_an_edit_and_a_claim_only_one_wins(stores: list[Store]) -> None:
    create(stores[0], entry())
    for number in range(1, ROUNDS + 1):
        record = read(stores[0])
        save, claim = saving([edit(record, task=f"t{number}")]), claiming(claim_of(record, number))
        results = at_once(stores, first_or_others(save, claim))
        assert sum(result in ([True], [Won.YES], [Won.QUEUED]) for result in results) == 1


def test_one_replica_takes_a_firing_over(stores: list[Store]) -> None:
    create(stores[0], entry("a"), entry("b"))
    for number in range(1, ROUNDS + 1):
        for name in "ab":
            fire(stores[0], name, number)
            stores[0].settle([], [release(name, number)])
        taken = at_once(stores, lambda n, store: take_over(store, f"r{n}"))
        assert sorted(firing.entry for firings in taken for firing in firings) == ["a", "b"]
        stores[0].settle([settled(name, number) for name in "ab"])


def test_one_settlement_stands(stores: list[Store]) -> None:
    create(stores[0], entry())
    for number in range(1, ROUNDS + 1):
        fire(stores[0], "a", number)
        at_once(stores, settling([settled("a", number, "failed", reason=f"r{n}") for n in range(CLIENTS)]))
        assert stores[0].unsettled() == 0
    assert fire_times(history_of(stores[0])) == [*range(1, ROUNDS + 1)]


def test_a_firing_is_either_settled_or_released(stores: list[Store]) -> None:
    create(stores[0], entry())
    for number in range(1, ROUNDS + 1):
        fire(stores[0], "a", number)
        at_once(stores, settling_or_releasing(settled("a", number, attempt=1), release("a", number)))
        assert stores[0].unsettled() == 0
        assert take_over(stores[0]) == []


def test_removal_and_claim_leave_nothing_behind(stores: list[Store]) -> None:
    for number in range(ROUNDS):
        name = f"n{number}"
        create(stores[0], entry(name))
        at_once(stores, removing_or_claiming(claim_of(read(stores[0], name), 10), name))
        assert stores[0].unsettled() == 0
        assert {one.outcome for one in history_of(stores[0], entries=[name])} <= {"skipped"}


def test_heartbeats_at_once_all_count(stores: list[Store]) -> None:
    for _ in range(ROUNDS):
        at_once(stores, lambda n, store: store.heartbeat(replica(f"r{n}"), live_within=10))
    assert [record.id for record in stores[0].replicas()] == [f"r{n}" for n in range(CLIENTS)]


def test_processes_win_each_fire_time_once(world: World, url: str) -> None:
    store = world.connect()
    create(store, *(entry(f"n{number}") for number in range(40)))
    won = [firing for firings in racers(url, count=3, steps=15) for firing in firings]
    assert len(won) == len({*won}) == 15 * 40
    records = store.entries()
    assert sum(record.total_run_count for record in records) == len(won)
    assert sum(record.cursor - START for record in records) == len(won)
    assert {(one.uid, one.fire_time) for one in store.history()} == {*won}


def racers(url: str, *, count: int, steps: int) -> list[list[tuple[str, int]]]:
    """Let processes race for the entries of a store; what each of them won."""
    with ExitStack() as ending:
        running = [
            ending.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.store.racer", url, f"r{number}", str(steps)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(count)
        ]
        for process in running:
            ending.callback(process.kill)
        assert [_line(process) for process in running] == ["ready"] * count
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [[tuple(firing) for firing in json.loads(_line(process))] for process in running]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
