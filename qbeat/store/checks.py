"""Refuse arguments that no correct caller passes, and make texts storable, before a store sees them."""

from __future__ import annotations

from collections.abc import Sequence, Sized

from qbeat.store.base import MAX_BATCH, MAX_FIRINGS_PER_CLAIM
from qbeat.store.records import Change, Claim


def check_length(batch: Sized) -> None:
    """Raise ``ValueError`` if ``batch`` is longer than a store takes at once."""
    if len(batch) > MAX_BATCH:
        raise ValueError(f"a store takes at most {MAX_BATCH} elements at once, not {len(batch)}")


def check_changes(changes: Sequence[Change]) -> None:
    """Raise ``ValueError`` for a batch that is too long or a cursor that would go back."""
    check_length(changes)
    for change in changes:
        _check_change(change)


def check_claims(claims: Sequence[Claim]) -> None:
    """Raise ``ValueError`` unless each claim's firings lie, in order, between its two cursors."""
    check_length(claims)
    for claim in claims:
        _check_claim(claim)


def storable(text: str | None) -> str | None:
    """Return a text without what not every store takes: NUL and halves of surrogate pairs."""
    if text is None or (text.isascii() and "\0" not in text):  # nearly every one
        return text
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _check_change(change: Change) -> None:
    if change.expected_revision is None:
        return
    if change.expected_cursor is None:
        raise ValueError(f"a change of {change.record.name!r} must say which cursor its writer read")
    if change.record.cursor < change.expected_cursor:
        raise ValueError(f"the cursor of {change.record.name!r} would go back")


def _check_claim(claim: Claim) -> None:
    if len(claim.firings) > MAX_FIRINGS_PER_CLAIM:
        raise ValueError(f"a claim has at most {MAX_FIRINGS_PER_CLAIM} firings, not {len(claim.firings)}")
    last = claim.cursor
    for firing in claim.firings:
        if firing.fire_time <= last:
            raise ValueError(f"firings of {claim.uid} are not in order after its cursor")
        last = firing.fire_time
    if claim.new_cursor < last:
        raise ValueError(f"the new cursor of {claim.uid} lies before its last firing or its old cursor")
