"""The contract of a store over Redis: each verb is one script, whatever the length of its batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from qbeat.store.base import MAX_BATCH, Store, StoreUnusable
from qbeat.store.batches import in_batches
from qbeat.store.checks import check_changes, check_claims, check_length
from qbeat.store.records import (
    Change,
    Claim,
    EntryRecord,
    Firing,
    HistoryRecord,
    Pulse,
    Release,
    ReplicaRecord,
    Settlement,
    Won,
)
from qbeat.store.redis.address import Address, is_redis, parse_address
from qbeat.store.redis.entries import pack_definition, unpack_entries
from qbeat.store.redis.errors import StoreEmptied
from qbeat.store.redis.history import History, Span, instant_before, pairs
from qbeat.store.redis.keys import keys_of, name_of
from qbeat.store.redis.opening import VERSION, examine, prepare
from qbeat.store.redis.packing import (
    pack_changes,
    pack_claims,
    pack_releases,
    pack_settlements,
    unpack_task,
)
from qbeat.store.redis.replicas import pack_replica, unpack_replicas
from qbeat.store.redis.scripts import script
from qbeat.store.redis.server import Argument, Server

_WON: Final = {ord(won.name[0]): won for won in (Won.LOST, Won.YES, Won.QUEUED)}


class RedisStore(Store):
    """A store in one database of a Redis, under the keys of one prefix."""

    def __init__(
        self, address: Address, clock: Callable[[], int] | None = None, *, create: bool = True
    ) -> None:
        self._address = address
        self._clock = clock
        self._create = create
        self._server = Server(address)
        self._keys = keys_of(address.prefix)
        self._key = {name_of(key): key for key in self._keys}
        self._history = History(self)
        self._is_clustered = examine(self._server)
        prepare(self._server, self._keys, create=create)

    @classmethod
    def open(cls, url: str, clock: Callable[[], int] | None = None, *, create: bool = True) -> Self:
        """Open the store at a URL: ``redis://``, ``rediss://``, ``valkey://``, ``sentinel://``, a socket.

        ``clock`` returns microseconds since the epoch. With ``create=False`` nothing is made or migrated.
        Raises ``StoreUnusable`` or ``StoreUnavailable``.
        """
        return cls(parse_address(url), clock, create=create)

    @property
    def url(self) -> str:
        return self._address.url

    def now(self) -> int:
        if self._clock is not None:
            return self._clock()
        seconds, microseconds = self._server.command("TIME", repeat=True)
        return int(seconds) * 1_000_000 + int(microseconds)

    def pushes_to(self, broker_url: str) -> bool:
        if not is_redis(broker_url) or self._is_clustered:
            return False
        try:
            return self._address.is_same_database(parse_address(broker_url))
        except StoreUnusable:
            return False

    # --- entries

    def entries(self, names: Collection[str] | None = None, *, changed_after: int = 0) -> list[EntryRecord]:
        if names is None and changed_after:
            names = self._changed_names(changed_after)
        pages = self._scan() if names is None else self._read(names)
        found = {record.name: record for page in pages for record in page if record.change > changed_after}
        return [found[name] for name in sorted(found)]

    def scan(self) -> Iterator[EntryRecord]:
        return (record for page in self._scan() for record in page)

    def save(self, changes: Sequence[Change]) -> list[bool]:
        check_changes(changes)
        if not changes:
            return []
        packed = pack_changes(changes, [pack_definition(change.record) for change in changes])
        written: bytes = self._write("save", packed, *(change.record.name for change in changes))
        return [digit == ord("1") for digit in written]

    def remove(self, names: Collection[str]) -> int:
        check_length(names)
        return int(self._write("remove", *dict.fromkeys(names))) if names else 0

    def overdue(self, before: int, limit: int) -> list[EntryRecord]:
        states, *definitions = self.read("overdue", before, limit)
        return unpack_entries(states, definitions, published=False)

    def _changed_names(self, changed_after: int) -> list[str]:
        return [name.decode() for name in self.ask("ZRANGEBYSCORE", "changes", f"({changed_after}", "+inf")]

    def _read(self, names: Collection[str]) -> Iterator[list[EntryRecord]]:
        for some in in_batches(dict.fromkeys(names), MAX_BATCH):
            states, *definitions = self.read("read", *some)
            yield unpack_entries(states, definitions)

    def _scan(self) -> Iterator[list[EntryRecord]]:
        page = b"0"
        while True:
            page, states, *definitions = self.read("scan", page)
            yield unpack_entries(states, definitions)
            if page == b"0":
                return

    # --- firings

    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        return self.begin_claim(claims, settlements, replica=replica)()

    def begin_claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> Callable[[], list[Won]]:
        check_claims(claims)
        check_length(settlements)
        if not claims and not settlements:
            return list
        uids, packed, messages, lists = pack_claims(claims)
        settled = pack_settlements(settlements)
        finish = self._begin("claim", replica, settled, uids, packed, len(lists), *lists, *messages)
        return lambda: [_WON[letter] for letter in finish()]

    def settle(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        check_length(settlements)
        check_length(releases)
        if settlements or releases:
            self._write("settle", pack_settlements(settlements), pack_releases(releases))

    def take_over(self, *, replica: str, stale_after: int, limit: int) -> list[Firing]:
        return [_firing(found) for found in self._write("take_over", replica, stale_after, limit)]

    def unsettled(self) -> int:
        return int(self.ask("HGET", "meta", "unsettled") or 0)

    def history(
        self,
        *,
        entries: Collection[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[HistoryRecord]:
        return self._history.walk(entries, Span(since, until, newest_first), limit)

    def prune(self, before: int, limit: int) -> int:
        pruned, passed_over, more = 0, 0, 1
        while more and pruned < limit:
            wanted = min(limit - pruned, MAX_BATCH)
            gone, fruitless, unseen = self._write("prune", before, wanted, passed_over)
            pruned += gone
            if gone == wanted:
                continue
            passed_over, more = passed_over + fruitless, unseen
        return pruned

    def history_before(self, count: int) -> int | None:
        return instant_before(dict(pairs(self.ask("HGETALL", "counts"))), count)

    # --- replicas

    def heartbeat(self, replica: ReplicaRecord, *, live_within: int) -> Pulse:
        now, change, living = self._write("heartbeat", replica.id, pack_replica(replica), live_within)
        return Pulse(now=int(now), change=int(change), replicas=tuple(unpack_replicas(living)))

    def leave(self, replica: str) -> None:
        page = b"0"
        while True:
            page = self._write("leave", replica, page)
            if page == b"0":
                return

    def replicas(self) -> list[ReplicaRecord]:
        return unpack_replicas(self.ask("HVALS", "replicas"))

    # --- the store itself

    def close(self) -> None:
        self._server.close()

    def read(self, verb: str, *arguments: Argument) -> Any:
        """Run a script that only reads; it is run again if its answer is lost."""
        return self._run(verb, arguments, repeat=True)

    def ask(self, command: str, key: str, *arguments: Argument) -> Any:
        """Send a command that only reads, about one of the store's keys."""
        return self._server.command(command, self._key[key], *arguments, repeat=True)

    def _write(self, verb: str, *arguments: Argument) -> Any:
        return self._run(verb, arguments, repeat=False)

    def _run(self, verb: str, arguments: Sequence[Argument], *, repeat: bool) -> Any:
        tail = (self._time(), VERSION, *arguments)
        with self._refilled_if_emptied():
            return self._server.run(script(verb), self._keys, tail, repeat=repeat)

    def _begin(self, verb: str, *arguments: Argument) -> Callable[[], Any]:
        """Send a script that writes; the function returned waits for its answer."""
        if self._is_clustered:  # where the answer may be that the keys are elsewhere
            answer = self._write(verb, *arguments)
            return lambda: answer
        finish = self._server.begin(script(verb), self._keys, (self._time(), VERSION, *arguments))

        def finished() -> Any:
            with self._refilled_if_emptied():
                return finish()

        return finished

    def _time(self) -> Argument:
        return "" if self._clock is None else self._clock()

    @contextmanager
    def _refilled_if_emptied(self) -> Iterator[None]:
        """Make an emptied store anew: the caller hears of it, and finds a new one when it tries again."""
        try:
            yield
        except StoreEmptied:
            if self._create:
                prepare(self._server, self._keys, create=True)
            raise


def _firing(found: Sequence[Any]) -> Firing:
    uid, entry, fire_time, lane, task, attempt, uncertain = found
    return Firing(
        uid=uid.decode(),
        entry=entry.decode(),
        fire_time=fire_time,
        lane=lane.decode(),
        task_id=unpack_task(task) or "",
        attempt=attempt,
        uncertain=bool(uncertain),
    )
