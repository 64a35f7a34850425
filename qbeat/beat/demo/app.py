"""The Celery app of the demo, declared as Celery's guides do it; nothing in it knows of qbeat's engine.

The broker and the results live in a folder, so no server is needed. ``QBEAT_DEMO_FOLDER`` says in which one.
"""

import os
from pathlib import Path
from typing import Any

from celery import Celery, chain
from celery.schedules import crontab

folder = Path(os.environ.get("QBEAT_DEMO_FOLDER", ".qbeat-demo")).absolute()
(folder / "results").mkdir(parents=True, exist_ok=True)

app = Celery("demo", include=["qbeat.beat.demo.recorder"])
app.conf.update(
    broker_url="filesystem://localhost",
    broker_transport="qbeat.beat.demo.transport:Transport",
    broker_transport_options={"folder": str(folder / "broker"), "polling_interval": 0.02},
    result_backend=f"file://{folder / 'results'}",
    beat_schedule={
        "count the cats": {"task": "demo.count_cats", "schedule": 5.0, "args": (["Tom", "Felix"],)},
        "say the minute": {"task": "demo.greet", "schedule": crontab(), "args": ("a new minute",)},
    },
)


@app.task(name="demo.greet")
def greet(whom: str) -> str:
    return f"Hello, {whom}!"


@app.task(name="demo.count_cats")
def count_cats(cats: list[str]) -> str:
    return f"{len(cats)} cats are well"


@app.task(name="demo.fetch_name")
def fetch_name(number: int) -> str:
    return ["Ada", "Grace", "Edsger"][number % 3]


@app.task(name="demo.pour_milk")
def pour_milk() -> None:
    raise RuntimeError("the milk is out (this task always fails)")


@app.on_after_configure.connect
def declare(sender: Celery, **_: Any) -> None:
    sender.add_periodic_task(2.0, greet.s("world"), name="greet the world")
    sender.add_periodic_task(6.0, chain(fetch_name.s(1), greet.s()), name="greet by name")
    sender.add_periodic_task(7.0, pour_milk.s(), name="pour milk")
