"""Entries: written with a check of what the writer read, read back whole, found when overdue, removed."""

from __future__ import annotations

import pytest

from qbeat.store.base import MAX_BATCH, Store
from qbeat.store.records import Change
from tests.store.making import (
    START,
    Clock,
    World,
    claim_of,
    create,
    edit,
    entry,
    fire,
    fire_times,
    history_of,
    publish,
    read,
    skip,
    uid_of,
)


def test_a_new_entry_comes_back_as_it_was_written(store: Store) -> None:
    written = entry(
        "Grüße 🐈 '\"%",
        origin="dynamic",
        pause={"note": "Wartung", "until": None},
        retired_at=START + 1,
        schedule={"kind": "crontab", "hour": "*/2", "nested": [{"a": None}]},
    )
    create(store, written)
    assert read(store, written.name) == entry(
        written.name,
        origin="dynamic",
        pause={"note": "Wartung", "until": None},
        retired_at=START + 1,
        schedule={"kind": "crontab", "hour": "*/2", "nested": [{"a": None}]},
        revision=1,
        change=1,
    )


def test_an_entry_without_anything_to_come_keeps_its_nones(store: Store) -> None:
    create(store, entry(next_fire_time=None, due_at=None, generation=""))
    assert (read(store).next_fire_time, read(store).due_at, read(store).generation) == (None, None, "")


def test_a_new_entry_brings_its_counts(store: Store) -> None:
    create(store, entry(total_run_count=41, last_fire_time=START - 10))
    assert (read(store).total_run_count, read(store).last_fire_time) == (41, START - 10)


def many(store: Store) -> list[str]:
    """Create more entries than two pages of a scan hold; return their names."""
    names = [f"entry-{number}" for number in range(2_500)]
    for some in batches(names):
        create(store, *(entry(name) for name in some))
    return names


def batches(names: list[str]) -> list[list[str]]:
    return [names[first : first + MAX_BATCH] for first in range(0, len(names), MAX_BATCH)]


def test_a_scan_yields_each_entry_whatever_is_written_between_its_pages(store: Store) -> None:
    names = many(store)
    found = {}
    for number, record in enumerate(store.scan()):
        found[record.name] = record
        if number % 500 == 0:
            assert store.save([edit(read(store, "entry-0"), task="tasks.other")]) == [True]
            create(store, entry(f"new-{number}"))
    assert found.keys() >= set(names)
    assert found["entry-7"] == read(store, "entry-7")
    assert found.keys() <= {record.name for record in store.entries()}


def test_a_scan_passes_over_nothing_when_what_it_has_found_is_removed(store: Store) -> None:
    names = many(store)
    found = []
    for number, record in enumerate(store.scan()):
        found.append(record.name)
        if number % 500 == 0:
            store.remove(found[-500:])
    assert set(found) == set(names)


def test_a_scan_finds_what_is_written_before_it_reads_that_page(world: World) -> None:
    if world.kind == "memory":
        pytest.skip("it has no pages, for what it holds is there already")
    store, other = world.connect(), world.connect()
    names = many(store)
    scan = store.scan()
    first = next(scan)
    for some in batches(names):
        assert all(other.save([edit(record, task="tasks.other") for record in other.entries(some)]))
    found = [first, *scan]
    assert {record.name for record in found} == set(names)
    assert {record.task for record in found} == {"tasks.add", "tasks.other"}


def test_entries_come_in_the_order_of_their_names(store: Store) -> None:
    create(store, *(entry(name) for name in ["b", "a", "B", "ä", "a.b", "10", "9"]))
    assert [record.name for record in store.entries()] == sorted(["b", "a", "B", "ä", "a.b", "10", "9"])


def test_names_that_differ_only_in_case_or_blanks_are_different_entries(store: Store) -> None:
    names = ["a", "A", "a ", " a", "á", "ß", "ss"]
    create(store, *(entry(name) for name in names))
    assert [record.name for record in store.entries(["a "])] == ["a "]
    assert len(store.entries()) == len(names)


def test_only_the_named_entries_are_read(store: Store) -> None:
    create(store, *(entry(name) for name in "abc"))
    assert [record.name for record in store.entries(["c", "a", "x", "a"])] == ["a", "c"]
    assert store.entries([]) == []


def test_any_number_of_names_can_be_asked_for(store: Store) -> None:
    create(store, entry())
    assert [record.name for record in store.entries({f"n{number}" for number in range(5_000)} | {"a"})] == [
        "a"
    ]


def test_a_name_is_taken_only_once(store: Store) -> None:
    create(store, entry())
    assert store.save([Change(entry(uid=uid_of("other"), task="other"), None)]) == [False]
    assert read(store).task == "tasks.add"


def test_a_uid_is_taken_only_once(store: Store) -> None:
    create(store, entry("a"))
    assert store.save([Change(entry("b", uid=uid_of("a")), None)]) == [False]
    assert [record.name for record in store.entries()] == ["a"]


def test_of_two_creations_in_one_batch_the_first_is_written(store: Store) -> None:
    first, second = entry(task="first"), entry(uid=uid_of("other"), task="second")
    assert store.save([Change(first, None), Change(second, None)]) == [True, False]
    assert read(store).task == "first"


def test_an_edit_writes_everything_and_counts_the_revision(store: Store) -> None:
    create(store, entry())
    change = edit(
        read(store),
        origin="dynamic",
        task="tasks.mul",
        schedule={"kind": "once"},
        timezone="UTC",
        definition={},
        fingerprint="f2",
        generation="g2",
        anchor=START + 1,
        cursor=START + 2,
        next_fire_time=None,
        due_at=None,
        pause={"note": "n"},
        retired_at=START + 3,
    )
    assert store.save([change]) == [True]
    assert read(store) == entry(
        origin="dynamic",
        task="tasks.mul",
        schedule={"kind": "once"},
        timezone="UTC",
        definition={},
        fingerprint="f2",
        generation="g2",
        anchor=START + 1,
        cursor=START + 2,
        next_fire_time=None,
        due_at=None,
        pause={"note": "n"},
        retired_at=START + 3,
        revision=2,
        change=2,
    )


def test_an_edit_keeps_the_counts_of_the_store(store: Store) -> None:
    create(store, entry())
    publish(store, "a", 10, 20)
    record = read(store)
    store.save([edit(record, total_run_count=0, last_fire_time=None, last_published_at=None)])
    assert (read(store).total_run_count, read(store).last_fire_time) == (2, START + 20)
    assert read(store).last_published_at == record.last_published_at


def test_an_edit_of_an_older_revision_is_refused(store: Store) -> None:
    create(store, entry())
    record = read(store)
    assert store.save([edit(record, task="first")]) == [True]
    assert store.save([edit(record, task="second")]) == [False]
    assert read(store).task == "first"


def test_an_edit_is_refused_once_a_claim_has_moved_the_cursor(store: Store) -> None:
    create(store, entry())
    record = read(store)
    fire(store, "a", 10)
    assert store.save([edit(record, task="late")]) == [False]
    assert read(store).cursor == START + 10


def test_an_edit_under_another_uid_is_refused(store: Store) -> None:
    create(store, entry())
    assert store.save([edit(read(store), uid=uid_of("other"))]) == [False]
    assert read(store).uid == uid_of("a")


def test_an_edit_of_an_entry_that_is_not_there_is_refused(store: Store) -> None:
    assert store.save([Change(entry(), expected_revision=1, expected_cursor=START)]) == [False]
    assert store.entries() == []


def test_a_refused_change_does_not_hold_up_the_others(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    a, b = store.entries()
    changes = [edit(a, task="1"), Change(entry("b"), None), edit(b, task="2"), Change(entry("c"), None)]
    assert store.save(changes) == [True, False, True, True]
    assert [record.task for record in store.entries()] == ["1", "2", "tasks.add"]


def test_two_edits_of_one_entry_in_a_batch_are_two_tries_in_their_order(store: Store) -> None:
    create(store, entry())
    record = read(store)
    second = Change(entry(task="2"), expected_revision=2, expected_cursor=START)
    assert store.save([edit(record, task="1"), edit(record, task="lost"), second]) == [True, False, True]
    assert (read(store).task, read(store).revision) == ("2", 3)


def test_an_entry_can_be_made_and_edited_in_one_batch(store: Store) -> None:
    made = Change(entry(task="1", total_run_count=3), None)
    edited = Change(entry(task="2"), expected_revision=1, expected_cursor=START)
    assert store.save([made, edited]) == [True, True]
    assert (read(store).task, read(store).revision, read(store).total_run_count) == ("2", 2, 3)


def test_the_skips_of_an_edit_enter_the_history(store: Store, clock: Clock) -> None:
    create(store, entry())
    clock.now += 7
    store.save([edit(read(store), cursor=START + 50, skips=(skip(10, 50, 5, "superseded"),))])
    (record,) = history_of(store)
    assert (record.entry, record.outcome, record.reason, record.count) == ("a", "skipped", "superseded", 5)
    assert (record.fire_time, record.last_fire_time) == (START + 10, START + 50)
    assert (record.claimed_at, record.replica, record.task_id) == (clock.now, None, None)


def test_the_skips_of_a_refused_edit_do_not(store: Store) -> None:
    create(store, entry())
    stale = edit(read(store), cursor=START + 50, skips=(skip(10, 50),))
    fire(store, "a", 10)
    assert store.save([stale]) == [False]
    assert fire_times(history_of(store)) == [10]


@pytest.mark.parametrize(
    "change",
    [
        Change(entry(), expected_revision=1),
        Change(entry(cursor=START - 1), expected_revision=1, expected_cursor=START),
    ],
    ids=["says no cursor", "moves it back"],
)
def test_a_change_that_could_move_the_cursor_back_is_an_error(store: Store, change: Change) -> None:
    create(store, entry())
    with pytest.raises(ValueError, match="cursor"):
        store.save([change])


def test_a_batch_of_changes_has_a_bound(store: Store) -> None:
    changes = [Change(entry(f"n{number}"), None) for number in range(MAX_BATCH + 1)]
    with pytest.raises(ValueError, match="at most 1000"):
        store.save(changes)
    assert store.save(changes[:-1]) == [True] * MAX_BATCH
    assert len(store.entries()) == MAX_BATCH


def test_nothing_to_save_is_nothing(store: Store) -> None:
    assert store.save([]) == []


# --- change numbers


def test_only_entries_changed_since_are_read(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    seen = max(record.change for record in store.entries())
    store.save([edit(read(store, "b"), task="new")])
    create(store, entry("c"))
    assert [record.name for record in store.entries(changed_after=seen)] == ["b", "c"]
    assert [record.name for record in store.entries(["a", "b"], changed_after=seen)] == ["b"]


def test_a_claim_is_no_change(store: Store) -> None:
    create(store, entry())
    seen = read(store).change
    publish(store, "a", 10)
    assert store.entries(changed_after=seen) == []


# --- overdue


def test_overdue_entries_come_longest_overdue_first(store: Store) -> None:
    create(store, entry("a", due_at=START + 3), entry("b", due_at=START + 1), entry("c", due_at=START + 2))
    assert [record.name for record in store.overdue(START + 3, 10)] == ["b", "c", "a"]
    assert [record.name for record in store.overdue(START + 3, 2)] == ["b", "c"]
    assert [record.name for record in store.overdue(START + 2, 10)] == ["b", "c"]
    assert store.overdue(START, 10) == []


def test_retired_entries_and_those_with_nothing_to_come_are_never_overdue(store: Store) -> None:
    create(store, entry("a", retired_at=START), entry("b", due_at=None, next_fire_time=None))
    assert store.overdue(START + 1_000, 10) == []


def test_an_overdue_entry_comes_whole(store: Store) -> None:
    create(store, entry())
    assert store.overdue(START + 12, 1) == [read(store)]


def test_a_claim_moves_an_entry_in_the_order_of_the_overdue(store: Store) -> None:
    create(store, entry("a", due_at=START + 1), entry("b", due_at=START + 2))
    store.claim([claim_of(read(store, "a"), 10)], replica="r1")
    assert [record.name for record in store.overdue(START + 22, 10)] == ["b", "a"]
    assert [record.name for record in store.overdue(START + 21, 10)] == ["b"]


# --- remove


def test_a_removed_entry_is_gone(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    assert store.remove(["a", "a", "x"]) == 1
    assert [record.name for record in store.entries()] == ["b"]
    assert store.remove(["a"]) == 0
    assert store.remove([]) == 0


def test_the_history_of_a_removed_entry_stays(store: Store) -> None:
    create(store, entry())
    publish(store, "a", 10)
    store.remove(["a"])
    (record,) = history_of(store, entries=["a"])
    assert (record.entry, record.uid, record.outcome) == ("a", uid_of("a"), "published")


def test_the_unsettled_firings_of_a_removed_entry_are_superseded(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", 10, 20)
    fire(store, "b", 10)
    store.remove(["a"])
    assert store.unsettled() == 1
    ended = [(one.outcome, one.reason, one.task_id is None) for one in history_of(store, entries=["a"])]
    assert ended == [("skipped", "superseded", False)] * 2


def test_an_entry_that_is_removed_and_made_again_has_both_histories(store: Store) -> None:
    create(store, entry())
    publish(store, "a", 10)
    store.remove(["a"])
    create(store, entry(uid=uid_of("again")))
    fire(store, "a", 20)
    assert [record.uid for record in history_of(store, entries=["a"])] == [uid_of("a"), uid_of("again")]
    assert read(store).last_published_at is None


def test_a_claim_on_the_former_entry_of_a_name_is_lost(store: Store) -> None:
    create(store, entry())
    claim = claim_of(read(store), 10)
    store.remove(["a"])
    create(store, entry(uid=uid_of("again")))
    assert [won.value for won in store.claim([claim], replica="r1")] == ["lost"]


# --- clients


def test_what_one_client_writes_another_reads(world: World) -> None:
    one, other = world.connect(), world.connect()
    create(one, entry())
    assert read(other) == read(one)
    fire(other, "a", 10)
    assert read(one).cursor == START + 10


def test_a_closed_store_connects_anew(world: World) -> None:
    store = world.connect()
    create(store, entry())
    store.close()
    assert read(store).name == "a"
