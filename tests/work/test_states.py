"""The states of work, when it is tried again, and how silence is measured: no database needed."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.kernel.clock import SECOND
from connectory.kernel.transitions import NoTransition
from connectory.work.model import (
    LONGEST_BACKOFF,
    OPEN,
    TRANSITIONS,
    Backlog,
    WorkEvent,
    WorkState,
    backoff,
)
from connectory.work.results import Beat
from connectory.work.watching import Silences

ALLOWED = {
    ("queued", "claim", "running"),
    ("running", "finish", "done"),
    ("running", "retry", "queued"),
    ("running", "release", "queued"),
    ("running", "fail", "failed"),
    ("running", "cancel", "cancelled"),
}


@pytest.mark.parametrize(("state", "event"), [*itertools.product(WorkState, WorkEvent)])
def test_only_what_the_documentation_draws_is_possible(state, event):
    after = {to for before, what, to in ALLOWED if (before, what) == (state, event)}
    if after:
        assert {TRANSITIONS.after(state, event)} == after
    else:
        with pytest.raises(NoTransition):
            TRANSITIONS.after(state, event)


def test_what_has_ended_stays_so():
    left = {before for before, _, _ in TRANSITIONS}
    assert left == set(OPEN)


@given(st.uuids().map(str), st.integers(1, 100))
def test_a_failure_waits_twice_as_long_as_the_one_before_up_to_a_minute(id_, failures):
    waits = backoff(id_, failures)
    longest = min(LONGEST_BACKOFF, SECOND * 2 ** (failures - 1))
    assert longest / 2 <= waits <= longest
    assert waits == backoff(id_, failures)


def test_what_failed_together_does_not_come_back_together():
    assert len({backoff(f"piece {n}", 3) for n in range(50)}) > 25


def test_the_oldest_that_is_not_due_yet_has_waited_for_nothing():
    assert Backlog(queued=1, oldest_run_at=30 * SECOND).oldest_seconds(10 * SECOND) == 0
    assert Backlog(queued=1, oldest_run_at=10 * SECOND).oldest_seconds(30 * SECOND) == 20
    assert Backlog().oldest_seconds(30 * SECOND) == 0


def beating(beats: int) -> Beat:
    return Beat("piece", 1, "node", beats)


def test_a_lease_is_silent_for_as_long_as_its_beats_do_not_count_on():
    silences = Silences(most_between=2.0)
    assert silences.look([beating(1)], 10.0) == {beating(1): 0.0}
    assert silences.look([beating(1)], 11.0) == {beating(1): 1.0}
    assert silences.look([beating(1)], 12.5) == {beating(1): 2.5}
    assert silences.look([beating(2)], 13.0) == {beating(2): 0.0}
    assert silences.look([], 14.0) == {}
    assert silences.look([beating(2)], 15.0) == {beating(2): 0.0}


def test_a_pause_of_the_watcher_is_not_the_silence_of_another():
    silences = Silences(most_between=2.0)
    silences.look([beating(1)], 10.0)
    assert silences.look([beating(1)], 1_000.0) == {beating(1): 2.0}


def test_the_docs_show_the_table():
    page = Path(__file__).parents[2] / "docs" / "explanation" / "durable-work.md"
    assert TRANSITIONS.as_markdown() in page.read_text(encoding="utf-8")
