"""What one replica counts while it fires; the names are part of what users rely on."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from typing import Final

from qbeat.beat.health.exposition import Counter, Family, Histogram
from qbeat.beat.observer import Observer
from qbeat.schedules.base import SECOND
from qbeat.store.records import Claim, Firing, Release, Settlement, Won

LATENESS_BOUNDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
LATENCY_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

OUTCOMES: Final = (
    *("published", "failed"),
    *("coalesced", "missed", "paused", "overlap", "excluded", "superseded"),
)
"""How a firing ends: published, failed for good, or skipped for this reason."""


class Metrics(Observer):
    """The counters and histograms of one replica."""

    def __init__(self) -> None:
        self.lateness = Histogram(
            "qbeat_firing_lateness_seconds",
            "Between the fire time and the broker's having the message.",
            LATENESS_BOUNDS,
        )
        self.firings = Counter(
            "qbeat_firings_total",
            "Firings that this replica has accounted for, by outcome; skips by their reason.",
            "outcome",
            OUTCOMES,
        )
        self.claims = Counter(
            "qbeat_claims_total",
            "Claims that were tried: won, won with firings that wait in the outbox, or lost to another replica.",
            "result",
            ("won", "queued", "lost"),
        )
        self.publish_errors = Counter(
            "qbeat_publish_errors_total",
            "Tries to publish that failed: for certain, or with an open end (uncertain).",
            "kind",
            ("failed", "uncertain"),
        )
        self.takeovers = Counter(
            "qbeat_outbox_takeovers_total",
            "Firings taken from the outbox; of the uncertain ones the broker may have had the message before.",
            "uncertain",
            ("false", "true"),
        )
        self.jumps = Counter(
            "qbeat_clock_jumps_total",
            "Jumps of a clock by a second or more.",
            "clock",
            ("store",),
        )
        self.store = Histogram(
            "qbeat_store_seconds", "Time for an answer of the store, by verb.", LATENCY_BOUNDS, "verb"
        )
        self.broker = Histogram(
            "qbeat_broker_seconds", "Time for an answer of the broker to a batch of messages.", LATENCY_BOUNDS
        )

    def claimed(self, claims: Sequence[Claim], outcomes: Sequence[Won], now: int) -> None:
        results = Tally(outcomes)
        for won, result in _RESULTS.items():
            self.claims.add(result, results[won])
        kept = [(claim, won) for claim, won in zip(claims, outcomes, strict=True) if won is not Won.LOST]
        for claim, _ in kept:
            for skip in claim.skips:
                self.firings.add(skip.reason, skip.count or 1)
        pushed = [
            (now - firing.fire_time) / SECOND
            for claim, won in kept
            if won is Won.YES
            for firing in claim.firings
            if firing.message is not None
        ]
        self._published(pushed)

    def settled(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        late = [
            (each.published_at - each.fire_time) / SECOND
            for each in settlements
            if each.published_at is not None
        ]
        self._published(late)
        for each in settlements:
            if each.outcome == "failed":
                self.firings.add("failed")
                self.publish_errors.add("failed")
            elif each.outcome == "skipped":
                self.firings.add(each.reason or "superseded")
        for release in releases:
            if release.uncertain:
                self.publish_errors.add("uncertain")
            elif release.error is not None:
                self.publish_errors.add("failed")

    def taken_over(self, firings: Sequence[Firing]) -> None:
        for firing in firings:
            self.takeovers.add("true" if firing.uncertain else "false")

    def sent(self, count: int, seconds: float) -> None:  # noqa: ARG002 - how many is not measured
        self.broker.add([seconds])

    def clock_jumped(self) -> None:
        self.jumps.add("store")

    def families(self) -> list[Family]:
        """Return all of them as they stand."""
        return [
            each.family()
            for each in (
                *(self.lateness, self.firings, self.claims, self.publish_errors),
                *(self.takeovers, self.jumps, self.store, self.broker),
            )
        ]

    def _published(self, lateness: Sequence[float]) -> None:
        if lateness:
            self.firings.add("published", len(lateness))
            self.lateness.add(lateness)


_RESULTS: Final = {Won.YES: "won", Won.QUEUED: "queued", Won.LOST: "lost"}
