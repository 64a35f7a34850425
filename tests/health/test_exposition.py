"""Metrics as text, read back by Prometheus's own parser."""

from __future__ import annotations

import math
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from qbeat.beat.health.exposition import Counter, Histogram, gauge, render
from qbeat.beat.health.metrics import Metrics
from qbeat.schedules.base import SECOND
from qbeat.store.records import Claim, Message, NewFiring, Release, Settlement, Skip, Won

NOW = 1_800_000_000 * SECOND


def read(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def counts(metrics: Metrics, name: str) -> dict[str, float]:
    family = read(render(metrics.families()))[name]
    return {next(iter(sample.labels.values())): sample.value for sample in family.samples if sample.value}


def lateness(metrics: Metrics) -> tuple[float, float]:
    family = read(render(metrics.families()))["qbeat_firing_lateness_seconds"]
    found = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples}
    return found["count"], found["sum"]


def test_labels_come_back_whatever_they_hold() -> None:
    odd = 'a "quoted" \\ and\na line'
    [family] = read(render([gauge("qbeat_some", "What it is.", 1.5, label=odd)])).values()
    [sample] = family.samples
    assert (sample.labels, sample.value, family.documentation) == ({"label": odd}, 1.5, "What it is.")


def test_known_values_of_a_counter_stand_at_zero_from_the_beginning() -> None:
    counter = Counter("qbeat_some_total", "What.", "kind", ("a", "b"))
    counter.add("b", 3)
    [family] = read(render([counter.family()])).values()
    assert {sample.labels["kind"]: sample.value for sample in family.samples} == {"a": 0, "b": 3}


def test_buckets_count_what_is_at_most_so_great() -> None:
    histogram = Histogram("qbeat_some_seconds", "What.", (0.1, 1))
    histogram.add([0.1, 0.5, 1.0, 70.0])
    [family] = read(render([histogram.family()])).values()
    buckets = {float(sample.labels["le"]): sample.value for sample in family.samples if "le" in sample.labels}
    assert buckets == {0.1: 1, 1.0: 3, math.inf: 4}
    assert {sample.name: sample.value for sample in family.samples if "le" not in sample.labels} == {
        "qbeat_some_seconds_sum": 71.6,
        "qbeat_some_seconds_count": 4,
    }


def test_settled_firings_are_counted_by_outcome_with_their_lateness() -> None:
    metrics = Metrics()
    metrics.settled(
        [
            Settlement("u", NOW, "auto", "published", published_at=NOW + SECOND // 4),
            Settlement("u", NOW, "auto", "failed", reason="boom"),
            Settlement("u", NOW, "auto", "skipped", reason="superseded"),
        ],
        [
            Release("u", NOW, "auto", 1, 0, error="x", uncertain=True),
            Release("u", NOW, "auto", 1, 0, error="x"),
            Release("u", NOW, "auto", 1, 0),
        ],
    )
    assert counts(metrics, "qbeat_firings") == {"published": 1, "failed": 1, "superseded": 1}
    assert counts(metrics, "qbeat_publish_errors") == {"failed": 2, "uncertain": 1}
    assert lateness(metrics) == (1, 0.25)


def test_claims_are_counted_with_what_they_push_and_skip() -> None:
    metrics = Metrics()
    pushed = NewFiring(NOW - SECOND, "id", Message("celery", "{}"))
    claim = Claim("u", 0, 1, NOW, None, None, (pushed,), (Skip(1, 2, 2, "coalesced"),))
    metrics.claimed([claim, claim, claim], [Won.YES, Won.QUEUED, Won.LOST], NOW)
    assert counts(metrics, "qbeat_claims") == {"won": 1, "queued": 1, "lost": 1}
    assert counts(metrics, "qbeat_firings") == {"published": 1, "coalesced": 4}
    assert lateness(metrics) == (1, 1.0)
