"""The change feed: a follower hears every change, in order, however transactions interleave."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy

from connectory.database import feed
from connectory.database.engine import Database
from connectory.database.feed import FRESH_SECONDS, POLL_SECONDS
from connectory.database.tables import revocations
from tests import postgresql
from tests.database.conftest import opened, until_waiting
from tests.database.following import Node, change
from tests.harness import Installation


@pytest.fixture
def node(database: Database) -> Node:
    return Node(database)


def test_a_follower_loads_everything_once_and_then_hears_changes(
    database: Database, node: Node
) -> None:
    with database.write() as connection:
        change(connection, "before it came")
    assert node.catch_up() == ["before it came"]
    with database.write() as connection:
        change(connection, "first")
        change(connection, "second")
    assert node.catch_up() == ["before it came", "first", "second"]
    assert node.catch_up() == ["before it came", "first", "second"]
    assert node.heard.loads == 1


def test_numbers_grow_by_one_and_a_rolled_back_one_is_given_again(database: Database) -> None:
    with database.write() as connection:
        assert change(connection, "undone") == 1
        connection.rollback()
    with database.write() as connection:
        assert change(connection, "done") == 1
    with database.read() as connection:
        assert feed.position(connection)[1] == 1


def test_a_follower_hears_nothing_of_a_change_before_its_commit(
    database: Database, node: Node
) -> None:
    with database.write() as connection:
        change(connection, "new")
        assert node.catch_up() == []
    assert node.catch_up() == ["new"]


def test_a_transaction_that_began_earlier_and_commits_later_is_not_skipped(
    installation: Installation, database: Database, node: Node
) -> None:
    """The earlier one has the smaller number, so a follower may not see the larger one first."""
    later_has_its_number = threading.Event()

    def later() -> None:
        with opened(installation) as other, other.write() as connection:
            change(connection, "later")
            later_has_its_number.set()

    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            change(connection, "earlier")
            running = pool.submit(later)
            if not database.is_sqlite:
                until_waiting(database, 1)
            # The later one can neither commit nor even have a number.
            assert not later_has_its_number.wait(0.2)
            assert node.catch_up() == []
        running.result(30)
    assert node.catch_up() == ["earlier", "later"]


def test_who_began_earlier_but_takes_its_number_later_is_not_skipped(
    postgresql_installation: Installation,
) -> None:
    """Only PostgreSQL has two writing transactions at a time."""
    with opened(postgresql_installation) as database:
        node = Node(database)
        with database.write() as earlier:
            # Its snapshot and its transaction id are older than those of all that follows.
            earlier.exec_driver_sql("SELECT pg_current_xact_id()")
            with database.write() as later:
                change(later, "began later, committed first")
            assert node.catch_up() == ["began later, committed first"]
            change(earlier, "began first, committed later")
        assert node.catch_up() == ["began later, committed first", "began first, committed later"]


def test_many_writers_at_once_and_a_follower_that_polls_all_the_time(
    installation: Installation, database: Database
) -> None:
    writers, changes_each = 4, 15
    rng = random.Random(7)
    pauses = iter([rng.random() * 0.005 for _ in range(2 * writers * changes_each)])

    def write(writer: int) -> None:
        with opened(installation) as own:
            for number in range(changes_each):
                with own.write() as connection:
                    time.sleep(next(pauses))
                    change(connection, f"{writer}/{number}")
                    time.sleep(next(pauses))

    node = Node(database)

    async def follow(writing: Callable[[], bool]) -> None:
        while writing():
            await node.follower.catch_up()
        await node.follower.catch_up()

    with ThreadPoolExecutor(writers) as pool:
        running = [pool.submit(write, writer) for writer in range(writers)]
        asyncio.run(follow(lambda: not all(each.done() for each in running)))
        for each in running:
            each.result()
    with database.read() as connection:
        written = node.heard.read(connection, None)
    assert len(written) == writers * changes_each
    assert node.heard.subjects == written
    assert node.heard.loads == 1


def test_hold_keeps_the_position_until_the_transaction_ends(
    installation: Installation, database: Database
) -> None:
    def other() -> int:
        with opened(installation) as own, own.write() as connection:
            return change(connection, "other")

    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            held = feed.hold(connection)
            running = pool.submit(other)
            if not database.is_sqlite:
                until_waiting(database, 1)
            assert feed.hold(connection) == held
            assert change(connection, "own") == held[1] + 1
        assert running.result(30) == held[1] + 2


def test_after_a_new_epoch_a_follower_loads_anew_even_if_the_number_is_the_same(
    database: Database, node: Node
) -> None:
    with database.write() as connection:
        change(connection, "of the former life")
    node.catch_up()
    with database.write() as connection:
        connection.execute(revocations.update().values(subject="restored"))
        feed.begin_epoch(connection, head=1)
    assert node.catch_up() == ["restored"]
    with database.write() as connection:
        assert change(connection, "after it") == 2
    assert node.catch_up() == ["restored", "after it"]
    assert node.heard.loads == 2


def test_a_writer_that_waits_for_a_new_epoch_gets_a_number_of_it(
    installation: Installation, database: Database
) -> None:
    def other() -> int:
        with opened(installation) as own, own.write() as connection:
            return change(connection, "other")

    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            feed.begin_epoch(connection, head=40)
            running = pool.submit(other)
            if not database.is_sqlite:
                until_waiting(database, 1)
        assert running.result(30) == 41


# Freshness


def test_a_node_is_fresh_while_it_follows_and_not_before(node: Node) -> None:
    assert not node.freshness.is_fresh()

    async def follow() -> None:
        async with node.follower.following():
            for _ in range(3):
                assert node.freshness.is_fresh()
                await asyncio.sleep(POLL_SECONDS)

    asyncio.run(follow())
    time.sleep(FRESH_SECONDS)
    assert not node.freshness.is_fresh()


def test_a_feed_that_stalls_is_not_fresh_within_a_second_and_recovers(
    postgresql_installation: Installation,
) -> None:
    """Somebody holds the feed's table, so that reading it waits: nothing is refused, all hangs."""
    with opened(postgresql_installation) as database, opened(postgresql_installation) as other:
        node = Node(database)

        async def follow() -> None:
            async with node.follower.following():
                with other.write() as connection:
                    connection.exec_driver_sql("LOCK TABLE feed IN ACCESS EXCLUSIVE MODE")
                    change(connection, "meanwhile")
                    await asyncio.sleep(FRESH_SECONDS)
                    assert not node.freshness.is_fresh()
                    assert node.heard.subjects == []
                await until(node.freshness.is_fresh)
                assert node.heard.subjects == ["meanwhile"]

        asyncio.run(follow())


def test_a_poll_that_was_slow_vouches_for_the_time_at_which_it_asked(
    postgresql_installation: Installation,
) -> None:
    with opened(postgresql_installation) as database, opened(postgresql_installation) as other:
        node = Node(database)

        async def follow() -> None:
            with other.write() as connection:
                connection.exec_driver_sql("LOCK TABLE feed IN ACCESS EXCLUSIVE MODE")
                poll = asyncio.create_task(node.follower.catch_up())
                await asyncio.sleep(FRESH_SECONDS)
            await poll
            assert not node.freshness.is_fresh()

        asyncio.run(follow())


def test_a_database_that_is_away_is_told_once_and_followed_again_when_it_is_back(
    postgresql_installation: Installation,
    postgresql_server: postgresql.PostgreSQL,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = sqlalchemy.make_url(postgresql_installation.database_url)
    administering = psycopg.connect(postgresql_server.url("postgres"), autocommit=True)
    with opened(postgresql_installation) as database, administering:
        node = Node(database)

        def allow_connections(allowed: bool) -> None:
            administering.execute(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {allowed}')

        async def follow() -> None:
            async with node.follower.following():
                allow_connections(False)
                administering.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    (url.database,),
                )
                await asyncio.sleep(FRESH_SECONDS)
                assert not node.freshness.is_fresh()
                await asyncio.sleep(3 * POLL_SECONDS)
                allow_connections(True)
                with database.write() as connection:
                    change(connection, "meanwhile")
                await until(node.freshness.is_fresh)
                assert node.heard.subjects == ["meanwhile"]

        asyncio.run(follow())
    warnings = [record.message for record in caplog.records]
    assert 1 <= len(warnings) <= 2  # terminated, then refused
    assert all(each.startswith("the change feed cannot be read: ") for each in warnings)
    assert "not currently accepting connections" in warnings[-1]


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
