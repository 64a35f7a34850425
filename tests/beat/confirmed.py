"""What tests of the fast way on RabbitMQ share: senders, publishers, firings, and what lies in the queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import NotFound
from celery import Celery, Task

from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Publisher, Result, Submission, Verdict
from qbeat.beat.publishing.blockage import Blockage
from qbeat.beat.publishing.choice import publisher_for
from qbeat.beat.publishing.confirmed import CHANNEL, ConfirmedSender
from qbeat.beat.publishing.frame_templates import FrameTemplates
from qbeat.beat.publishing.plain import Answer, PlainScheduler
from qbeat.schedules import Interval
from tests.beat.wire import submission
from tests.servers import eventually

MakeSender = Callable[[Celery], ConfirmedSender]
PUBLISHED: Answer = (Verdict.PUBLISHED, None)
QUEUES = ("celery", "low", "urgent", "other", "q")


@contextmanager
def senders() -> Iterator[MakeSender]:
    """A function that makes a sender for this thread; all are closed afterwards."""
    made: list[ConfirmedSender] = []

    def make(app: Celery) -> ConfirmedSender:
        made.append(ConfirmedSender(app, PlainScheduler(app), Blockage(), FrameTemplates(app, CHANNEL)))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


class Own(Task):
    """A task class of the user's own: its messages go the plain way."""

    def apply_async(self, *args: Any, **options: Any) -> Any:
        return super().apply_async(*args, **options)


@contextmanager
def publisher_on(app: Celery) -> Iterator[Publisher]:
    clock = SystemClock()
    publisher = publisher_for(app, clock, clock.now)
    publisher.start()
    eventually(lambda: publisher.ready)
    yield publisher
    publisher.close(5)
    clock.close()


def results_of(publisher: Publisher, submissions: Sequence[Submission]) -> list[Result]:
    """Submit submissions and wait for their results."""
    publisher.submit(submissions)
    return collected(publisher, len(submissions))


def collected(publisher: Publisher, count: int) -> list[Result]:
    """Wait for so many results."""
    results: list[Result] = []

    def enough() -> bool:
        results.extend(publisher.collect())
        return len(results) >= count

    eventually(enough, within=20)
    return results


def verdicts(answers: Sequence[Answer | None]) -> list[Verdict | None]:
    return [answer and answer[0] for answer in answers]


def looks_at_arguments(app: Celery) -> list[tuple[Any, ...]]:
    """The arguments for ``tasks.add`` that are looked at from now on: those of entries that are not ready."""
    looks: list[tuple[Any, ...]] = []

    def note(*args: Any) -> None:
        looks.append(args)

    app.tasks["tasks.add"].__header__ = note
    return looks


def entry(name: str, *args: Any, **options: Any) -> Entry:
    return Entry(name, "tasks.add", Interval(60), "UTC", args=args, options=options)


def firing(one: Entry, number: int = 0) -> Submission:
    return submission(one, number, one.name.encode().hex().ljust(32, "0"))


def firings(count: int, number: int = 0) -> list[Submission]:
    return [firing(entry(f"e{place}", place), number) for place in range(count)]


def ids(submissions: Sequence[Submission]) -> list[str]:
    return [each.firing.task_id for each in submissions]


def taken(url: str, queues: Sequence[str] = QUEUES) -> list[Any]:
    """All messages of some queues, taken from them; a queue need not exist."""
    found: list[Any] = []
    with Celery("reader", broker=url, set_as_current=False).connection_for_read() as connection:
        for queue in queues:
            with connection.channel() as channel:
                try:
                    channel.queue_declare(queue, passive=True)
                except NotFound:
                    continue
                while (message := channel.basic_get(queue, no_ack=True)) is not None:
                    found.append(message)
    return found


def task_ids(messages: Sequence[Any]) -> list[str]:
    return [message.properties["correlation_id"] for message in messages]
