"""How a node's index follows the feed: found at once, quick soon after, ready for imports."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy

from connectory.catalogue import following as module
from connectory.catalogue import importing, preparing, store
from connectory.catalogue.following import Following
from connectory.catalogue.importing import ImportResult
from connectory.catalogue.model import Query, Sort, SortField
from connectory.database import feed
from connectory.database.engine import Database
from connectory.database.feed import Follower, Freshness
from tests.catalogue.test_prepared_imports import Died, import_lines, publish
from tests.harness import connector

PROJECT = "europe-west1.gcp:shop"


class Node:
    """What a node knows of the catalogue; one `catch_up` is one look at the feed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.following = Following(database, 2**20)
        self.follower = Follower(database, (self.following,), Freshness(), ahead=self.following)

    def catch_up(self) -> None:
        asyncio.run(self.follower.catch_up())

    def names(self, text: str = "") -> list[str]:
        """The names of those that are found, in their order."""
        index = self.following.index
        query = Query(text=text, sort=(Sort(SortField.NAME),), limit=500)
        page = index.search(query, PROJECT)
        assert page.total == len(page.numbers)
        versions = [index.version_of(number) for number in page.numbers]
        with self.database.read() as connection:
            read = store.contents(connection, versions)
        return [read[version].split('"name":"')[1].split('"')[0] for version in versions]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 4)
    monkeypatch.setattr(preparing, "_BATCH", 3)


@pytest.fixture
def node(database: Database) -> Node:
    import_lines(database, [connector(f"old-{number}") for number in range(3)])
    node = Node(database)
    node.catch_up()
    return node


def lines(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        connector(f"new-{number:02}", name=f"Tax {number:02}", **fields) for number in range(count)
    ]


def before_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], None], *, dies: bool = False
) -> None:
    """Call something when an import has prepared everything; it may die then."""
    show = preparing.show

    def called(connection: sqlalchemy.Connection, number: int) -> None:
        monkeypatch.setattr(preparing, "show", show)
        call()
        if dies:
            raise Died
        show(connection, number)

    monkeypatch.setattr(preparing, "show", called)


OLD = [f"The old-{number} Connector" for number in range(3)]
NEW = [f"Tax {number:02}" for number in range(10)]


def test_an_import_is_taken_in_ahead_and_found_when_it_is_shown(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> None:
        for _ in range(4):
            node.catch_up()
        assert node.names() == OLD
        assert node.following.index.taken_in == 3 + 10

    before_it_is_shown(monkeypatch, look)
    import_lines(database, lines(10))
    assert node.names() == OLD
    node.catch_up()
    assert node.names() == [*NEW, *OLD]
    assert node.names("tax 0") == NEW
    assert node.following.index.taken_in == 3 + 10, "nothing was read twice"


def test_the_rest_of_an_import_is_read_when_it_is_shown(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_it_is_shown(monkeypatch, node.catch_up)
    import_lines(database, lines(10))
    assert node.following.index.taken_in == 3 + 4
    node.catch_up()
    assert node.names("tax") == NEW
    assert node.following.index.taken_in == 3 + 10


def test_a_small_import_is_not_looked_for_ahead(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_it_is_shown(monkeypatch, node.catch_up)
    import_lines(database, lines(3))
    assert node.following.index.taken_in == 3
    node.catch_up()
    assert node.names("tax") == NEW[:3]


def test_what_was_taken_in_of_an_import_that_died_is_never_found(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_it_is_shown(monkeypatch, node.catch_up, dies=True)
    with pytest.raises(Died):
        import_lines(database, lines(10))
    preparing.sweep(database, threading.Event())
    for _ in range(3):
        node.catch_up()
        assert node.names() == OLD


@pytest.mark.parametrize("looks_between", [False, True])
@pytest.mark.parametrize("same_ids", [False, True])
def test_the_next_import_of_the_same_connectors_is_the_one_that_is_found(
    database: Database,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    *,
    looks_between: bool,
    same_ids: bool,
) -> None:
    marks = iter((5, 6))
    monkeypatch.setattr(feed.secrets, "randbelow", lambda _: next(marks))
    ids = [{"id": f"5ab3edcd-9d23-4934-8f48-2568052531{number:02}"} for number in range(10)]
    if not same_ids:
        ids = [{}] * 10
    before_it_is_shown(monkeypatch, node.catch_up, dies=True)
    with pytest.raises(Died):
        import_lines(database, [line | id_ for line, id_ in zip(lines(10), ids, strict=True)])
    if looks_between:
        before_it_is_shown(monkeypatch, node.catch_up)
    other = lines(10, description="Other")
    import_lines(database, [line | id_ for line, id_ in zip(other, ids, strict=True)])
    node.catch_up()
    assert node.names("other") == NEW
    assert node.names("A Connector for tests") == OLD
    assert node.following.index.taken_in == 3 + 4 + 10


def test_what_changed_since_an_import_was_shown_is_found_as_it_is(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_it_is_shown(monkeypatch, node.catch_up)
    import_lines(database, lines(10))
    import_lines(database, [connector("new-00", name="Later")])
    node.catch_up()
    assert node.names() == ["Later", *NEW[1:], *OLD]


def test_what_others_publish_while_an_import_prepares_is_found_beside_it(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not in the orders that were worked out ahead."""

    async def scenario() -> None:
        async with node.following.kept_up():
            while node.following.index.taken_in < 3 + 10:
                await node.follower.catch_up()
            await until(lambda: getattr(node.following._ahead, "placed", None) is not None)

    def meanwhile(_: ImportResult) -> None:
        asyncio.run(scenario())
        publish(database, "other")
        node.catch_up()
        assert node.names() == ["Published", *OLD]

    monkeypatch.setattr(importing, "_give_lead", meanwhile)
    import_lines(database, lines(10))
    node.catch_up()
    assert node.names() == ["Published", *NEW, *OLD]
    assert node.following.index.with_key("other") is not None


def test_what_is_found_by_looking_through_it_is_taken_to_pieces_soon(
    database: Database, node: Node
) -> None:
    async def scenario() -> None:
        async with node.following.kept_up():
            await node.follower.catch_up()
            index = node.following.index
            assert index.scanned == 10
            await until(lambda: not index.scanned)
            assert node.following.index is index

    import_lines(database, lines(10))
    asyncio.run(scenario())
    assert node.names("tax") == NEW


class SlowReading:
    """Reading everything takes until it is told to go on; after that it is as it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()
        everything = store.everything

        def slowly(connection: sqlalchemy.Connection) -> Any:
            monkeypatch.setattr(store, "everything", everything)
            rows = list(everything(connection))
            self.began.set()
            assert self.go_on.wait(20)
            return iter(rows)

        monkeypatch.setattr(store, "everything", slowly)


def test_after_many_changes_another_index_takes_the_place_with_what_came_meanwhile(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_GROWN", 2)
    reading = SlowReading(monkeypatch)

    async def scenario() -> None:
        async with node.following.kept_up():
            await node.follower.catch_up()
            index = node.following.index
            await until(reading.began.is_set)
            for name in ("Earlier", "Later"):
                await asyncio.to_thread(
                    import_lines, database, [connector("new-00", name=name), connector("more")]
                )
                await node.follower.catch_up()
                assert len(node.following.index) == 14
            reading.go_on.set()
            await until(lambda: node.following.index is not index)
            await until(lambda: not node.following.index.scanned)

    import_lines(database, lines(10))
    asyncio.run(scenario())
    assert node.names() == ["Later", *NEW[1:], "The more Connector", *OLD]


@pytest.mark.parametrize("shown_first", [False, True])
def test_an_index_that_lacks_what_was_taken_in_ahead_takes_no_place(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch, *, shown_first: bool
) -> None:
    monkeypatch.setattr(module, "MOST_GROWN", 2)
    reading = SlowReading(monkeypatch)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with node.following.kept_up():
            await node.follower.catch_up()
            index = node.following.index
            await until(reading.began.is_set)

            async def ahead() -> None:
                await node.follower.catch_up()
                await node.follower.catch_up()
                if not shown_first:
                    reading.go_on.set()
                    await until(lambda: node.following._missed is None)
                assert node.following.index is index

            before_it_is_shown(
                monkeypatch, lambda: asyncio.run_coroutine_threadsafe(ahead(), loop).result(20)
            )
            more = [connector(f"more-{number}") for number in range(9)]
            await asyncio.to_thread(import_lines, database, more)
            await node.follower.catch_up()
            assert len(node.following.index) == 3 + 10 + 9
            reading.go_on.set()
            await until(lambda: node.following.index is not index)
            assert len(node.following.index) == 3 + 10 + 9

    import_lines(database, lines(10))
    asyncio.run(scenario())
    assert node.names("more") == [f"The more-{number} Connector" for number in range(9)]


def test_an_index_that_is_being_built_holds_up_neither_changes_nor_the_end(
    database: Database, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_GROWN", 2)
    reading, ended, limit = threading.Event(), threading.Event(), time.monotonic() + 20
    everything = store.everything

    def endless(connection: sqlalchemy.Connection) -> Any:
        (first, *_) = everything(connection)
        try:
            while time.monotonic() < limit:
                reading.set()
                time.sleep(0.001)
                yield first
        finally:
            ended.set()

    async def scenario() -> None:
        monkeypatch.setattr(store, "everything", endless)
        async with node.following.kept_up():
            await node.follower.catch_up()
            await until(reading.is_set)
            began = time.monotonic()
        assert time.monotonic() - began < 5

    import_lines(database, lines(10))
    asyncio.run(scenario())
    assert ended.wait(5)
    assert node.names("tax") == NEW


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.01)
