"""A write on one node: seen there at once, and on the other node within a second."""

import threading
import time
from pathlib import Path

import httpx
import pytest

from connectory.database.engine import Database
from connectory.identity import store
from connectory.kernel.clock import system_clock
from tests.harness import Credentials, Installation, Server, connector
from tests.nodes.conftest import HEARD_SECONDS, Nodes, new_client, reading, revoke, wait_until


def warm(nodes: Nodes, token: str) -> str:
    """Have every node know a token."""
    for server in nodes.both:
        assert reading(server, token) == 200
    return token


def assert_refused(server: Server, token: str, since: float) -> None:
    """What was revoked at `since` may hold for a second more, and never after that."""
    statuses = []
    asked_at = 0.0
    while asked_at < since + HEARD_SECONDS + 0.1:
        asked_at = time.monotonic()
        statuses.append(reading(server, token))
        assert statuses[-1] == 401 or asked_at < since + HEARD_SECONDS
    assert statuses == sorted(statuses), "once refused, it stays so"


def test_a_token_works_on_every_node_as_soon_as_it_is_issued(
    nodes: Nodes, credentials: Credentials
) -> None:
    for issuing, other in (nodes.both, nodes.both[::-1]):
        for _ in range(10):
            token = issuing.token(credentials)
            assert (reading(other, token), reading(issuing, token)) == (200, 200)


def test_a_revoked_token_ends_at_once_here_and_within_a_second_there(
    nodes: Nodes, credentials: Credentials
) -> None:
    for here, there in (nodes.both, nodes.both[::-1]):
        token, kept = (warm(nodes, here.token(credentials)) for _ in range(2))
        revoke(here, credentials, token)
        revoked_at = time.monotonic()
        assert reading(here, token) == 401
        assert_refused(there, token, revoked_at)
        warm(nodes, kept)


def test_a_revoked_client_loses_all_its_tokens_on_every_node_within_a_second(
    installation: Installation, nodes: Nodes, credentials: Credentials, database: Database
) -> None:
    other = new_client(database)
    kept = warm(nodes, nodes.a.token(other))
    tokens = [warm(nodes, server.token(credentials)) for server in (*nodes.both, *nodes.both)]
    installation.run("client", "revoke", credentials.client_id)
    revoked_at = time.monotonic()
    for server in nodes.both:
        for token in tokens:
            assert_refused(server, token, revoked_at)
        answer = httpx.post(
            f"{server.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(credentials.client_id, credentials.client_secret),
        )
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
    warm(nodes, kept)


def test_a_revocation_that_began_earlier_and_commits_later_is_not_passed_by(
    nodes: Nodes, credentials: Credentials, database: Database
) -> None:
    slow = new_client(database)
    of_slow = warm(nodes, nodes.a.token(slow))
    token = warm(nodes, nodes.a.token(credentials))
    later = threading.Thread(target=revoke, args=(nodes.a, credentials, token))
    with database.write() as connection:
        # It has the smaller number; the one on node A has to wait for it.
        assert store.revoke_client(connection, slow.client_id, system_clock())
        later.start()
        time.sleep(0.5)
        assert later.is_alive()
        warm(nodes, of_slow)
    committed_at = time.monotonic()
    later.join(30)
    for server in nodes.both:
        assert_refused(server, of_slow, committed_at)
        assert_refused(server, token, time.monotonic())


def test_what_a_command_imports_is_found_on_every_node_within_a_second(
    installation: Installation, nodes: Nodes, credentials: Credentials
) -> None:
    with nodes.a.client(credentials) as a, nodes.b.client(credentials) as b:
        for version in (1, 2, 3):
            installation.import_lines([connector("tax", name=f"Tax in version {version}")])
            imported_at = time.monotonic()
            for node in (a, b):
                wait_until(
                    lambda node=node, version=version: (
                        found(node, f"VERSION {version}") == [version]
                    ),
                    HEARD_SECONDS - (time.monotonic() - imported_at),
                )
                assert node.get("/connectors/key=tax").json()["version"] == version
                assert found(node, f"version {version - 1}") == []


def found(node: httpx.Client, text: str) -> list[int]:
    """The versions of the Connectors that a search finds."""
    page = node.get("/connectors/search", params={"text": text}).json()
    return [each["version"] for each in page["results"]]


@pytest.mark.parametrize("lines", [1_500, 2_500], ids=["taken in piece by piece", "built anew"])
def test_a_node_shows_all_of_an_import_or_nothing_of_it(
    installation: Installation, nodes: Nodes, credentials: Credentials, lines: int
) -> None:
    totals: set[int] = set()
    ended = threading.Event()

    def watch() -> None:
        asked = {"text": f"bulk-{lines}", "limit": 0}
        with nodes.b.client(credentials) as api:
            while not ended.is_set():
                totals.add(api.get("/connectors/search", params=asked).json()["total"])

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        installation.import_lines([connector(f"bulk-{lines}-{n}") for n in range(lines)])
        wait_until(lambda: lines in totals, 20)
    finally:
        ended.set()
        watching.join(30)
    assert totals == {0, lines}


def test_a_node_that_starts_later_knows_everything(
    installation: Installation, nodes: Nodes, credentials: Credentials, tmp_path: Path
) -> None:
    token = warm(nodes, nodes.a.token(credentials))
    gone = warm(nodes, nodes.a.token(credentials))
    revoke(nodes.b, credentials, gone)
    installation.import_lines([connector("early")])
    with Installation(tmp_path / "c", installation.database_url).serving() as c:
        assert reading(c, gone) == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{c.url}/connectors/key=early", headers=headers).status_code == 200
