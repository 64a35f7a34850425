"""Write a load as rows of django-celery-beat: its tables, one schedule, one row for each entry."""

from __future__ import annotations

import json
import os

import django
from django.core.management import call_command

from tests.benchmarks.load import TASK, Load


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.django_settings"
    django.setup()
    call_command("migrate", verbosity=0)
    _write(Load.from_environment(os.environ))


def _write(load: Load) -> None:
    # Django's models can only be imported once it has been set up.
    from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks

    assert load.every is None, "only crontabs are compared here"
    minutely = CrontabSchedule.objects.create(minute="*", hour="*", timezone="UTC")
    rows = (
        PeriodicTask(
            name=entry.name,
            task=TASK,
            crontab=minutely,
            args=json.dumps([entry.number]),
            last_run_at=entry.last_run_at,
        )
        for entry in load.planned()
    )
    PeriodicTask.objects.bulk_create(rows, batch_size=500)
    PeriodicTasks.update_changed()


if __name__ == "__main__":
    main()
