"""The app that every contender runs: one task, and the entries that the environment asks for."""

from __future__ import annotations

import os

from celery import Celery

from tests.benchmarks.load import BROKER, DATABASE, ROWS, TASK, Load

app = Celery("benchmark", broker=os.environ[BROKER])
app.conf.result_expires = None  # no entry of Celery's own
app.conf.broker_transport_options = (
    {"confirm_publish": True} if app.conf.broker_url.startswith("amqp") else {}
)
app.conf.redbeat_redis_url = app.conf.broker_url
app.conf.redbeat_redis_options = {"retry_period": None}
app.conf.beat_dburi = os.environ.get(DATABASE)
if ROWS not in os.environ:
    app.conf.beat_schedule = Load.from_environment(os.environ).beat_schedule()


@app.task(name=TASK)
def tick(number: int) -> int:
    return number
