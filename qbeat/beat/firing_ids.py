"""The task id of a firing: the same on every replica and in every attempt."""

from __future__ import annotations

import uuid
from typing import Final

NAMESPACE: Final = uuid.UUID("6d2f3a52-0f0b-5c3f-9a0e-7162656174fe")


def task_id_of(uid: str, fire_time: int, lane: str) -> str:
    """Return the id under which the entry ``uid`` is published for ``fire_time`` (microseconds) in ``lane``."""
    return str(uuid.uuid5(NAMESPACE, f"{uid}|{fire_time}|{lane}"))
