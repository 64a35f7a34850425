"""Many entries due in one instant on RabbitMQ, with publisher confirms; the store is SQLite."""

from __future__ import annotations

import time
from typing import Final

from tests.benchmarks.bursts import Burst, measure, median_cpu, median_rate
from tests.benchmarks.contenders import APPLY_ASYNC, QBEAT_ON_FILE
from tests.benchmarks.load import Load
from tests.benchmarks.places import folder_for
from tests.benchmarks.queues import RabbitQueue
from tests.benchmarks.results import Part, Sizes, at_least, burst_row
from tests.servers import RabbitMQServer

ENTRIES: Final = 20_000
RIVAL_MESSAGES: Final = 2_000
DAY: Final = 24 * 60 * 60


def run(sizes: Sizes) -> Part:
    """Compare qbeat with a loop over `apply_async` that waits for each confirm."""
    entries, messages = sizes.entries_or(ENTRIES), sizes.fewer_or(RIVAL_MESSAGES)
    with RabbitMQServer() as rabbitmq:
        ours = [_ours(rabbitmq, entries) for _ in range(sizes.repeats)]
        theirs = [_theirs(rabbitmq, messages) for _ in range(sizes.repeats)]
    ratio = median_rate(ours) / median_rate(theirs)
    rows = [
        burst_row("qbeat, SQLite", entries, ours),
        burst_row("apply_async, confirm_publish", messages, theirs, median_rate(ours)),
    ]
    cpu = median_cpu(theirs) / median_cpu(ours)
    return Part(
        "A burst on RabbitMQ",
        f"{entries:,} entries are overdue when qbeat starts; each message is confirmed by the broker, and settled "
        "in the store. *apply_async*: a loop over the same task, with `confirm_publish`, that keeps no record. "
        "Measured from the last moment at which the queue is empty until the last message is in it. "
        f"*Times*: qbeat's rate in rates of the loop. A message costs the loop {cpu:.1f} times the CPU time.",
        rows,
        [at_least("rate against apply_async", ratio, 10)],
    )


def _ours(rabbitmq: RabbitMQServer, entries: int) -> Burst:
    url = rabbitmq.host_url(rabbitmq.new_virtual_host())
    queue = RabbitQueue(url)
    load = Load(entries, DAY, first_at=time.time() - 1)
    with folder_for(url) as place, QBEAT_ON_FILE.running(place, load) as process:
        return measure(queue, process, entries, window=120)


def _theirs(rabbitmq: RabbitMQServer, messages: int) -> Burst:
    url = rabbitmq.host_url(rabbitmq.new_virtual_host())
    queue = RabbitQueue(url)
    # It ends by itself: what is measured ends before.
    load = Load(messages + messages // 4 + 1, DAY, first_at=0)
    with folder_for(url) as place, APPLY_ASYNC.running(place, load) as process:
        return measure(queue, process, messages, window=60)
