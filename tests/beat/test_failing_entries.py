"""An entry that fails by its own fault, and the others that run on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from qbeat.beat.publishing.base import Verdict
from qbeat.beat.settling import MAX_FAILURES
from qbeat.schedules import Schedule
from qbeat.schedules.base import SECOND
from qbeat.schedules.jitter import Jitter
from qbeat.store.records import Claim, Settlement, Won
from tests.beat.world import START, FlakyStore, World, entry, seconds


def test_an_entry_that_fails_by_itself_is_tried_again_and_then_failed(world: World) -> None:
    replica = world.start(entry("bad", 300))
    replica.publisher.broken = {"bad"}
    world.run(330)
    [record] = world.history("bad")
    assert (record.outcome, record.attempt) == ("failed", MAX_FAILURES)
    assert (
        sum(submission.firing.entry == "bad" for submission in replica.publisher.submissions) == MAX_FAILURES
    )


@pytest.mark.parametrize("lost", [0, 3, 7])
def test_tries_that_the_broker_has_lost_do_not_count_as_the_entrys_failures(world: World, lost: int) -> None:
    replica = world.start(entry("unlucky", 300))
    world.run(299)
    verdicts = iter([Verdict.UNSENT] * lost + [Verdict.FAILED] * (MAX_FAILURES - 1))
    replica.publisher.judge = lambda _: next(verdicts, Verdict.PUBLISHED)
    world.run(60)
    assert world.told("unlucky") == [(300, "published")]


class WatchedClaims(FlakyStore):
    """Remembers the endings that came with claims."""

    carried: tuple[Settlement, ...] = ()

    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        self.carried += tuple(settlements)
        return super().claim(claims, settlements, replica=replica)


def test_a_firing_is_given_up_for_good_before_later_ones_are_claimed() -> None:
    world = World(WatchedClaims)
    replica = world.start(entry("bad", 1), entry("good", 1))
    replica.publisher.broken, replica.publisher.holding = {"bad"}, True
    world.run(1.5)
    world.clock.advance(1)
    replica.publisher.holding = False
    replica.tick()
    assert isinstance(world.store, WatchedClaims)
    assert {ending.outcome for ending in world.store.carried} <= {"published"}
    assert [record.fire_time for record in world.history("bad", "failed")] == [START + SECOND]


def test_an_entry_that_fails_only_for_a_while_is_published_late_under_the_same_id(world: World) -> None:
    replica = world.start(entry("bad", 300))
    replica.publisher.broken = {"bad"}
    world.run(302)
    replica.publisher.broken = set()
    world.run(10)
    [record] = world.history("bad")
    assert record.outcome == "published"
    assert record.attempt > 1
    assert len({submission.firing.task_id for submission in replica.publisher.submissions}) == 1


def test_a_failing_entry_does_not_hold_up_the_others(world: World) -> None:
    replica = world.start(entry("bad", 5), entry("good", 5))
    replica.publisher.broken = {"bad"}
    world.run(60.5)
    assert seconds(world.broker.fire_times("good")) == [5 * k for k in range(1, 13)]
    assert {outcome for when, outcome in world.told("bad") if when < 60} == {"failed"}
    assert not world.unaccounted(entry("bad", 5), START, world.now - SECOND)


def test_an_entry_that_is_slow_to_publish_leaves_the_others_their_time(world: World) -> None:
    replica = world.start(entry("slow", 0.02), entry("good", 0.5))
    replica.publisher.slow = {"slow": 3}
    world.run(75.2)
    assert world.told("good") == [(k / 2, "published") for k in range(1, 151)]
    assert len(world.history("slow", "claimed")) < 500
    assert len(world.history("slow", "published")) > 20
    world.run(300)
    assert len(world.history("slow", "claimed")) < 500


class Explosive(Schedule):
    """A schedule of somebody's own that raises once it has been asked often enough."""

    def __init__(self, fuse: int) -> None:
        self.fuse = fuse

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        self.fuse -= 1
        if self.fuse <= 0:
            raise LookupError("no such day")
        return after + 5 * SECOND

    def describe(self) -> str:
        return "until it explodes"

    def to_data(self) -> dict[str, object]:
        return {"kind": "custom", "text": "explosive"}


@pytest.mark.parametrize("jitter", [None, Jitter(share=100_000)])
@pytest.mark.parametrize("fuse", [0, 1, 2, 3, 4, 5, 6])
def test_a_schedule_that_raises_is_left_alone_and_the_others_run_on(
    world: World, fuse: int, jitter: Jitter | None, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(entry("bad", Explosive(fuse), jitter=jitter), entry("good", 5))
    world.run(30.5)
    assert seconds(world.broker.fire_times("good")) == [5, 10, 15, 20, 25, 30]
    complaints = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert complaints
    assert all("'bad'" in record.getMessage() for record in complaints)
    assert len(complaints) < 10
