"""All that an entry and an app may say about a message, for tests that compare messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue


def add(x: int = 0, y: int = 0) -> int:
    return x + y


def nothing() -> None: ...


def app_with(broker: str, entry: Mapping[str, Any] | None = None, **settings: Any) -> Celery:
    """An app on ``broker`` with some tasks and one entry ``feed``."""
    app = Celery("tasks", broker=broker, set_as_current=False)
    app.conf.update(settings)
    app.task(add, name="tasks.add", shared=False)
    app.task(nothing, name="tasks.urgent", priority=3, queue="urgent", expires=60, shared=False)
    app.task(nothing, name="tasks.quiet", ignore_result=True, shared=False)
    app.task(nothing, name="tasks.limited", time_limit=7, soft_time_limit=5, shared=False)
    app.conf.beat_schedule = {"feed": {"task": "tasks.add", "schedule": 60, **(entry or {})}}
    app.finalize()
    return app


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "args": {"args": ("two", [3.5, None, {"x": True}])},
    "kwargs": {"kwargs": {"x": "ä€", "y": '"quoted" %s %(x)s'}},
    "many args": {"args": (list(range(500)), "x" * 5000)},
    "unregistered task": {"task": "elsewhere.task", "args": (1,)},
    "options of the task": {"task": "tasks.urgent"},
    "ignored result": {"task": "tasks.quiet"},
    "time limits of the task": {"task": "tasks.limited"},
    "priority": {"options": {"priority": 6}},
    "queue": {"options": {"queue": "low"}},
    "routing key": {"options": {"routing_key": "low.key"}},
    "headers": {"options": {"headers": {"x-trace": "1", "nested": {"a": [1]}}}},
    "expires in seconds": {"options": {"expires": 120}},
    "expires at an instant": {"options": {"expires": datetime(2036, 1, 1, tzinfo=UTC)}},
    "countdown": {"options": {"countdown": 30}},
    "eta": {"options": {"eta": datetime(2036, 1, 1, tzinfo=UTC)}},
    "serializer": {"options": {"serializer": "pickle"}},
    "compression": {"options": {"compression": "zlib"}},
    "shadow": {"options": {"shadow": "another name"}},
    "time limits": {"options": {"time_limit": 7, "soft_time_limit": 5}},
    "retries": {"options": {"retries": 2}},
    "delivery mode": {"options": {"delivery_mode": 1}},
    "reply to": {"options": {"reply_to": "somewhere"}},
    "unknown option": {"options": {"zzz": "1"}},
    "policies": {"options": {"queue": "low", "qbeat": {"catch_up": "all"}}},
    "link": {"options": {"link": {"task": "tasks.add", "args": [1], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}}},
    "stamps": {"options": {"stamped_headers": ["one"], "one": "value"}},
}  # fmt: skip


SETTINGS: dict[str, dict[str, Any]] = {
    "default queue": {"task_default_queue": "other"},
    "default priority": {"task_default_priority": 5},
    "queues": {
        "task_queues": [Queue("low", Exchange("ex", "topic"), routing_key="low.#")],
        "task_routes": {"tasks.*": {"queue": "low", "routing_key": "low.x"}},
        "task_default_queue": "low",
    },
    "routes": {"task_routes": {"tasks.*": {"queue": "low", "priority": 4}}},
    "protocol 1": {"task_protocol": 1},
    "serializer": {"task_serializer": "pickle"},
    "compression": {"task_compression": "gzip"},
    "annotations": {"task_annotations": {"tasks.add": {"priority": 6, "rate_limit": "10/m"}}},
    "time zone": {"timezone": "Asia/Shanghai"},
    "no utc": {"timezone": "Asia/Shanghai", "enable_utc": False},
    "priority steps": {"broker_transport_options": {"priority_steps": [0, 1, 2], "sep": ":"}},
    "key prefix": {"broker_transport_options": {"global_keyprefix": "pfx:"}},
    "stored arguments": {"result_extended": True},
    "sent events": {"task_send_sent_event": True, "task_default_queue": "q"},
    "long texts": {"argsrepr_maxsize": 20},
}


MOMENTARY = {
    "options of the task",  # it expires
    "expires in seconds",
    "expires at an instant",
    "countdown",
    "eta",
    "serializer",
    "compression",
    "retries",
    "reply to",
    "stamps",
}
"""Those of ``OPTIONS`` whose messages go the plain way on every broker."""

PLAIN_SETTINGS = {"protocol 1", "serializer", "compression", "sent events"}
"""Those of ``SETTINGS`` under which all messages do."""

ODD: list[Any] = [
    "",
    "ä€𝄞",
    '"quoted" %s %(x)s {0}',
    "\x00\x01\x02\n",
    "x" * 5_000,
    "\\u0041",
    "qbeatF",
    "\ufdd0id\ufdd0",
    -0.0,
    1e300,
    True,
    None,
    2**70,
    [[]],
    {"a": {"b": [1, {}]}},
    float("inf"),
]
"""Arguments that a template might get wrong."""


def odd_entries() -> dict[str, dict[str, Any]]:
    """One class of entries: each of the odd values as an argument, as a keyword argument, and in a name.

    No name may have a NUL.
    """
    return {
        f"{way} {number} {value if isinstance(value, str) else ''}"[:300].replace("\0", ""): {
            "task": "tasks.add",
            "schedule": 60,
            "args": [value, number] if way == "args" else [],
            "kwargs": {"x": value} if way == "kwargs" else {},
        }
        for way in ("args", "kwargs")
        for number, value in enumerate(ODD)
    }


NOTING = """
from celery import Celery
app = Celery("tasks", broker={url!r})

@app.task
def note(text):
    with open("notes", "a") as file:
        file.write(f"{{text}} {{app.current_task.request.id}}\\n")

@app.task
def noted(text):
    note.run(text)
"""
"""The source of an app whose tasks note that they ran, and under which id."""
