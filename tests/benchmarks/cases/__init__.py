"""The cases, by the names under which they are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.benchmarks.cases import burst, lateness, minutely, rabbitmq, schedules, standing
from tests.benchmarks.results import Part, Sizes

CASES: Final[Mapping[str, Callable[[Sizes], Part]]] = {
    "burst": burst.run,
    "minutely": minutely.run,
    "rabbitmq": rabbitmq.run,
    "lateness": lateness.run,
    "standing": standing.run,
    "schedules": schedules.run,
}
