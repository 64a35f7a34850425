"""The history as it is read: each entry's own records, page by page, merged in the order of fire times.

The outbox is read before the lists: a firing that is settled in between is met twice and yielded once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge, nlargest
from itertools import chain, groupby, islice
from struct import Struct
from typing import Any, Final, Protocol

from qbeat.store.batches import in_batches
from qbeat.store.records import HistoryRecord
from qbeat.store.redis.packing import NONE, UID_LENGTH
from qbeat.store.redis.past import unpack_record, unpack_unsettled

PAGE: Final = 1_000
"""How many records of one entry are read at once."""
_OPENED: Final = 500
"""How many entries' first pages are read at once."""
_READ_AHEAD: Final = 20_000
"""About how many records the first pages of all entries come to."""
_FIRST_LOOK: Final = 100
_UNKNOWN: Final = -NONE
"""Stands for where a removed entry's history ends."""
_SPAN: Final = 600_000_000
"""The microseconds of each span whose records the scripts count."""
_INSTANT: Final = Struct(">q")

_Key = tuple[int, str, str]


class Reads(Protocol):
    """What reading the history needs of the store."""

    def read(self, verb: str, *arguments: str | bytes | int) -> Any:
        """Run a script that only reads."""

    def ask(self, command: str, key: str, *arguments: str | bytes | int) -> Any:
        """Send a command that only reads, about one of the store's keys."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which records are wanted: fire times within ``[since, until]``, and in which order."""

    since: int | None = None
    until: int | None = None
    newest_first: bool = False

    def has(self, record: HistoryRecord) -> bool:
        return not self.lies_before(record) and not self.lies_after(record)

    def lies_before(self, record: HistoryRecord) -> bool:
        """Whether the record ends before the span begins."""
        return self.since is not None and record.last_fire_time < self.since

    def lies_after(self, record: HistoryRecord) -> bool:
        """Whether the record begins after the span ends."""
        return self.until is not None and record.fire_time > self.until

    def beyond(self, record: HistoryRecord) -> Span:
        """Return the part of the span that comes after a record, in its order."""
        if self.newest_first:
            return replace(self, until=record.fire_time - 1)
        return replace(self, since=record.last_fire_time + 1)


class History:
    """Reads the history of one store."""

    def __init__(self, store: Reads) -> None:
        self._store = store
        self._replicas: dict[int, str] = {}

    def walk(self, entries: Collection[str] | None, span: Span, limit: int | None) -> Iterator[HistoryRecord]:
        """Yield the first ``limit`` records of a span, of the entries of some names or of all."""
        if limit == 0:
            return
        uids = None if entries is None else self._uids_of(entries)
        unsettled = self._unsettled(uids, span)
        settled = self._settled(uids, span, limit)
        merged = merge(unsettled, settled, key=_key, reverse=span.newest_first)
        yield from islice(_without_doubles(merged), limit)

    # --- whose

    def _uids_of(self, names: Collection[str]) -> list[str]:
        """Return the uids of the entries that have, and of those that had, one of the names."""
        uids: dict[str, None] = {}
        for some in in_batches({*names}, PAGE):
            for definition in self._store.ask("HMGET", "entries", *some):
                if definition is not None:
                    uids[definition[2 : 2 + UID_LENGTH].decode()] = None
            for former in self._store.ask("HMGET", "former", *some):
                uids |= dict.fromkeys(_split(former or b""))
        return [*uids]

    def _ends(self) -> dict[str, int]:
        """Return where the histories of all entries end that have one; for removed ones ``_UNKNOWN``."""
        found: dict[str, int] = {}
        page = b"0"
        while True:
            page, uids, ends = self._store.read("ends", page)
            found.update(zip(_split(uids), (end for (end,) in _INSTANT.iter_unpack(ends)), strict=True))
            if page == b"0":
                return found

    # --- unsettled

    def _unsettled(self, uids: Sequence[str] | None, span: Span) -> list[HistoryRecord]:
        pages = self._outbox_pages() if uids is None else self._outboxes_of(uids)
        found = [record for page in pages for record in map(unpack_unsettled, page) if span.has(record)]
        return sorted(found, key=_key, reverse=span.newest_first)

    def _outbox_pages(self) -> Iterator[list[Any]]:
        page = b"0"
        while True:
            page, *found = self._store.read("outbox", page)
            yield found
            if page == b"0":
                return

    def _outboxes_of(self, uids: Sequence[str]) -> Iterator[list[Any]]:
        for some in in_batches(uids, PAGE):
            yield self._store.read("outbox", "", *some)[1:]

    # --- settled

    def _settled(self, uids: Sequence[str] | None, span: Span, limit: int | None) -> Iterator[HistoryRecord]:
        if uids is not None:
            return self._merged(uids, span, limit)
        if span.newest_first and limit is not None:
            return self._newest(span, limit)
        return self._merged(_reaching(self._ends(), span.since), span, limit)

    def _newest(self, span: Span, limit: int) -> Iterator[HistoryRecord]:
        """Yield the newest records; the entries whose histories end earlier are looked at only if need be."""
        ends = self._ends()
        latest = nlargest(
            max(limit, _FIRST_LOOK), ((end, uid) for uid, end in ends.items() if end < _UNKNOWN)
        )
        reached = latest[-1] if latest else (NONE, "")
        first_look = {uid for uid, end in ends.items() if end == _UNKNOWN}.union(uid for _, uid in latest)
        records = self._merged([*first_look], span, limit)
        for record in records:
            if (record.fire_time, record.uid) < reached:
                records = chain([record], records)
                break
            yield record
        others = [uid for uid in _reaching(ends, span.since) if uid not in first_look]
        yield from merge(records, self._merged(others, span, limit), key=_key, reverse=True)

    def _merged(self, uids: Sequence[str], span: Span, limit: int | None) -> Iterator[HistoryRecord]:
        size = min(max(_READ_AHEAD // max(len(uids), 1), 10), PAGE, limit or PAGE)
        sources: list[Iterable[HistoryRecord]] = []
        for some in in_batches(uids, _OPENED):
            for uid, (name, page, late) in zip(some, self._pages(some, span, size, late=True), strict=True):
                entry = (name or b"").decode()
                if page:
                    sources.append(self._entry_records(uid, entry, page, size, span))
                if late:
                    sources.append(self._late_records(uid, entry, late, span))
        return merge(*sources, key=_key, reverse=span.newest_first)

    def _pages(self, uids: Sequence[str], span: Span, size: int, *, late: bool) -> list[Any]:
        bounds = (NONE if bound is None else bound for bound in (span.since, span.until))
        found: list[Any] = self._store.read(
            "history", int(span.newest_first), size, int(late), *bounds, *uids
        )
        return found

    def _entry_records(
        self, uid: str, entry: str, page: list[bytes], size: int, span: Span
    ) -> Iterator[HistoryRecord]:
        """Yield an entry's records in the span, beginning with a page of them."""
        while page:
            for packed in reversed(page) if span.newest_first else page:
                record = self._unpack(uid, entry, packed)
                if span.lies_before(record) if span.newest_first else span.lies_after(record):
                    return
                yield record
            if len(page) < size:
                return
            span, size = span.beyond(record), PAGE
            ((_, page, _),) = self._pages([uid], span, size, late=False)

    def _late_records(self, uid: str, entry: str, late: Sequence[bytes], span: Span) -> list[HistoryRecord]:
        found = (self._unpack(uid, entry, packed) for packed in late)
        return sorted((one for one in found if span.has(one)), key=_key, reverse=span.newest_first)

    # --- by whom

    def _unpack(self, uid: str, entry: str, packed: bytes) -> HistoryRecord:
        return unpack_record(uid, entry, packed, self._replica_of)

    def _replica_of(self, number: int) -> str | None:
        if number and number not in self._replicas:
            found = self._store.ask("HGETALL", "numbers")
            self._replicas = {int(number): replica.decode() for replica, number in pairs(found)}
        return self._replicas.get(number)


def _key(record: HistoryRecord) -> _Key:
    return record.fire_time, record.uid, record.lane


def _without_doubles(records: Iterable[HistoryRecord]) -> Iterator[HistoryRecord]:
    """Yield one record of each key, the settled one if there is one."""
    for _, same in groupby(records, key=_key):
        first, *others = same
        yield others[0] if others and first.outcome == "claimed" else first


def _reaching(ends: Mapping[str, int], since: int | None) -> list[str]:
    """Return the uids of the entries whose histories may reach an instant."""
    return [uid for uid, end in ends.items() if since is None or end >= since]


def _split(uids: bytes) -> list[str]:
    text = uids.decode()
    return [text[start : start + UID_LENGTH] for start in range(0, len(text), UID_LENGTH)]


def instant_before(counts: Mapping[bytes, bytes], count: int) -> int | None:
    """Return where the span begins with which the newest spans have ``count`` records, if older ones have more."""
    spans = sorted((int(span) for span in counts), reverse=True)
    newer = 0
    for span in spans[:-1]:
        newer += int(counts[str(span).encode()])
        if newer >= count:
            return span * _SPAN
    return None


def pairs(found: Any) -> Iterator[tuple[Any, Any]]:
    """Return the pairs of a reply: a flat list, or what redis-py makes of it."""
    if isinstance(found, dict):
        return iter(found.items())
    if found and isinstance(found[0], (tuple, list)):
        return ((one, other) for one, other in found)
    return zip(found[::2], found[1::2], strict=True)
