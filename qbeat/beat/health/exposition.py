"""Counters and histograms, and the text in which Prometheus reads them (exposition format 0.0.4)."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a name, its labels, a value."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples; ``kind`` is ``counter``, ``gauge`` or ``histogram``."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]


def gauge(name: str, text: str, value: float, **labels: str) -> Family:
    """Return a gauge with one sample."""
    return Family(name, "gauge", text, [Sample(name, labels, value)])


class Counter:
    """Counts for each value of its one label; the values that are known stand at 0 from the beginning.

    Only one thread may add.
    """

    def __init__(self, name: str, text: str, label: str, values: Iterable[str]) -> None:
        self._name, self._text, self._label = name, text, label
        self._counts = dict.fromkeys(values, 0)

    def add(self, value: str, count: int = 1) -> None:
        self._counts[value] = self._counts.get(value, 0) + count

    def family(self) -> Family:
        samples = [
            Sample(self._name, {self._label: value}, count) for value, count in self._counts.copy().items()
        ]
        return Family(self._name, "counter", self._text, samples)


class Histogram:
    """How often values were at most so great; with a label, once for each of its values. Any thread may add."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], label: str | None = None) -> None:
        self._name, self._text, self._label = name, text, label
        self._bounds = (*bounds, math.inf)
        self._lock = threading.Lock()
        self._series: dict[str, tuple[list[int], list[float]]] = {}
        if label is None:
            self._series[""] = self._empty()

    def add(self, values: Iterable[float], label: str = "") -> None:
        with self._lock:
            series = self._series.get(label)
            if series is None:
                series = self._series[label] = self._empty()
            counts, total = series
            for value in values:
                counts[bisect_left(self._bounds, value)] += 1
                total[0] += value

    def family(self) -> Family:
        with self._lock:
            series = {label: (counts[:], total[0]) for label, (counts, total) in self._series.items()}
        samples = [
            sample
            for label, (counts, total) in series.items()
            for sample in self._samples({self._label: label} if self._label else {}, counts, total)
        ]
        return Family(self._name, "histogram", self._text, samples)

    def _empty(self) -> tuple[list[int], list[float]]:
        return [0] * len(self._bounds), [0.0]

    def _samples(self, labels: Mapping[str, str], counts: Sequence[int], total: float) -> Iterator[Sample]:
        seen = 0
        for bound, count in zip(self._bounds, counts, strict=True):
            seen += count
            yield Sample(f"{self._name}_bucket", {**labels, "le": _number(bound)}, seen)
        yield Sample(f"{self._name}_sum", labels, total)
        yield Sample(f"{self._name}_count", labels, seen)


def render(families: Iterable[Family]) -> str:
    """Return what Prometheus scrapes."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        yield f"{sample.name}{_labels(sample.labels)} {_number(sample.value)}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) else repr(float(value))
