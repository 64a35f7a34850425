"""How `qbeat … worker …` becomes a command of Celery's."""

from __future__ import annotations

import pytest

from qbeat.beat.cli.worker import celery_arguments


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("-A tasks -B", "-A tasks worker -B --scheduler qbeat"),
        ("-A tasks -l INFO -B -c 2 -Q a,b", "-A tasks worker -l INFO -B -c 2 -Q a,b --scheduler qbeat"),
        ("-lDEBUG -nqb@%h -EB -Atasks", "-Atasks worker -lDEBUG -nqb@%h -EB --scheduler qbeat"),
        ("--app=tasks -B --pool=solo", "--app=tasks worker -B --pool=solo --scheduler qbeat"),
        ("-b redis://x -C -q --workdir d -B", "-b redis://x -C -q --workdir d worker -B --scheduler qbeat"),
        ("-A t -B -s redis://x", "-A t worker -B -s redis://x --scheduler qbeat"),
        ("-A t -B --store my.db", "-A t worker -B -s my.db --scheduler qbeat"),
        ("-A t -B --store=my.db", "-A t worker -B -s my.db --scheduler qbeat"),
        ("-A t -B --schedule my.db", "-A t worker -B --schedule my.db --scheduler qbeat"),
        ("-A t -B --scheduler mine.Own", "-A t worker -B --scheduler mine.Own"),
        ("-A t -n -A", "-A t worker -n -A --scheduler qbeat"),
        ("-A t worker.concurrency=2", "-A t worker worker.concurrency=2 --scheduler qbeat"),
        ("-h", "worker --help --scheduler qbeat"),
    ],
)
def test_celerys_own_options_come_first_and_all_others_stay_as_they_are(given: str, found: str) -> None:
    assert " ".join(celery_arguments(given.split())) == found
