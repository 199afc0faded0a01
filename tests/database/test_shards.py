"""Each shard has one node that holds it, each node its fair share, and the dead hold none."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from connectory.database.engine import Database, open_database
from connectory.database.serving import being_served
from connectory.database.shards import SHARDS, Shards, shard_of
from connectory.kernel import ids
from tests import postgresql
from tests.conftest import lacking
from tests.database.conftest import NewInstallation, opened
from tests.harness import Installation

ALL = frozenset(range(SHARDS))
TURN = 0.25
#: How soon shards of the dead are another's, where turns are as they are in a server.
TAKEN_SECONDS = 2.0

#: Holds shards until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from connectory.database.engine import open_database
from connectory.database.shards import Shards
with Shards(open_database(sys.argv[1], Path())).holding():
    time.sleep(600)
"""


@contextlib.contextmanager
def holding(
    database: Database,
    busy: Callable[[int], bool] = lambda _: False,
    *,
    bound: bool = False,
    turn: float = TURN,
) -> Iterator[Shards]:
    shards = Shards(database, turn=turn)
    shards.join(busy=busy, bound=bound)
    with shards.holding():
        yield shards
    assert not shards.held


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def shared(postgresql_installation: Installation) -> Iterator[Database]:
    with opened(postgresql_installation) as database:
        yield database


def holders(database: Database) -> list[int]:
    """The processes of PostgreSQL whose sessions hold shards."""
    url = database.engine.url.set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 2"
        ).fetchall()
    return [pid for (pid,) in rows]


def test_every_application_has_a_shard_and_they_are_even() -> None:
    counts = [0] * SHARDS
    for _ in range(100 * SHARDS):
        counts[shard_of(ids.new_id())] += 1
    assert min(counts) > 50


def test_the_embedded_database_has_one_node_which_holds_all_at_once(
    new_installation: NewInstallation,
) -> None:
    with opened(new_installation("sqlite")) as database, holding(database) as shards:
        assert shards.held == ALL
        assert shards.has(ids.new_id())


def test_who_is_alone_holds_all(shared: Database) -> None:
    with holding(shared) as shards:
        until(lambda: shards.held == ALL)


def test_who_holds_no_shards_takes_none_from_those_who_do(
    shared: Database, postgresql_installation: Installation
) -> None:
    # As a `connectory worker` does.
    with being_served(shared, postgresql_installation.data), holding(shared) as shards:
        until(lambda: shards.held == ALL)


def test_those_who_hold_share_fairly_and_who_leaves_leaves_all(shared: Database) -> None:
    with holding(shared) as first:
        until(lambda: first.held == ALL)
        with holding(shared) as second:
            until(lambda: len(first.held) == len(second.held) == SHARDS // 2)
            until(lambda: first.held | second.held == ALL)
            with holding(shared) as third:
                three = (first, second, third)
                until(lambda: {len(each.held) for each in three} <= {20, 21, 22})
                until(lambda: first.held | second.held | third.held == ALL)
        until(lambda: first.held == ALL)


def test_no_shard_is_ever_held_twice(shared: Database) -> None:
    with holding(shared) as first, holding(shared) as second:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            before = first.held
            assert not before & second.held & first.held
        until(lambda: first.held | second.held == ALL)


def test_shards_of_a_dead_holder_are_taken(
    shared: Database, postgresql_installation: Installation
) -> None:
    url = postgresql_installation.database_url
    dying = subprocess.Popen([sys.executable, "-c", HOLDER, url])
    try:
        with holding(shared, turn=1.0) as shards:
            until(lambda: len(shards.held) == SHARDS // 2, 30)
            dying.kill()
            until(lambda: shards.held == ALL, TAKEN_SECONDS)
    finally:
        dying.kill()
        dying.wait()


def test_a_lost_connection_drops_what_was_held_and_it_comes_back(shared: Database) -> None:
    with holding(shared) as shards:
        until(lambda: shards.held == ALL)
        (holder,) = holders(shared)
        with shared.read() as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend({holder})")
        until(lambda: not shards.held, 5 * TURN)
        until(lambda: shards.held == ALL)


def test_what_is_under_way_keeps_its_shard_from_others_until_it_ends(shared: Database) -> None:
    under_way = {0, SHARDS - 1}
    with holding(shared, lambda shard: shard in under_way) as first:
        until(lambda: first.held == ALL)
        with holding(shared) as second:
            until(lambda: len(second.held) == SHARDS // 2 - 1)
            # The first begins nothing of it any more, and nobody else does before that has ended.
            assert SHARDS - 1 not in first.held | second.held
            under_way.clear()
            until(lambda: first.held | second.held == ALL)


def test_what_is_bound_keeps_its_shard_on_its_node(shared: Database) -> None:
    under_way = {0, SHARDS - 1}
    with holding(shared, lambda shard: shard in under_way, bound=True) as first:
        until(lambda: first.held == ALL)
        with holding(shared) as second:
            until(lambda: len(first.held) == len(second.held) == SHARDS // 2)
            assert under_way < first.held
            under_way.clear()
            until(lambda: first.held | second.held == ALL)


def test_what_hangs_keeps_its_shard_for_so_long_only(shared: Database) -> None:
    with holding(shared, lambda shard: shard == SHARDS - 1) as first:
        until(lambda: first.held == ALL)
        with holding(shared) as second:
            until(lambda: SHARDS - 1 in second.held, 30 * TURN)


@pytest.mark.long  # for a PostgreSQL whose processes are the test's own, so that it can stop them
def test_a_database_that_hangs_lets_nobody_believe_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CONNECTORY_TEST_POSTGRES_URL", raising=False)
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(postgresql.server())
        except postgresql.NotInstalled as why:
            lacking("postgresql", str(why))
        database = open_database(running.new_database(), Path())
        stack.callback(database.close)
        shards = stack.enter_context(holding(database))
        until(lambda: shards.held == ALL)
        (holder,) = holders(database)
        os.kill(holder, signal.SIGSTOP)
        try:
            until(lambda: not shards.held, 10 * TURN)
        finally:
            os.kill(holder, signal.SIGCONT)
        until(lambda: shards.held == ALL)
