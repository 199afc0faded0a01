"""Imports that run side by side: each is kept whole, none is refused, no node misses one."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import sqlalchemy

from connectory.catalogue import store
from connectory.database import feed
from connectory.database.engine import Database
from tests.harness import Credentials, Installation, connector
from tests.nodes.conftest import HEARD_SECONDS, Nodes, wait_until
from tests.processes import FedProcess

ROUNDS = 5

Lines = list[dict[str, Any]]
#: Key → version and name of a Connector.
Versions = dict[str, tuple[int, str]]


def importing(installation: Installation, lines: Lines) -> FedProcess:
    """An `import` process that has all of its lines, and awaits their end."""
    process = FedProcess("import", "-", environment=installation.environment)
    process.give(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    return process


def done(process: FedProcess) -> str:
    """What an import said; it must have succeeded."""
    with process:
        status, said = process.end()
    assert status == 0, said
    return said.strip()


def import_at_once(installation: Installation, files: Sequence[Lines]) -> None:
    """Import several files at the same time, each by a process of its own."""
    running = [importing(installation, lines) for lines in files]
    for each in running:
        each.close()
    for each in running:
        done(each)


def kept(database: Database, text: str) -> Versions:
    """What the database has of the Connectors with this text in their names."""
    with database.read() as connection:
        return {
            each.key or "": (each.version, each.name)
            for each, _ in store.everything(connection)
            if text in each.name
        }


def served(node: httpx.Client, text: str) -> Versions:
    """What a node finds by this text."""
    page = node.get("/connectors/search", params={"text": text, "limit": 500}).json()
    assert page["total"] == page["count"], "all fit on one page"
    return {each["key"]: (each["version"], each["name"]) for each in page["results"]}


def waiting(database: Database) -> int:
    """How many transactions wait for a lock."""
    query = sqlalchemy.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def test_two_imports_of_the_same_connectors_are_kept_one_after_the_other(
    installation: Installation, database: Database
) -> None:
    files = [
        [connector(f"both-{n}", name=f"twice, by {who}") for n in range(50)]
        for who in ("one", "two")
    ]
    running = [importing(installation, lines) for lines in files]
    # Held here, neither can write before both have worked out what their lines mean.
    with database.write() as connection:
        feed.advance(connection)
        for each in running:
            each.close()
        wait_until(lambda: waiting(database) == len(running), 30)
    said = [done(each) for each in running]
    assert sorted(said) == [
        "imported: 0 new, 50 changed, 0 unchanged",
        "imported: 50 new, 0 changed, 0 unchanged",
    ]
    last = "one" if "50 changed" in said[0] else "two"
    assert kept(database, "twice") == {f"both-{n}": (2, f"twice, by {last}") for n in range(50)}


def test_no_node_misses_what_two_processes_import_at_the_same_time(
    installation: Installation, database: Database, nodes: Nodes, credentials: Credentials
) -> None:
    expected: Versions = {}
    shared = [f"shared-{n}" for n in range(50)]
    with nodes.a.client(credentials) as a, nodes.b.client(credentials) as b:
        for round_ in range(ROUNDS):
            files = []
            for who in ("left", "right"):
                name = f"round {round_} from the {who}"
                new = {f"{who}-{round_}-{n}": (1, name) for n in range(30)}
                changed = {f"{who}-0-{n}": (round_ + 1, name) for n in range(30)}
                expected |= new | changed
                files.append([connector(key, name=name) for key in {*new, *changed, *shared}])
            import_at_once(installation, files)
            now = kept(database, "round")
            assert {key: now[key] for key in expected} == expected
            assert set(now) == {*expected, *shared}
            (last,) = {now[key] for key in shared}
            assert last[0] == 2 * round_ + 2, "one import came whole after the other"
            for node in (a, b):
                wait_until(lambda node=node, now=now: served(node, "round") == now, HEARD_SECONDS)
