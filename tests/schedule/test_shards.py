"""A node does not give up what a run of its is under way of."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from connectory.database.engine import open_database
from connectory.database.serving import being_served
from connectory.database.shards import SHARDS, Shards
from tests import postgresql


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_shard_with_a_run_under_way_stays_where_it_is(
    postgresql_server: postgresql.PostgreSQL, tmp_path: Path
) -> None:
    url, last = postgresql_server.new_database(), SHARDS - 1
    runs, deliveries = {last, last - 1}, {last - 2}
    with contextlib.ExitStack() as stack:
        stack.callback(postgresql_server.drop, url)
        opened = [open_database(url, tmp_path) for _ in range(2)]
        for database in opened:
            stack.callback(database.close)
        first, second = (Shards(database, turn=0.25) for database in opened)
        first.join(busy=deliveries.__contains__)
        first.join(busy=runs.__contains__, bound=True)
        stack.enter_context(being_served(opened[0], tmp_path))
        stack.enter_context(first.holding())
        until(lambda: len(first.held) == SHARDS)
        stack.enter_context(being_served(opened[1], tmp_path))
        stack.enter_context(second.holding())
        until(lambda: len(second.held) > SHARDS // 4)
        # What is delivered comes to an end soon, and begins no more; a run may take long.
        assert first.held >= runs
        assert not deliveries & (first.held | second.held)
        deliveries.clear()
        until(lambda: len(second.held) == SHARDS // 2)
        assert first.held >= runs
        assert not first.held & second.held
