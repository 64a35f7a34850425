"""Claims, settlements and changes as the scripts take them: packed into a few long strings.

A batch of a thousand claims is one argument, not ten thousand: that is most of the speed. Numbers are
big-endian; ``NONE`` stands for ``None``. The formats stand in the scripts too (``claim.lua``,
``_settling.lua``, ``save.lua``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from qbeat.store.checks import storable
from qbeat.store.records import Change, Claim, Message, NewFiring, Release, Settlement, Skip

NONE: Final = -(2**53)
UID_LENGTH: Final = 32

_CLAIM: Final = Struct(">qqqqqHI").pack  # cursor, revision, new cursor, next, due at; firings, skips
_FIRING: Final = Struct(">qHH").pack  # fire time, number of its message's list, length of the task; the task
_SKIP: Final = Struct(">qqqH").pack  # first, last, count, length of the reason; the reason follows
_ENDING: Final = Struct(">32sqqIBH").pack  # uid, fire time, instant, attempt, code, length of the lane
_LENGTH: Final = Struct(">I").pack
_CHANGE: Final = Struct(">32sqqqqqqqq").pack

_OUTCOMES: Final = {"published": 1, "skipped": 2, "failed": 3}
_WITH_TEXT: Final = 4
_UUID_DASHES: Final = slice(8, 24, 5)


def pack_task(task_id: str) -> bytes:
    """Return a task id as it is kept: a UUID in 17 bytes, anything else as its text."""
    if len(task_id) == 36 and task_id[_UUID_DASHES] == "----":  # noqa: PLR2004 - the length of a UUID
        try:
            packed = bytes.fromhex(task_id.replace("-", ""))
        except ValueError:
            packed = b""
        # 16 bytes only if there were no other dashes; hexadecimal digits in capitals would come back small.
        if len(packed) == 16 and task_id == task_id.lower():  # noqa: PLR2004 - the bytes of a UUID
            return b"U" + packed
    return b"T" + task_id.encode()


def unpack_task(packed: bytes) -> str | None:
    """Return what ``pack_task`` packed; ``None`` for nothing."""
    if packed[:1] == b"U":
        digits = packed[1:].hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return packed[1:].decode() if packed else None


def uid_bytes(uid: str) -> bytes:
    """Return a uid as it stands in packed strings; ``ValueError`` if it cannot be one."""
    packed = uid.encode()
    if len(packed) != UID_LENGTH:
        raise ValueError(f"{uid!r} is no uid of an entry: {UID_LENGTH} hexadecimal digits")
    return packed


def pack_claims(claims: Sequence[Claim]) -> tuple[bytes, bytes, list[str], list[str]]:
    """Return the uids, the claims, their messages, and the lists that these are pushed to.

    The messages are no part of what is packed: Lua takes longer to cut them out than to push them.
    """
    lists: dict[str, int] = {}
    messages: list[str] = []
    parts: list[bytes] = []
    for claim in claims:
        _add_claim(parts, claim, messages, lists)
    return b"".join([uid_bytes(claim.uid) for claim in claims]), b"".join(parts), messages, [*lists]


def _add_claim(parts: list[bytes], claim: Claim, messages: list[str], lists: dict[str, int]) -> None:
    next_fire_time, due_at = claim.next_fire_time, claim.due_at
    parts.append(
        _CLAIM(
            claim.cursor,
            claim.revision,
            claim.new_cursor,
            NONE if next_fire_time is None else next_fire_time,
            NONE if due_at is None else due_at,
            len(claim.firings),
            len(claim.skips),
        )
    )
    for firing in claim.firings:
        _add_firing(parts, firing, messages, lists)
    for skip in claim.skips:
        parts += _skip(skip)


def _add_firing(parts: list[bytes], firing: NewFiring, messages: list[str], lists: dict[str, int]) -> None:
    task, message, number = pack_task(firing.task_id), firing.message, 0
    if message is not None:
        number = _number_of(message, lists)
        messages.append(message.payload)
    parts += (_FIRING(firing.fire_time, number, len(task)), task)


def _number_of(message: Message, lists: dict[str, int]) -> int:
    number = lists.get(message.key)
    if number is None:
        number = lists[message.key] = len(lists) + 1
    return number


def _skip(skip: Skip) -> tuple[bytes, bytes]:
    reason = skip.reason.encode()
    return _SKIP(skip.first, skip.last, _or_none(skip.count), len(reason)), reason


def pack_settlements(settlements: Iterable[Settlement]) -> bytes:
    """Return settlements in one string."""
    return b"".join(
        [
            _ending(one, _or_none(one.published_at), one.attempt or 0, _OUTCOMES[one.outcome], one.reason)
            for one in settlements
        ]
    )


def pack_releases(releases: Iterable[Release]) -> bytes:
    """Return releases in one string."""
    return b"".join(
        [_ending(one, one.not_before, one.attempt, int(one.uncertain), one.error) for one in releases]
    )


def _ending(one: Settlement | Release, instant: int, attempt: int, code: int, text: str | None) -> bytes:
    lane = one.lane.encode()
    if text is not None:
        code |= _WITH_TEXT
    packed = (storable(text) or "").encode()
    head = _ENDING(uid_bytes(one.uid), one.fire_time, instant, attempt, code, len(lane))
    return b"".join((head, lane, _LENGTH(len(packed)), packed))


def pack_changes(changes: Sequence[Change], definitions: Sequence[bytes]) -> bytes:
    """Return changes in one string, each with its entry's definition."""
    parts: list[bytes] = []
    for change, definition in zip(changes, definitions, strict=True):
        parts += (_change(change), _LENGTH(len(definition)), definition, _LENGTH(len(change.skips)))
        for skip in change.skips:
            parts += _skip(skip)
    return b"".join(parts)


def _change(change: Change) -> bytes:
    record = change.record
    return _CHANGE(
        uid_bytes(record.uid),
        _or_none(change.expected_revision),
        _or_none(change.expected_cursor),
        record.cursor,
        _or_none(record.next_fire_time),
        _or_none(record.due_at),
        _or_none(record.retired_at),
        record.total_run_count,
        _or_none(record.last_fire_time),
    )


def _or_none(number: int | None) -> int:
    return NONE if number is None else number
