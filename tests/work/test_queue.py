"""The queue: what comes in with its cause, goes out once, in order, and fairly."""

import threading
from collections import Counter

import pytest

from connectory.kernel.clock import SECOND
from connectory.work import claims, store
from connectory.work.model import LONGEST_BACKOFF, MOST_FAILURES, WorkState
from connectory.work.results import advance, finish, retry
from tests.work.pieces import claim, claimed, found, queue


def test_work_is_there_with_the_transaction_that_calls_for_it(database):
    made = queue(database, subject="s", now=5, text="Größe \u2028 🧾")
    assert made == found(database, made)
    assert (made.state, made.attempt, made.payload) == ("queued", 0, {"text": "Größe \u2028 🧾"})
    with database.read() as connection:
        assert store.open_of_subject(connection, "s") == [made]
        assert store.count_open(connection, "eu:shop") == 1
        assert store.count_open(connection, "eu:other") == 0


def test_no_work_is_there_where_its_transaction_rolls_back(database):
    def call_for_work(connection):
        store.enqueue(connection, kind="test", subject="s", project="p", payload={}, now=0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.write() as connection:
        call_for_work(connection)
    assert claim(database) is None
    with database.read() as connection:
        assert store.backlog(connection).queued == 0


def test_the_oldest_comes_first_and_each_once(database):
    made = [queue(database, now=now) for now in (30, 10, 20)]
    order = [claimed(database, now=100).id for _ in made]
    assert order == [made[1].id, made[2].id, made[0].id]
    assert claim(database, now=100) is None


def test_a_claim_is_an_attempt_with_a_number_an_owner_and_a_start(database):
    queue(database, now=10)
    work = claimed(database, "node", now=50)
    assert (work.state, work.attempt, work.lease_owner, work.started_at) == (
        WorkState.RUNNING,
        1,
        "node",
        50,
    )
    assert found(database, work) == work


def test_a_node_claims_only_kinds_that_it_has_handlers_for(database):
    queue(database, kind="newer")
    with database.read() as connection:
        assert not claims.is_due(connection, now=9, kinds=["test"])
        assert claims.is_due(connection, now=9, kinds=["test", "newer"])
    assert claim(database) is None


def test_those_who_claim_at_once_never_get_the_same_piece(database):
    made = {queue(database, project=f"eu:{n % 5}").id for n in range(40)}
    got: list[tuple[str, int]] = []
    together = threading.Barrier(4)

    def take(owner: str) -> None:
        together.wait()
        misses = 0
        while misses < 3:  # a claim may miss while others hold what it wanted
            work = claim(database, owner, per_project=100)
            misses = misses + 1 if work is None else 0
            if work is not None:
                got.append((work.id, work.attempt))

    threads = [threading.Thread(target=take, args=(f"node {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(got) == {(id_, 1): 1 for id_ in made}


def test_a_project_with_much_work_does_not_keep_others_waiting(database):
    for now in range(20):
        queue(database, project="eu:much", now=now)
    queue(database, project="eu:little", now=1_000)
    queue(database, project="us:little", now=1_001)
    order = [claimed(database, now=2_000).project for _ in range(5)]
    assert order == ["eu:much", "eu:little", "us:little", "eu:much", "eu:much"]


def test_a_project_has_no_more_running_than_its_limit(database):
    for now in range(5):
        queue(database, now=now)
    first = claim(database, per_project=2)
    assert claim(database, per_project=2) is not None
    assert claim(database, per_project=2) is None
    with database.write() as connection:
        finish(connection, first.id, first.attempt, now=9)
    assert claim(database, per_project=2) is not None


def test_work_that_failed_waits_and_other_work_does_not(database):
    made = queue(database, now=1)
    attempt = claimed(database)
    with database.write() as connection:
        retry(connection, made.id, attempt.attempt, error="away", run_at=50 * SECOND)
    other = queue(database, now=40 * SECOND)
    assert claimed(database, now=49 * SECOND).id == other.id
    assert claim(database, now=49 * SECOND) is None
    again = claimed(database, now=50 * SECOND)
    assert (again.id, again.attempt, again.failures, again.last_error) == (made.id, 2, 1, "away")


@pytest.mark.parametrize("back", [60, 86_400 * 365], ids=["a minute", "a year"])
def test_a_clock_that_was_set_back_strands_no_work(database, back):
    now = 10**9 * SECOND
    made = queue(database, now=now)
    attempt = claimed(database, now=now - back * SECOND)
    assert attempt.id == made.id
    with database.write() as connection:
        retry(connection, made.id, attempt.attempt, error="away", run_at=now + SECOND)
    # After a fault it waits as long as a backoff can be, at most.
    assert claimed(database, now=now - back * SECOND + LONGEST_BACKOFF + SECOND).id == made.id


def test_a_step_that_ends_well_makes_up_for_failures(database):
    made = queue(database)
    for failures in range(MOST_FAILURES - 1):
        attempt = claimed(database)
        assert attempt.failures == failures
        with database.write() as connection:
            retry(connection, made.id, attempt.attempt, error="away", run_at=0)
    attempt = claimed(database)
    with database.write() as connection:
        advance(connection, made.id, attempt.attempt, "fetch", {})
    assert found(database, made).failures == 0


def test_what_ended_long_ago_is_swept(database):
    old, young, still = (queue(database, now=now) for now in (1, 2, 3))
    for now in (100, 200):
        work = claimed(database)
        with database.write() as connection:
            finish(connection, work.id, work.attempt, now=now)
    with database.write() as connection:
        assert store.sweep(connection, finished_before=150) == 1
        assert store.sweep(connection, finished_before=150) == 0
        assert store.find(connection, old.id) is None
    assert found(database, young).state == "done"
    assert found(database, still).state == "queued"


def test_work_is_listed_by_state_newest_first(database):
    made = [queue(database, now=now) for now in (1, 2, 3)]
    running = claimed(database)
    with database.read() as connection:
        queued = list(store.newest(connection, states=["queued"], limit=9))
        assert [each.id for each in queued] == [made[2].id, made[1].id]
        newest = list(store.newest(connection, states=["queued", "running"], limit=1))
        assert [each.id for each in newest] == [made[2].id]
        assert list(store.newest(connection, states=["running"], limit=9)) == [running]
        backlog = store.backlog(connection)
    assert (backlog.queued, backlog.running, backlog.oldest_run_at) == (2, 1, 2)
