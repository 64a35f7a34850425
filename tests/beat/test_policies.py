"""Policies as objects; what an app may write is tested with the reading of apps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qbeat.beat.policies import Policies, PolicyError, read_policies


def test_without_the_option_an_entry_behaves_as_celerys() -> None:
    assert read_policies(None) == Policies()
    assert read_policies({}) == Policies()
    assert Policies().catch_up == "latest"
    assert Policies().catch_up_window is None
    assert Policies().on_uncertain == "publish"


@pytest.mark.parametrize("window", [90, 90.0, timedelta(seconds=90), "90s", "1m30s"])
def test_a_window_is_seconds_a_timedelta_or_a_text(window: object) -> None:
    assert read_policies({"catch_up_window": window}).catch_up_window == timedelta(seconds=90)


def test_none_means_the_default() -> None:
    assert read_policies({"catch_up_window": None, "timezone": None}) == Policies()


def test_an_error_is_one_sentence_with_the_cure() -> None:
    with pytest.raises(PolicyError, match=r"^catch_up is 'al'; it takes 'latest', 'skip', 'all'$"):
        read_policies({"catch_up": "al"})
