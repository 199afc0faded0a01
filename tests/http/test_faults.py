"""A fault of ours: answered in the one error body, told in the log, and nowhere else."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest

from connectory import app
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.http.answers import Response
from connectory.http.table import Endpoint, Request
from connectory.kernel.clock import system_clock
from connectory.operations.logging import JsonLines
from connectory.settings import Settings

REASON = "a-reason-that-is-for-the-log-alone"

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log lines of requests, as a server off a terminal writes them."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("connectory.requests")
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)


def answer_to(database: Database, fault: Exception, *, oauth: bool = False) -> httpx.Response:
    """What a node answers when a handler raises."""

    async def fails(_: Request) -> Response:
        raise fault

    failing = Endpoint(
        method="GET",
        path="/fails",
        summary="Fail",
        tag="Tests",
        permissions=None,
        oauth_errors=oauth,
        handler=fails,
    )
    node = app.compose(Settings(), database, system_clock, [failing])

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(node.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
            return await http.get("/fails", headers={"X-Correlation-ID": "find-me"})

    return asyncio.run(ask())


def test_a_fault_is_a_500_that_says_where_to_look_and_no_more(
    database: Database, log: io.StringIO
) -> None:
    answer = answer_to(database, RuntimeError(REASON))
    assert answer.status_code == 500
    body = answer.json()
    assert body["statusCode"] == 500
    assert [error["code"] for error in body["errors"]] == ["General"]
    assert body["message"] == body["errors"][0]["message"]
    assert "error" not in body
    assert answer.headers["x-correlation-id"] == "find-me"
    assert answer.headers["cache-control"] == "no-store"
    assert REASON not in answer.text
    [line] = [each for each in map(json.loads, log.getvalue().splitlines()) if "exception" in each]
    assert line["level"] == "ERROR"
    assert line["correlationId"] == "find-me"
    assert REASON in line["exception"]


def test_a_fault_of_an_oauth_endpoint_has_the_fields_of_oauth_too(database: Database) -> None:
    body = answer_to(database, RuntimeError(REASON), oauth=True).json()
    assert body["errors"][0]["code"] == "General"
    assert body["error"] == "server_error"


def test_a_database_that_is_away_is_a_503_to_be_tried_again(
    database: Database, log: io.StringIO
) -> None:
    answer = answer_to(database, DatabaseUnavailable(REASON))
    assert answer.status_code == 503
    assert [error["code"] for error in answer.json()["errors"]] == ["ServiceUnavailable"]
    assert answer.headers["retry-after"] == "1"
    assert REASON not in answer.text
    assert REASON in log.getvalue()
