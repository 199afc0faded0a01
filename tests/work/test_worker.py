"""A worker: runs handlers, tries again, gives up, cancels, hands on, takes over."""

import logging
import threading
import time
from collections import Counter

import pytest
import sqlalchemy

from connectory.database.documents import Damaged
from connectory.database.tables import audit
from connectory.kernel.clock import SECOND
from connectory.work import results, store
from connectory.work.model import MOST_FAILURES, WorkDelayed, WorkFailed
from connectory.work.service import Pace
from tests.work.pieces import PACE, claimed, found, queue, until, worker, working

#: The embedded database has no connections that can be cut.
ON_POSTGRESQL = pytest.mark.parametrize("address", ["postgresql"], indirect=True)

STEPS = ("fetch", "check", "build")


@pytest.fixture(autouse=True)
def _without_effects(database):
    with database.write() as connection:
        connection.execute(audit.delete())


def effect(connection, what: str, work) -> None:
    """Leave a trace that cannot be overwritten."""
    row = {"at": 0, "actor": "test", "action": what[:64], "subject": work.id, "details": "{}"}
    connection.execute(audit.insert().values(row))


def effects(database, work) -> list[str]:
    with database.read() as connection:
        query = sqlalchemy.select(audit.c.action).where(audit.c.subject == work.id)
        return list(connection.execute(query.order_by(audit.c.id)).scalars())


class Steps:
    """Does three steps; `during` is called in each, with the lease and the step's name."""

    def __init__(self, during=lambda _lease, _step: None) -> None:
        self.during = during
        self.began: list[tuple[str, int, str]] = []

    def run(self, work, lease) -> None:
        after = STEPS.index(work.step) + 1 if work.step else 0
        for step in STEPS[after:]:
            self.began.append((work.id, work.attempt, step))
            self.during(lease, step)
            lease.advance(step, {step: work.attempt}, also=lambda c, s=step: effect(c, s, work))
        lease.finish(also=lambda c: effect(c, "done", work))

    def give_up(self, connection, work, error) -> None:
        effect(connection, f"gave up: {error}", work)

    def cancelled(self, connection, work) -> None:
        effect(connection, "cancelled", work)


class Blocking:
    """A step that goes on until it is let go."""

    def __init__(self, step: str = "check") -> None:
        self.step = step
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, _lease, step) -> None:
        if step == self.step:
            self.reached.set()
            assert self.go_on.wait(20)


def state(database, work) -> str:
    return str(found(database, work).state)


def ended(database, work):
    return until(lambda: state(database, work) not in ("queued", "running"))


def make_due(database, clock) -> None:
    """Let a minute pass, after which whatever failed is due."""
    clock.jump(61)


def test_every_piece_is_done_each_step_once(database, clock):
    made = [queue(database, project=f"eu:{n % 3}") for n in range(12)]
    handler = Steps()
    with working(worker(database, clock, {"test": handler}, concurrency=3)):
        for work in made:
            ended(database, work)
    for work in made:
        assert effects(database, work) == [*STEPS, "done"]
        there = found(database, work)
        assert (there.state, there.attempt, there.failures) == ("done", 1, 0)
        assert there.progress == dict.fromkeys(STEPS, 1)
    assert Counter(handler.began) == {(work.id, 1, step): 1 for work in made for step in STEPS}


def test_no_more_pieces_run_at_once_than_the_limit(database, clock):
    running, most = set(), []

    def during(lease, _step):
        running.add(lease.work.id)
        most.append(len(running))
        time.sleep(0.01)
        running.discard(lease.work.id)

    made = [queue(database) for _ in range(8)]
    with working(worker(database, clock, {"test": Steps(during)}, concurrency=3)):
        for work in made:
            ended(database, work)
    assert max(most) <= 3
    assert max(most) > 1


def test_a_worker_that_is_woken_begins_at_once(database, clock):
    slow = Pace(poll=30.0, beat=30.0)
    reached = threading.Event()
    node = worker(database, clock, {"test": Steps(lambda *_: reached.set())}, pace=slow)
    with working(node):
        time.sleep(0.1)
        queue(database)
        assert not reached.wait(0.1)
        node.wake()
        assert reached.wait(5)


def test_a_worker_with_no_room_of_its_own_leaves_work_to_others(database, clock):
    made = queue(database)
    node = worker(database, clock, {"test": Steps()}, concurrency=0)
    with working(node):
        until(lambda: node.backlog.queued == 1)
        time.sleep(0.1)
        assert state(database, made) == "queued"
        clock.jump(30)
        assert node.oldest_seconds() >= 30


def test_a_handler_that_returns_has_finished(database, clock):
    class Returning(Steps):
        def run(self, _work, lease) -> None:
            lease.advance("only")

    made = queue(database)
    with working(worker(database, clock, {"test": Returning()})):
        ended(database, made)
    assert state(database, made) == "done"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (WorkDelayed("the host is away"), "the host is away"),
        (ValueError("a secret"), "an unexpected fault: ValueError"),
    ],
    ids=["delayed", "unexpected"],
)
def test_a_step_that_fails_is_tried_again_later(database, clock, fault, told):
    faults = [fault, fault]

    def during(_lease, step):
        if step == "check" and faults:
            raise faults.pop()

    made = queue(database)
    handler = Steps(during)
    with working(worker(database, clock, {"test": handler})):
        for failures in (1, 2):
            until(lambda n=failures: found(database, made).failures == n)
            waiting = found(database, made)
            assert (waiting.state, waiting.last_error) == ("queued", told)
            assert clock() < waiting.run_at <= clock() + failures * SECOND
            make_due(database, clock)
        ended(database, made)
    assert effects(database, made) == [*STEPS, "done"]
    assert [(n, step) for _, n, step in handler.began] == [
        (1, "fetch"),
        *((1, "check"), (2, "check"), (3, "check")),
        (3, "build"),
    ]


def test_work_that_fails_again_and_again_is_given_up_once_and_says_why(database, clock):
    def during(_lease, step):
        if step == "check":
            raise WorkDelayed("the host is away")

    made = queue(database)
    handler = Steps(during)
    with working(worker(database, clock, {"test": handler})):
        for failures in range(1, MOST_FAILURES):
            until(lambda n=failures: found(database, made).failures == n)
            make_due(database, clock)
        ended(database, made)
        time.sleep(0.1)
    failed = found(database, made)
    assert (failed.state, failed.last_error, failed.finished_at) == (
        "failed",
        "the host is away",
        clock(),
    )
    assert effects(database, made) == ["fetch", "gave up: the host is away"]
    assert len(handler.began) == 1 + MOST_FAILURES


def test_what_cannot_be_mended_by_trying_again_fails_at_once(database, clock):
    def during(_lease, _step):
        raise WorkFailed("the file is not there")

    made = queue(database)
    with working(worker(database, clock, {"test": Steps(during)})):
        ended(database, made)
    assert found(database, made).attempt == 1
    assert effects(database, made) == ["gave up: the file is not there"]


def test_a_subject_that_cannot_be_read_is_given_up_at_once(database, clock, caplog):
    def during(_lease, _step):
        raise Damaged("Deployment 1 cannot be read: no JSON", kind="deployment", id_="1")

    made = queue(database)
    with working(worker(database, clock, {"test": Steps(during)})):
        ended(database, made)
    assert found(database, made).attempt == 1
    assert effects(database, made) == ["gave up: Deployment 1 cannot be read: no JSON"]
    (told,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert told.deployment == "1"


def test_any_text_can_be_told_of_a_fault(database, clock):
    def during(_lease, _step):
        raise WorkFailed("a name with \0, \udc80 and \u2028: " + "long " * 10_000)

    made = queue(database)
    with working(worker(database, clock, {"test": Steps(during)})):
        ended(database, made)
    told = found(database, made).last_error
    assert told.startswith("a name with \ufffd, ? and \u2028: long long")
    assert len(told) < 5_000
    assert found(database, made).attempt == 1


def test_work_is_not_failed_where_its_subject_cannot_be_told(database, clock, caplog):
    broken = [True]

    class Broken(Steps):
        def give_up(self, connection, work, error) -> None:
            super().give_up(connection, work, error)
            if broken:
                raise KeyError(broken.pop())

    def during(_lease, _step):
        raise WorkFailed("no")

    made = queue(database)
    with working(worker(database, clock, {"test": Broken(during)})):
        until(lambda: found(database, made).failures == 1)
        assert state(database, made) == "queued"
        assert effects(database, made) == []
        make_due(database, clock)
        ended(database, made)
    assert effects(database, made) == ["gave up: no"]
    assert "cannot be recorded" in caplog.text


def test_queued_work_is_cancelled_without_a_step(database, clock):
    made = queue(database)
    with database.write() as connection:
        store.request_cancel(connection, made.id, now=clock())
    handler = Steps()
    with working(worker(database, clock, {"test": handler})):
        ended(database, made)
    assert state(database, made) == "cancelled"
    assert effects(database, made) == ["cancelled"]
    assert handler.began == []


def test_queued_work_is_cancelled_though_every_thread_is_busy(database, clock):
    block = Blocking("fetch")
    busy = queue(database)
    with working(worker(database, clock, {"test": Steps(block)}, concurrency=1)):
        assert block.reached.wait(5)
        waiting = queue(database)
        with database.write() as connection:
            store.request_cancel(connection, waiting.id, now=clock())
        ended(database, waiting)
        assert state(database, waiting) == "cancelled"
        block.go_on.set()
        ended(database, busy)


def test_running_work_hears_that_it_is_cancelled_and_ends_after_no_further_step(database, clock):
    reached = threading.Event()

    def during(lease, step):
        if step == "check":
            reached.set()
            until(lambda: lease.interrupted)

    made = queue(database)
    with working(worker(database, clock, {"test": Steps(during)})):
        assert reached.wait(5)
        with database.write() as connection:
            store.request_cancel(connection, made.id, now=clock())
        ended(database, made)
    assert state(database, made) == "cancelled"
    assert effects(database, made) == ["fetch", "cancelled"]


def test_a_stopping_worker_finishes_the_step_and_another_does_the_next(database, clock):
    block = Blocking()
    made = queue(database)
    first = worker(database, clock, {"test": Steps(block)})
    first.start()
    assert block.reached.wait(5)
    stopping = threading.Thread(target=first.stop, args=(10,))
    stopping.start()
    later = queue(database)
    time.sleep(0.1)
    block.go_on.set()
    stopping.join(10)
    assert (found(database, made).step, state(database, made)) == ("check", "queued")
    assert found(database, later).attempt == 0
    with working(worker(database, clock, {"test": Steps()})):
        ended(database, made)
    assert effects(database, made) == [*STEPS, "done"]
    assert found(database, made).failures == 0


def test_a_step_that_does_not_end_before_the_stop_is_given_back(database, clock):
    block = Blocking()
    made = queue(database)
    first = worker(database, clock, {"test": Steps(block)})
    first.start()
    assert block.reached.wait(5)
    first.stop(0.1)
    there = found(database, made)
    assert (there.state, there.step, there.failures) == ("queued", "fetch", 0)
    with working(worker(database, clock, {"test": Steps()})):
        ended(database, made)
        block.go_on.set()  # and now the first one's result comes
        time.sleep(0.1)
    assert effects(database, made) == [*STEPS, "done"]


@ON_POSTGRESQL
def test_a_worker_stops_though_the_database_hangs(database, clock):
    block = Blocking()
    made = queue(database)
    node = worker(database, clock, {"test": Steps(block)})
    node.start()
    assert block.reached.wait(5)
    with database.write() as connection:
        connection.execute(sqlalchemy.text("LOCK TABLE work IN ACCESS EXCLUSIVE MODE"))
        began = time.monotonic()
        node.stop(0.1)
        assert time.monotonic() - began < 5
        block.go_on.set()
    until(lambda: state(database, made) != "running")


def test_much_work_is_cancelled_and_the_rest_goes_on(database, clock):
    made = [queue(database) for _ in range(120)]
    with database.write() as connection:
        for work in made[1:]:
            store.request_cancel(connection, work.id, now=clock())
    with working(worker(database, clock, {"test": Steps()})):
        until(lambda: {state(database, work) for work in made} == {"cancelled", "done"}, 20)
    assert [state(database, work) for work in made].count("cancelled") == 119


def test_work_of_a_node_that_died_is_taken_over_at_the_step_it_had_reached(database, clock):
    made = queue(database)
    dead = claimed(database, "dead", now=clock())
    with database.write() as connection:
        results.advance(connection, made.id, dead.attempt, "fetch", {"fetch": 1})
    handler = Steps()
    began = time.monotonic()
    with working(worker(database, clock, {"test": handler})):
        ended(database, made)
    assert time.monotonic() - began >= PACE.lease
    assert [step for _, _, step in handler.began] == ["check", "build"]
    assert found(database, made).progress == {"fetch": 1, "check": 2, "build": 2}


def test_the_only_node_waits_less_for_one_that_died(database, clock):
    made = queue(database)
    claimed(database, "dead")
    node = worker(database, clock, {"test": Steps()}, pace=Pace(poll=0.02, beat=0.05, alone=0.1))
    node._is_alone = lambda _: True
    with working(node):
        ended(database, made)
    assert state(database, made) == "done"


def test_work_that_brings_its_node_down_is_not_tried_for_ever(database, clock):
    made = queue(database)
    for _ in range(MOST_FAILURES):
        claimed(database, "dead", now=clock())
        with database.write() as connection:
            (lease,) = results.leases(connection)
            results.abandon(connection, lease, error="its server died", now=clock())
    handler = Steps()
    with working(worker(database, clock, {"test": handler})):
        ended(database, made)
    assert state(database, made) == "failed"
    assert effects(database, made) == ["gave up: its server died"]
    assert handler.began == []


def test_a_step_that_never_ends_does_not_hold_its_thread_for_ever(database, clock):
    block = Blocking("fetch")
    stuck, next_ = queue(database, now=1), queue(database, now=2)
    hanging = [True]

    def during(lease, step):
        if lease.work.id == stuck.id and hanging:
            hanging.clear()
            block(lease, step)

    pace = Pace(poll=0.02, beat=0.05, step=0.2)
    with working(worker(database, clock, {"test": Steps(during)}, pace=pace, concurrency=1)):
        assert block.reached.wait(5)
        ended(database, next_)
        ended(database, stuck)
        block.go_on.set()
        time.sleep(0.1)
    assert effects(database, stuck) == [*STEPS, "done"]
    assert found(database, stuck).attempt == 2


@pytest.mark.parametrize("seconds", [60, -60], ids=["forwards", "backwards"])
def test_a_clock_that_jumps_a_minute_neither_repeats_nor_strands_work(database, clock, seconds):
    block = Blocking()
    running = queue(database, now=clock())
    handler, other = Steps(block), Steps()
    one = worker(database, clock, {"test": handler}, concurrency=1)
    two = worker(database, clock, {"test": other}, concurrency=1)
    with working(one):
        assert block.reached.wait(5)
        waiting = queue(database, now=clock())
        clock.jump(seconds)
        with working(two):
            ended(database, waiting)
            time.sleep(2 * PACE.lease)  # time enough to take the running piece over
            assert found(database, running).attempt == 1
            block.go_on.set()
            ended(database, running)
    for work in (running, waiting):
        assert effects(database, work) == [*STEPS, "done"]
        assert found(database, work).attempt == 1


def test_a_node_that_comes_back_after_its_lease_was_taken_changes_nothing(database, clock):
    block = Blocking()
    made = queue(database)
    still = Pace(poll=0.02, beat=60.0)
    sleeper = worker(database, clock, {"test": Steps(block)}, pace=still, concurrency=1)
    with working(sleeper):
        assert block.reached.wait(5)
        with working(worker(database, clock, {"test": Steps()})):
            ended(database, made)
            block.go_on.set()
            time.sleep(0.1)
    assert effects(database, made) == [*STEPS, "done"]
    assert found(database, made).progress == {"fetch": 1, "check": 2, "build": 2}


@ON_POSTGRESQL
def test_work_goes_on_after_every_connection_to_the_database_was_cut(database, clock, caplog):
    caplog.set_level(logging.CRITICAL)
    cut = sqlalchemy.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    made = [queue(database, project=f"eu:{n % 3}") for n in range(30)]
    with working(worker(database, clock, {"test": Steps(lambda *_: time.sleep(0.005))})):
        for _ in range(15):
            time.sleep(0.05)
            with database.autocommitting() as connection:
                connection.execute(cut)
        make_due(database, clock)
        for work in made:
            until(lambda w=work: state(database, w) == "done", 20)
    for work in made:
        assert effects(database, work) == [*STEPS, "done"]
    assert {found(database, work).failures for work in made} == {0}


@ON_POSTGRESQL
def test_a_database_that_is_away_for_a_while_costs_no_work(database, clock, caplog):
    caplog.set_level(logging.CRITICAL)
    name = database.engine.url.database
    allow = f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS'
    made = [queue(database, project=f"eu:{n % 3}") for n in range(20)]
    administration = sqlalchemy.create_engine(
        database.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT"
    )
    with (
        working(worker(database, clock, {"test": Steps(lambda *_: time.sleep(0.01))})),
        administration.connect() as connection,
    ):
        time.sleep(0.1)
        connection.execute(sqlalchemy.text(f"{allow} false"))
        connection.execute(
            sqlalchemy.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            ),
            {"name": name},
        )
        time.sleep(4 * PACE.lease)
        connection.execute(sqlalchemy.text(f"{allow} true"))
        for work in made:
            until(lambda w=work: state(database, w) == "done", 20)
    administration.dispose()
    for work in made:
        assert effects(database, work) == [*STEPS, "done"]
