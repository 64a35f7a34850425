"""Which workers get a supervisor of their embedded beat."""

from __future__ import annotations

from qbeat.beat.plugin.scheduler import QbeatScheduler
from qbeat.beat.plugin.supervision import is_qbeat


def test_subclasses_are_qbeat_and_other_schedulers_are_not() -> None:
    class Own(QbeatScheduler):
        pass

    assert is_qbeat("qbeat")
    assert is_qbeat("qbeat.beat.plugin.scheduler:QbeatScheduler")
    assert is_qbeat(Own)
    assert not is_qbeat("celery.beat:PersistentScheduler")
    assert not is_qbeat("no.such:Scheduler")
