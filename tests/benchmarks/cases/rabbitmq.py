"""Many entries due in one instant on RabbitMQ, with publisher confirms; the store is SQLite."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.bursts import Burst, measure, median_cpu, median_rate
from tests.benchmarks.contenders import APPLY_ASYNC, QBEAT_ON_FILE
from tests.benchmarks.load import Load
from tests.benchmarks.places import folder_for
from tests.benchmarks.queues import RabbitQueue
from tests.benchmarks.results import Part, Sizes, at_least, burst_row
from tests.benchmarks.rounds import bursts_of
from tests.servers import RabbitMQServer

ENTRIES: Final = 20_000
RIVAL_MESSAGES: Final = 2_000
DAY: Final = 24 * 60 * 60


def run(sizes: Sizes) -> Part:
    """Compare qbeat with a loop over `apply_async` that waits for each confirm."""
    entries, messages = sizes.entries_or(ENTRIES), sizes.fewer_or(RIVAL_MESSAGES)
    with RabbitMQServer() as rabbitmq:
        ours = _ours(rabbitmq, entries, sizes.repeats)
        theirs = [_theirs(rabbitmq, messages) for _ in range(sizes.repeats)]
    ratio = median_rate(ours) / median_rate(theirs)
    rows = [
        burst_row("qbeat, SQLite", entries, ours),
        burst_row("apply_async, confirm_publish", messages, theirs, median_rate(ours)),
    ]
    cpu = median_cpu(theirs) / median_cpu(ours)
    return Part(
        "A burst on RabbitMQ",
        f"{entries:,} entries are due in one instant, when qbeat is at rest; each message is confirmed by the "
        "broker, and settled in the store. Measured from that instant until the last message is in the queue. "
        f"*apply_async*: a loop over the same task, with `confirm_publish`, that keeps no record; measured over "
        f"{messages:,} messages from the last moment at which the queue is empty. "
        f"*Times*: qbeat's rate in rates of the loop. A message costs the loop {cpu:.1f} times the CPU time.",
        rows,
        [at_least("rate against apply_async", ratio, 10)],
    )


def _ours(rabbitmq: RabbitMQServer, entries: int, rounds: int) -> list[Burst]:
    url = rabbitmq.host_url(rabbitmq.new_virtual_host())
    queue, start = RabbitQueue(url), 5 + entries / 4_000
    return bursts_of(QBEAT_ON_FILE, lambda: folder_for(url), queue, entries, rounds, window=60, start=start)


def _theirs(rabbitmq: RabbitMQServer, messages: int) -> Burst:
    url = rabbitmq.host_url(rabbitmq.new_virtual_host())
    queue = RabbitQueue(url)
    # It ends by itself: what is measured ends before.
    load = Load(messages + messages // 4 + 1, DAY, first_at=0)
    with folder_for(url) as place, APPLY_ASYNC.running(place, load) as process:
        return measure(queue, process, messages, window=60)
