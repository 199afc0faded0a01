"""Catalogues that follow one another, and what a database has of them.

Every import is a *generation*: it changes most Connectors, adds some and leaves some as they are.
What the catalogue must be after each is known here without asking the program.
"""

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy

from connectory.catalogue import store
from connectory.catalogue.lines import write_line
from connectory.database.engine import Database
from tests.harness import connector

CHANGED, ADDED, SAME = 700, 30, 220

Line = dict[str, Any]
#: Key → the line that an export has of it, but for the id.
State = dict[str, Line]


def generation(number: int) -> list[Line]:
    """The lines of an import."""
    lines = [
        *(_line(f"changed-{n}", number, born=0) for n in range(CHANGED)),
        *(_line(f"added-{number}-{n}", number, born=number) for n in range(ADDED)),
        *(_line(f"same-{n}", 0, born=0) for n in range(SAME)),
    ]
    # Mixed, so that wherever an import is cut off, some of each kind have been read.
    return sorted(lines, key=lambda line: str(line["key"])[::-1])


def _line(key: str, number: int, *, born: int) -> Line:
    return connector(
        key,
        name=f"Generation {number}",
        description=f"What generation {number} says of {key}. " * 5,
        privateProjects=[],
        createdAt=_instant(born),
        lastModifiedAt=_instant(number),
    )


def _instant(number: int) -> str:
    return f"2026-01-01T{number // 60:02}:{number % 60:02}:00.000Z"


def by_key(lines: Iterable[Line]) -> State:
    return {line["key"]: line for line in lines}


def state(database: Database) -> State:
    """What an export of a database has."""
    with database.read() as connection:
        lines = [json.loads(write_line(row)) for row in store.exported(connection)]
    return by_key({name: line[name] for name in line if name != "id"} for line in lines)


#: What is half done: each of these must find nothing.
_HALF_DONE = {
    "a version of no Connector, or beyond its current one": """
        SELECT v.connector_id FROM connector_versions v LEFT JOIN connectors c
        ON c.id = v.connector_id AND v.version BETWEEN 1 AND c.version WHERE c.id IS NULL""",
    "a Connector that lacks a version": """
        SELECT c.id FROM connectors c LEFT JOIN connector_versions v ON v.connector_id = c.id
        GROUP BY c.id, c.version HAVING count(v.version) <> c.version""",
    "a change that the feed has not come to": """
        SELECT seq FROM connectors WHERE seq > (SELECT head FROM feed)
        UNION ALL SELECT seq FROM revocations WHERE seq > (SELECT head FROM feed)""",
    "a client that has not one secret": """
        SELECT c.id FROM clients c LEFT JOIN client_secrets s ON s.client_id = c.id
        GROUP BY c.id HAVING count(s.digest) <> 1""",
    "a client without its making in the audit log": """
        SELECT id FROM clients WHERE id NOT IN
        (SELECT subject FROM audit WHERE action = 'identity:client:create')""",
    "an act on a client that is not there": """
        SELECT subject FROM audit WHERE action LIKE 'identity:client:%'
        AND subject NOT IN (SELECT id FROM clients)""",
    "a revoked client that is not announced": """
        SELECT id FROM clients WHERE revoked_at IS NOT NULL AND id NOT IN
        (SELECT subject FROM revocations WHERE kind = 'client')""",
    "a client that is announced as revoked and is not": """
        SELECT subject FROM revocations WHERE kind = 'client' AND subject IN
        (SELECT id FROM clients WHERE revoked_at IS NULL)""",
    "a token that is revoked and there": """
        SELECT t.digest FROM tokens t JOIN revocations r ON r.subject = t.digest""",
}


def assert_whole(database: Database, generations: int) -> None:
    """That a database has nothing half done, and each of the generations 0, 1, … exactly once."""
    with database.read() as connection:

        def found(query: str, **values: object) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(query), values)]

        for what, query in _HALF_DONE.items():
            assert found(query) == [], what
        imports = found("SELECT count(*) FROM audit WHERE action = 'catalogue:import'")
        assert imports == [(generations,)]
        history = found(
            """SELECT version, content FROM connector_versions
            WHERE connector_id = (SELECT id FROM connectors WHERE key = :key) ORDER BY version""",
            key="changed-7",
        )
        assert [(version, json.loads(content)["name"]) for version, content in history] == [
            (number + 1, f"Generation {number}") for number in range(generations)
        ]
        versions = found("SELECT DISTINCT version FROM connectors WHERE key LIKE 'changed-%'")
        assert versions == [(generations,)]
        if database.is_sqlite:
            assert found("PRAGMA integrity_check") == [("ok",)]
            assert found("PRAGMA foreign_key_check") == []
