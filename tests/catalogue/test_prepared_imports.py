"""What an import has prepared is nobody's to see, and goes when the import dies."""

import io
import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy

from connectory.catalogue import importing, preparing, publishing, store
from connectory.catalogue.importing import ImportFault, ImportResult, import_connectors
from connectory.catalogue.publishing import Publication
from connectory.contract.connectors import ConnectorContent
from connectory.database import feed
from connectory.database.backup import write_backup
from connectory.database.engine import Database
from connectory.database.serving import importing_alone
from connectory.database.tables import connectors
from connectory.kernel import ids
from tests.harness import connector

OLD = [connector("kept"), connector("changed")]
NEW = [connector("kept"), connector("changed", name="Changed"), connector("new")]


class Died(Exception):
    """Stands for the end of an import's process."""


def import_lines(
    database: Database, lines: list[dict[str, object]], faults: list[str] | None = None
) -> ImportResult:
    return import_connectors(
        database,
        [json.dumps(line).encode() for line in lines],
        actor="test",
        now=1,
        fault=lambda found: (faults if faults is not None else []).append(str(found)),
    )


def id_of(database: Database, key: str) -> str:
    with database.read() as connection:
        query = sqlalchemy.select(connectors.c.id).where(connectors.c.key == key)
        return connection.execute(query).scalar_one()


def rows(database: Database) -> tuple[int, int]:
    """How many rows there are: Connectors, and versions of them, prepared ones too."""
    query = sqlalchemy.text(
        "SELECT (SELECT count(*) FROM connectors), (SELECT count(*) FROM connector_versions)"
    )
    with database.read() as connection:
        of_connectors, of_versions = connection.execute(query).one()
        return of_connectors, of_versions


def seen(database: Database) -> list[object]:
    """All that anybody is told of the catalogue."""
    with database.read() as connection:
        all_ids = connection.execute(sqlalchemy.select(connectors.c.id)).scalars().all()
        backup = io.BytesIO()
        write_backup(connection, backup, now=0)
        return [
            sorted((each.key or "", each.version) for each, _ in store.everything(connection)),
            sorted((each.key or "", each.version) for each in store.documents(connection, 0)),
            store.count_changed(connection, 0),
            [tuple(row) for row in store.exported(connection)],
            {key: publishing.id_of_key(connection, key) for key in ("kept", "changed", "new")},
            [
                (key, version)
                for key in ("kept", "changed", "new")
                for version in (None, 1, 2)
                if store.deployable(connection, id_=None, key=key, version=version)
            ],
            sorted((id_, row.version) for id_ in all_ids for row in store.history(connection, id_)),
            backup.getvalue(),
        ]


@pytest.fixture
def died(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was seen before an import that has prepared everything, and then died."""
    import_lines(database, OLD)
    before = seen(database)

    def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(preparing, "show", die)
        with pytest.raises(Died):
            import_lines(database, NEW)
    assert rows(database) == (3, 4), "it was prepared"
    return before


def test_what_is_prepared_is_not_seen(database: Database, died: list[object]) -> None:
    assert seen(database) == died


def test_what_was_prepared_is_swept(database: Database, died: list[object]) -> None:
    preparing.sweep(database, threading.Event())
    assert rows(database) == (2, 2)
    assert seen(database) == died
    with database.read() as connection:
        assert feed.reserved(connection) is None


def test_what_an_import_is_at_is_not_swept(database: Database, died: list[object]) -> None:
    with database.session() as session, importing_alone(database, session):
        preparing.sweep(database, threading.Event())
    assert rows(database) == (3, 4)
    assert seen(database) == died


def test_the_next_import_begins_from_what_is_seen(database: Database, died: list[object]) -> None:
    assert import_lines(database, [*NEW[1:], connector("newer")]) == ImportResult(2, 1, 0)
    assert rows(database) == (4, 5)
    with database.read() as connection:
        assert sorted((each.key, each.version) for each in store.documents(connection, 0)) == [
            ("changed", 2),
            ("kept", 1),
            ("new", 1),
            ("newer", 1),
        ]


def test_what_is_prepared_makes_way_for_what_is_published(
    database: Database, died: list[object]
) -> None:
    id_ = publish(database, "new")
    with database.read() as connection:
        assert publishing.id_of_key(connection, "new") == id_
    preparing.sweep(database, threading.Event())
    assert rows(database) == (3, 3)


def publish(database: Database, key: str) -> str:
    """Publish a Connector as a ConnectorStaged does; its id."""
    content = connector(key, name="Published")
    publication = Publication(
        id=ids.new_id(),
        version=1,
        content=msgspec.convert(content, ConnectorContent),
        commit="c0ffee",
        owner="europe-west1.gcp:shop",
        private_projects=(),
        now=2,
    )
    with database.write() as connection:
        publishing.publish(connection, publication)
    return publication.id


def become_staged(database: Database) -> None:
    with database.write() as connection:
        mark = {"source": "staged", "seq": feed.advance(connection)}
        connection.execute(connectors.update().where(connectors.c.key == "changed").values(mark))


@pytest.mark.parametrize(
    ("meanwhile", "fault"),
    [
        (become_staged, "is published by a ConnectorStaged"),
        (lambda database: publish(database, "new"), "is published by a ConnectorStaged"),
    ],
)
def test_what_changes_while_an_import_prepares_is_not_overwritten(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[Database], object],
    fault: str,
) -> None:
    import_lines(database, OLD)
    prepare = preparing.prepare

    def prepare_and_lose(*args: Any, **kwargs: Any) -> int:
        number = prepare(*args, **kwargs)
        meanwhile(database)
        return number

    monkeypatch.setattr(importing.preparing, "prepare", prepare_and_lose)
    faults: list[str] = []
    with pytest.raises(ImportFault):
        import_lines(database, NEW, faults)
    assert [each for each in faults if fault in each], faults
    with database.read() as connection:
        assert feed.reserved(connection) is None
        query = "SELECT count(*) FROM connectors WHERE seq > (SELECT head FROM feed)"
        assert connection.execute(sqlalchemy.text(query)).scalar_one() == 0
        versions = store.history(connection, id_of(database, "changed"))
        assert [row.version for row in versions] == [1]


def test_changes_of_others_do_not_make_an_import_begin_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_lines(database, OLD)
    prepare = preparing.prepare

    def prepare_beside_others(*args: Any, **kwargs: Any) -> int:
        number = prepare(*args, **kwargs)
        publish(database, "another")
        return number

    def anew(*_: object, **__: object) -> int:
        raise AssertionError("all was done once more, while others wait")

    monkeypatch.setattr(importing.preparing, "prepare", prepare_beside_others)
    monkeypatch.setattr(importing.preparing, "prepare_at_once", anew)
    assert import_lines(database, NEW) == ImportResult(1, 1, 1)


def test_a_follower_hears_of_all_at_once_and_of_what_came_before(database: Database) -> None:
    import_lines(database, OLD)
    with database.read() as connection:
        _, before = feed.position(connection)
    with database.write() as connection:
        number = feed.reserve(connection)
    assert publish(database, "meanwhile")
    with database.read() as connection:
        _, between = feed.position(connection)
        assert [each.key for each in store.documents(connection, before)] == ["meanwhile"]
    with database.write() as connection:
        feed.reach(connection, number)
    publish(database, "later")
    with database.read() as connection:
        assert [each.key for each in store.documents(connection, between)] == ["later"]
        assert feed.position(connection)[1] == number + 1
