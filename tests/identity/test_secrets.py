"""Secrets of clients: rotated, guessed at, and kept nowhere in the clear."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy

from connectory import app
from connectory.database.engine import Database
from connectory.identity.guessing import FIRST_DELAY, FREE_ATTEMPTS, LONGEST_DELAY, MOST_WAITING
from connectory.kernel import ids
from connectory.kernel.clock import system_clock
from connectory.settings import Settings
from tests.harness import Credentials, Installation
from tests.identity.conftest import Platform

GRANT = {"grant_type": "client_credentials"}


# Rotation


def test_after_a_rotation_both_secrets_hold_until_the_first_ends(platform: Platform) -> None:
    client = platform.client("view_connectors")
    token = platform.issue(client).json()["access_token"]
    first, second = client, rotated(platform, client)
    assert second.client_id == first.client_id
    assert second.client_secret != first.client_secret
    assert statuses(platform, first, second) == [200, 200]

    third = rotated(platform, client, "--overlap-hours", "0")
    assert statuses(platform, first, second, third) == [401, 401, 200]
    assert platform.search(token).status_code == 200, "tokens outlive the secret they were got with"


def rotated(platform: Platform, client: Credentials, *options: str) -> Credentials:
    made = platform.installation.run_json("client", "rotate", client.client_id, *options)
    assert made["scope"] == "view_connectors:shop"
    assert len(made["clientSecret"]) == 32
    return Credentials(made["clientId"], made["clientSecret"])


def statuses(platform: Platform, *clients: Credentials) -> list[int]:
    return [platform.issue(client).status_code for client in clients]


# Guessing


@contextlib.contextmanager
def at_address(platform: Platform, address: str) -> Iterator[httpx.Client]:
    """An HTTP client on another address of this machine."""
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=platform.server.url, transport=transport, timeout=30) as http:
        yield http


def attempt(http: httpx.Client, client: Credentials, secret: str = "wrong") -> tuple[int, float]:
    """The status of a request for a token, and how many seconds it took."""
    began = time.monotonic()
    answer = http.post("/oauth/token", data=GRANT, auth=(client.client_id, secret))
    return answer.status_code, time.monotonic() - began


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_wrong_secrets_are_slowed_down_more_and_more_for_this_client_and_address_only(
    platform: Platform,
) -> None:
    client, colleague = platform.client(), platform.client()
    with at_address(platform, "127.0.0.2") as attacker:
        for _ in range(FREE_ATTEMPTS):
            assert attempt(attacker, client)[0] == 401
        for number in range(4):
            # Headers that nobody is trusted to send make no other address of it.
            attacker.headers["X-Forwarded-For"] = f"10.0.0.{number}"
            status, seconds = attempt(attacker, client)
            assert status == 401
            assert seconds >= FIRST_DELAY * 2**number
        next_delay = FIRST_DELAY * 2**4
        status, seconds = attempt(attacker, colleague)
        assert (status, seconds < next_delay) == (401, True), "another client"
        status, seconds = attempt(attacker, client, client.client_secret)
        assert (status, seconds < next_delay) == (200, True), "the right secret"
    with at_address(platform, "127.0.0.3") as other:
        status, seconds = attempt(other, client)
        assert (status, seconds < next_delay) == (401, True), "another address"


def test_nobody_is_locked_out_however_many_wrong_secrets_wait(
    installation: Installation, database: Database
) -> None:
    installation.project("shop")
    client = installation.credentials("shop")

    async def scenario() -> None:
        node = app.compose(Settings(), database, system_clock)
        transport = httpx.ASGITransport(node.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:

            async def ask(secret: str) -> httpx.Response:
                return await http.post("/oauth/token", data=GRANT, auth=(client.client_id, secret))

            refused = 5
            # On a slow machine the first ones have waited long enough before the last ones ask.
            guesses = [
                asyncio.create_task(ask("wrong"))
                for _ in range(FREE_ATTEMPTS + 2 * MOST_WAITING + refused)
            ]
            turned_away = 0
            async with asyncio.timeout(60):
                for answering in asyncio.as_completed(guesses):
                    answer = await answering
                    if answer.status_code == 429:
                        turned_away += 1
                        assert answer.headers["retry-after"] == f"{LONGEST_DELAY:.0f}"
                        assert answer.json()["errors"][0]["code"] == "TooManyRequests"
                        assert answer.json()["error"] == "temporarily_unavailable"
                    if turned_away == refused:
                        break
            assert sum(not guess.done() for guess in guesses) > MOST_WAITING / 2
            began = time.monotonic()
            assert (await ask(client.client_secret)).status_code == 200
            assert time.monotonic() - began < LONGEST_DELAY, "the last in line waits far longer"
            for guess in guesses:
                guess.cancel()
            await asyncio.gather(*guesses, return_exceptions=True)

    asyncio.run(scenario())


# Keeping


def test_neither_a_secret_nor_a_token_is_anywhere_in_the_clear(
    installation: Installation, database: Database, tmp_path: Path
) -> None:
    installation.project("shop")
    client = installation.credentials("shop", "manage_project")
    rotation = installation.run_json("client", "rotate", client.client_id)
    operator = installation.run_json("operator", "create", "ann")["token"]
    secrets = {client.client_secret, rotation["clientSecret"], "a-secret-that-is-wrong"}
    settings = {"CONNECTORY_ACCESS_LOG": "all"}
    with installation.serving(settings=settings) as server:
        with httpx.Client(base_url=server.url) as http:
            for secret in sorted(secrets):
                form = GRANT | {"client_id": client.client_id, "client_secret": secret}
                for answer in (
                    http.post("/oauth/token", data=form),
                    http.post("/oauth/token", data=GRANT, auth=(client.client_id, secret)),
                    http.post("/oauth/token", params=form),
                    http.post("/oauth/token", content=f"{secret}=%FF&grant_type=%FF"),
                ):
                    assert secret not in answer.text
                    if answer.is_success:
                        secrets.add(answer.json()["access_token"])
            tokens = secrets - {client.client_secret, rotation["clientSecret"]}
            assert len(tokens) == 1 + 2 * 2, "two secrets hold, each was used in two ways"
            secrets.add(operator)
            for token in tokens | {operator}:
                bearer = {"Authorization": f"Bearer {token}"}
                http.get("/connectors/search", headers=bearer)
                http.get("/operator/certifications", headers=bearer)
                http.get("/connectors/search", params={"access_token": token})
                http.get("/connectors/search", headers={"Authorization": token})
                auth = (client.client_id, rotation["clientSecret"])
                http.post("/oauth/introspect", data={"token": token}, auth=auth)
            http.post("/oauth/token/revoke", data={"token": max(tokens)}, auth=auth)
            told = {"metrics": http.get("/metrics").text}
        # While it runs, the newest rows are in the journal beside the database.
        told |= {str(path): path.read_text("latin-1") for path in files(installation)}
    told |= {
        "log": server.log.read_text(),
        "audit": installation.run("audit", "--json").stdout,
        "clients": installation.run("client", "list", "--json").stdout,
        "operators": installation.run("operator", "list", "--json").stdout,
        "rows": everything(database),
    }
    assert client.client_id in told["rows"]
    assert ids.digest(operator) in told["rows"]
    assert server.log.stat().st_size > 0
    if database.is_sqlite:
        assert any(client.client_id in text for name, text in told.items() if "sqlite3" in name)
    for where, text in told.items():
        for secret in secrets:
            assert secret not in text, where


def files(installation: Installation) -> list[Path]:
    return [path for path in installation.data.rglob("*") if path.is_file()]


def everything(database: Database) -> str:
    """Every row of every table."""
    found = sqlalchemy.MetaData()
    with database.read() as connection:
        found.reflect(connection)
        assert {"clients", "client_secrets", "tokens", "audit"} <= set(found.tables)
        return "\n".join(
            str(tuple(row))
            for table in found.tables.values()
            for row in connection.execute(sqlalchemy.select(table))
        )
