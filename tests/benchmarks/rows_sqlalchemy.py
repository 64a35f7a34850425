"""Write a load as rows of sqlalchemy-celery-beat: its tables, one schedule, one row for each entry."""

from __future__ import annotations

import json
import os

import sqlalchemy as sa
from sqlalchemy_celery_beat.models import CrontabSchedule, PeriodicTask
from sqlalchemy_celery_beat.session import SessionManager

from tests.benchmarks.load import DATABASE, TASK, Load


def main() -> None:
    manager = SessionManager()
    engine, make_session = manager.create_session(os.environ[DATABASE])
    manager.prepare_models(engine)
    load = Load.from_environment(os.environ)
    assert load.every is None, "only crontabs are compared here"
    with make_session() as session:
        minutely = CrontabSchedule(minute="*", hour="*", timezone="UTC")
        session.add(minutely)
        session.flush()
        rows = [
            {
                "name": entry.name,
                "task": TASK,
                "args": json.dumps([entry.number]),
                "last_run_at": entry.last_run_at,
                "discriminator": minutely.discriminator,
                "schedule_id": minutely.id,
            }
            for entry in load.planned()
        ]
        session.execute(sa.insert(PeriodicTask), rows)
        session.commit()


if __name__ == "__main__":
    main()
