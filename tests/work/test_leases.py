"""Leases: only the current attempt counts, and cancelled work goes no further."""

import threading

import pytest
import sqlalchemy

from connectory.database.tables import projects
from connectory.work import claims, results, store
from connectory.work.lease import Lease
from connectory.work.model import Cancelled, LeaseLost, Stopping
from tests.work.pieces import claim, claimed, found, queue


def add_project(key: str):
    """Something that a step changes."""
    row = projects.insert().values(key=key, region="r", production=False, created_at=0)
    return lambda connection: connection.execute(row)


@pytest.fixture(autouse=True)
def _without_projects(database):
    with database.write() as connection:
        connection.execute(projects.delete())


def keys(database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sqlalchemy.select(projects.c.key)).scalars())


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def lease(database, clock, stop) -> Lease:
    queue(database)
    return Lease(database, clock, claimed(database, "a"), stop)


def abandon(database) -> None:
    """Take away the one lease that is held, as from a node that fell silent."""
    with database.write() as connection:
        (beat,) = results.leases(connection)
        assert results.abandon(connection, beat, error="silent", now=0)


def test_a_step_its_findings_and_what_it_changes_are_one(database, lease):
    lease.advance("fetch", {"commit": "abc"}, also=add_project("fetched"))
    lease.advance("check", {"faults": 0})
    there = found(database, lease.work)
    assert (there.step, there.progress) == ("check", {"commit": "abc", "faults": 0})
    assert lease.work == there
    assert keys(database) == ["fetched"]


def test_a_step_is_not_recorded_where_what_it_changes_fails(database, lease):
    def faulty(connection):
        add_project("half")(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lease.advance("fetch", {"commit": "abc"}, also=faulty)
    with pytest.raises(ZeroDivisionError):
        lease.finish(also=faulty)
    assert found(database, lease.work).step is None
    assert lease.work.progress == {}
    assert keys(database) == []


def test_another_node_goes_on_after_the_step_that_was_reached(database, clock, stop, lease):
    lease.advance("fetch", {"commit": "abc"})
    abandon(database)
    next_ = claimed(database, "b")
    assert (next_.step, next_.progress, next_.attempt) == ("fetch", {"commit": "abc"}, 2)
    assert next_.last_error == "silent"


@pytest.mark.parametrize("taken", [True, False], ids=["claimed by another", "queued again"])
def test_the_late_result_of_a_lease_that_was_lost_changes_nothing(database, lease, taken):
    abandon(database)
    if taken:
        claimed(database, "b")
    before = found(database, lease.work)
    id_, attempt = lease.work.id, lease.work.attempt
    with pytest.raises(LeaseLost):
        lease.advance("fetch", also=add_project("late"))
    with pytest.raises(LeaseLost):
        lease.finish(also=add_project("late"))
    with database.write() as connection:
        with pytest.raises(LeaseLost):
            results.fail(connection, id_, attempt, error="late", now=9)
        with pytest.raises(LeaseLost):
            results.retry(connection, id_, attempt, error="late", run_at=9)
        with pytest.raises(LeaseLost):
            results.end_cancelled(connection, id_, attempt, now=9)
        assert not results.release(connection, id_, attempt)
        assert results.beat(connection, {id_: attempt}) == {}
    assert found(database, lease.work) == before
    assert keys(database) == []


def test_a_lease_taken_while_a_step_is_being_recorded_wins_or_waits(database, lease):
    """Between the look at the attempt and the record of the step another may take the work."""

    def meanwhile(connection):
        add_project("late")(connection)
        if not database.is_sqlite:  # there nobody writes meanwhile
            abandon(database)

    if database.is_sqlite:
        lease.advance("fetch", also=meanwhile)
        assert keys(database) == ["late"]
    else:
        with pytest.raises(LeaseLost):
            lease.advance("fetch", also=meanwhile)
        assert keys(database) == []


def test_a_lease_that_beats_is_not_taken_away(database, lease):
    with database.write() as connection:
        (seen,) = results.leases(connection)
        assert results.beat(connection, {lease.work.id: 1, "unknown": 1}) == {lease.work.id: False}
        assert not results.abandon(connection, seen, error="silent", now=0)
    lease.finish()
    assert found(database, lease.work).state == "done"


def test_what_is_done_stays_done(database, clock, lease):
    lease.finish(also=add_project("once"))
    with pytest.raises(LeaseLost):
        lease.finish(also=add_project("twice"))
    with pytest.raises(LeaseLost):
        lease.advance("more")
    with database.write() as connection:
        assert not store.request_cancel(connection, lease.work.id, now=0)
    done = found(database, lease.work)
    assert (done.state, done.finished_at, done.lease_owner) == ("done", clock(), None)
    assert keys(database) == ["once"]
    assert claim(database) is None


def test_work_that_is_to_be_cancelled_records_no_further_step(database, clock, stop, lease):
    with database.write() as connection:
        assert store.request_cancel(connection, lease.work.id, now=0)
    with pytest.raises(Cancelled):
        lease.advance("fetch", also=add_project("late"))
    with pytest.raises(Cancelled):
        lease.finish(also=add_project("late"))
    with database.write() as connection, pytest.raises(Cancelled):
        results.fail(connection, lease.work.id, 1, error="late", now=9)
    with database.write() as connection:
        assert results.beat(connection, {lease.work.id: 1}) == {lease.work.id: True}
        results.end_cancelled(connection, lease.work.id, 1, now=9)
    there = found(database, lease.work)
    assert (there.state, there.step, there.finished_at) == ("cancelled", None, 9)
    assert keys(database) == []


def test_queued_work_that_is_to_be_cancelled_is_claimed_for_that_only(database):
    made = queue(database)
    with database.write() as connection:
        store.request_cancel(connection, made.id, now=0)
    assert claim(database) is None
    with database.write() as connection:
        work = claims.claim_cancelled(connection, owner="a", now=0, kinds=["test"])
    assert work is not None
    assert (work.id, work.cancel_requested) == (made.id, True)


def test_what_waits_after_a_failure_can_be_cancelled_at_once(database):
    made = queue(database)
    attempt = claimed(database)
    with database.write() as connection:
        results.retry(connection, made.id, attempt.attempt, error="away", run_at=10**9)
        store.request_cancel(connection, made.id, now=5)
    with database.write() as connection:
        assert claims.claim_cancelled(connection, owner="a", now=5, kinds=["test"]) is not None


def test_a_node_that_stops_keeps_the_step_and_hands_on_the_rest(database, stop, lease):
    stop.set()
    with pytest.raises(Stopping):
        lease.advance("fetch", {"commit": "abc"}, also=add_project("fetched"))
    with pytest.raises(Stopping):
        lease.advance("check")
    next_ = claimed(database, "b")
    assert (next_.step, next_.attempt, next_.failures) == ("fetch", 2, 0)
    assert keys(database) == ["fetched"]
