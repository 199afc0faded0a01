"""A node that cannot hear the change feed asks the database for each token.

Where it cannot ask either, it answers 503; what was revoked meanwhile is never honoured.
"""

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest
import sqlalchemy

from connectory.database.engine import PROMPT_SECONDS, Database
from connectory.database.tables import tokens
from connectory.identity import store
from connectory.kernel import ids
from connectory.kernel.clock import system_clock
from tests import postgresql
from tests.conftest import lacking
from tests.harness import Credentials, Installation, Server
from tests.nodes.conftest import HEARD_SECONDS, Nodes, new_client, reading, revoke, wait_until

#: How soon a node must be back after its database is.
RECOVERY_SECONDS = 5.0


@pytest.fixture
def cut_off(installation: Installation, database: Database, tmp_path: Path) -> Iterator["CutOff"]:
    """A node that reaches the database under a role of its own, so that it alone can be cut off."""
    role = f"connectory_{uuid.uuid4().hex}"
    url = sqlalchemy.make_url(installation.database_url)
    password = f"PASSWORD '{url.password}'" if url.password else ""
    administration = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.exec_driver_sql(f'CREATE ROLE "{role}" SUPERUSER LOGIN {password}')
    address = url.set(username=role).render_as_string(hide_password=False)
    try:
        with Installation(tmp_path / "cut-off", address).serving() as server:
            yield CutOff(server, administration, role)
    finally:
        with administration.connect() as connection:
            connection.exec_driver_sql(f'DROP ROLE "{role}"')


class CutOff:
    """A node whose connections to the database can be taken away and given back."""

    def __init__(self, server: Server, administration: sqlalchemy.Engine, role: str) -> None:
        self.server = server
        self._administration = administration
        self._role = role

    def cut(self) -> None:
        with self._administration.connect() as connection:
            connection.exec_driver_sql(f'ALTER ROLE "{self._role}" NOLOGIN')
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE usename = '{self._role}'"
            )

    def restore(self) -> None:
        with self._administration.connect() as connection:
            connection.exec_driver_sql(f'ALTER ROLE "{self._role}" LOGIN')


def test_with_a_stalled_feed_the_database_is_asked_for_each_token(
    nodes: Nodes, credentials: Credentials, database: Database
) -> None:
    kept, gone = (nodes.b.token(credentials) for _ in range(2))
    assert (reading(nodes.b, kept), reading(nodes.b, gone)) == (200, 200)
    with stalled_feed(database):
        time.sleep(HEARD_SECONDS)
        # A node that believed its memory would let it in: the feed says nothing of this.
        with database.write() as connection:
            connection.execute(tokens.delete().where(tokens.c.digest == ids.digest(gone)))
        for _ in range(5):
            assert (reading(nodes.b, kept), reading(nodes.b, gone)) == (200, 401)
    wait_until(lambda: reading(nodes.b, kept) == 200, RECOVERY_SECONDS)


@contextlib.contextmanager
def stalled_feed(database: Database) -> Iterator[None]:
    """Keep every node from reading the change feed, and nothing else."""
    with database.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("LOCK TABLE feed IN ACCESS EXCLUSIVE MODE")
        yield


def test_a_node_without_its_database_says_503_and_recovers_by_itself(
    cut_off: CutOff, credentials: Credentials
) -> None:
    server = cut_off.server
    token = server.token(credentials)
    assert reading(server, token) == 200
    cut_off.cut()
    time.sleep(HEARD_SECONDS)
    answers = [
        httpx.get(f"{server.url}/connectors/search", headers={"Authorization": f"Bearer {token}"}),
        httpx.post(
            f"{server.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(credentials.client_id, credentials.client_secret),
        ),
        httpx.get(f"{server.url}/ready"),
    ]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        body = answer.json()
        assert body["statusCode"] == 503
        assert [error["code"] for error in body["errors"]] == ["ServiceUnavailable"]
    assert httpx.get(f"{server.url}/health").status_code == 200
    cut_off.restore()
    wait_until(lambda: reading(server, token) == 200, RECOVERY_SECONDS)
    assert httpx.get(f"{server.url}/ready").status_code == 200
    assert reading(server, server.token(credentials)) == 200


def test_what_was_revoked_while_a_node_could_not_hear_is_not_honoured_later(
    nodes: Nodes, cut_off: CutOff, credentials: Credentials, database: Database
) -> None:
    ended = new_client(database)
    kept, gone, of_ended = (nodes.a.token(client) for client in (credentials, credentials, ended))
    for token in (kept, gone, of_ended):
        assert reading(cut_off.server, token) == 200
    cut_off.cut()
    revoke(nodes.a, credentials, gone)
    with database.write() as connection:
        store.revoke_client(connection, ended.client_id, system_clock())
    revoked_at = time.monotonic()

    def ask() -> set[int]:
        asked_at = time.monotonic()
        statuses = {reading(cut_off.server, token) for token in (gone, of_ended)}
        assert 200 not in statuses or asked_at < revoked_at + HEARD_SECONDS
        return statuses

    while time.monotonic() < revoked_at + 1.5 * HEARD_SECONDS:
        ask()
    assert ask() == {503}
    cut_off.restore()
    wait_until(lambda: ask() == {401}, RECOVERY_SECONDS)
    wait_until(lambda: reading(cut_off.server, kept) == 200, RECOVERY_SECONDS)
    for _ in range(20):
        assert ask() == {401}


@pytest.fixture
def own_postgresql(monkeypatch: pytest.MonkeyPatch) -> Iterator[postgresql.PostgreSQL]:
    """A PostgreSQL server that no other test uses, so that it can be stopped."""
    monkeypatch.delenv("CONNECTORY_TEST_POSTGRES_URL", raising=False)
    try:
        with postgresql.server() as running:
            yield running
    except postgresql.NotInstalled as why:
        lacking("postgresql", str(why))


def test_a_database_that_hangs_is_given_up_in_bounded_time(
    own_postgresql: postgresql.PostgreSQL, tmp_path: Path
) -> None:
    installation = Installation(tmp_path / "data", own_postgresql.new_database())
    installation.project("shop")
    credentials = installation.credentials("shop")
    with installation.serving() as server:
        token = server.token(credentials)
        assert reading(server, token) == 200
        with frozen(own_postgresql):
            time.sleep(HEARD_SECONDS)
            began = time.monotonic()
            # More than a node has connections to the database.
            with ThreadPoolExecutor(20) as pool:
                asking = [pool.submit(reading, server, token) for _ in range(20)]
                time.sleep(0.5)
                assert httpx.get(f"{server.url}/health", timeout=5).status_code == 200
                assert {each.result() for each in asking} == {503}
            assert time.monotonic() - began < PROMPT_SECONDS + 5
        wait_until(lambda: reading(server, token) == 200, RECOVERY_SECONDS)
        assert reading(server, server.token(credentials)) == 200


@contextlib.contextmanager
def frozen(running: postgresql.PostgreSQL) -> Iterator[None]:
    """Stop every process of a PostgreSQL server where it is (SIGSTOP); go on afterwards."""
    url = running.url("postgres")
    folder = Path(str(sqlalchemy.make_url(url).query["host"]))
    postmaster = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    with psycopg.connect(url, autocommit=True) as connection:
        stopped = [postmaster]
        try:
            # The first one, so that it makes no more of them.
            os.kill(postmaster, signal.SIGSTOP)
            rows = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
            for (pid,) in rows:
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
