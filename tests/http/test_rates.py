"""Requests a second: what a Project may make of a node, and what it is told beyond that."""

import asyncio

import httpx
import pytest

from connectory import app
from connectory.contract.errors import TooManyRequests
from connectory.contract.scalars import Region
from connectory.database.engine import Database
from connectory.http.rates import Rates
from connectory.identity.administration import Administration
from connectory.kernel.clock import system_clock
from connectory.settings import Settings

GRANT = {"grant_type": "client_credentials"}


class Seconds:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


def answered(rates: Rates, count: int, project: str = "shop") -> int:
    """How many of so many requests at once are let through."""
    passed = 0
    for _ in range(count):
        try:
            rates.take(project)
        except TooManyRequests:
            continue
        passed += 1
    return passed


def test_as_many_as_a_second_allows_may_come_at_once(clock: Seconds) -> None:
    rates = Rates(4, clock)
    assert answered(rates, 10) == 4
    with pytest.raises(TooManyRequests, match=r"more than 4 requests a second") as refused:
        rates.take("shop")
    assert refused.value.headers == (("retry-after", "1"),)


def test_they_come_back_one_by_one_and_refused_ones_cost_nothing(clock: Seconds) -> None:
    rates = Rates(4, clock)
    answered(rates, 100)
    clock.now += 0.25
    assert answered(rates, 10) == 1
    clock.now += 0.5
    assert answered(rates, 10) == 2


def test_a_silent_project_saves_up_no_more_than_a_second(clock: Seconds) -> None:
    rates = Rates(4, clock)
    answered(rates, 4)
    clock.now += 3_600
    assert answered(rates, 10) == 4


def test_over_time_it_is_the_rate_however_many_ask(clock: Seconds) -> None:
    rates = Rates(4, clock)
    passed = 0
    for _ in range(10 * 8):
        passed += answered(rates, 5)
        clock.now += 0.125
    assert 10 * 4 <= passed <= 10 * 4 + 4


def test_each_project_has_a_rate_of_its_own(clock: Seconds) -> None:
    rates = Rates(4, clock)
    assert answered(rates, 10, "shop") == 4
    assert answered(rates, 10, "outlet") == 4


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_too_many_get_a_429_and_other_projects_are_not_touched(database: Database) -> None:
    asked = 10

    async def scenario(rate: int) -> tuple[list[httpx.Response], httpx.Response, httpx.Response]:
        node = app.compose(Settings(project_requests_per_second=rate), database, system_clock)
        transport = httpx.ASGITransport(node.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:

            async def search(token: str) -> httpx.Response:
                headers = {"Authorization": f"Bearer {token}"}
                return await http.get("/connectors/drafts", headers=headers)

            tokens = [
                (await http.post("/oauth/token", data=GRANT, auth=client)).json()["access_token"]
                for client in clients
            ]
            answers = await asyncio.gather(*(search(tokens[0]) for _ in range(asked)))
            same_project = await search(tokens[1])
            return answers, same_project, await search(tokens[2])

    with database.write() as connection:
        administration = Administration(connection, actor="command:tests", now=system_clock())
        for key in ("shop", "outlet"):
            administration.create_project(key, Region.EUROPE_WEST1_GCP, production=False)
        made = [
            administration.create_client(key, "manage_project")
            for key in ("shop", "shop", "outlet")
        ]
        clients = [(each.client_id, each.client_secret) for each in made]

    answers, same_project, other = asyncio.run(scenario(1))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 0 < len(refused) < asked
    assert {answer.status_code for answer in answers} == {200, 429}
    assert same_project.status_code == 429, "a second client of the Project shares its rate"
    assert other.status_code == 200
    for answer in refused:
        assert answer.headers["retry-after"] == "1"
        body = answer.json()
        assert (body["statusCode"], body["message"]) == (429, body["errors"][0]["message"])
        assert body["errors"][0]["code"] == "TooManyRequests"
        assert "CONNECTORY_PROJECT_REQUESTS_PER_SECOND" in body["message"]

    answers, same_project, other = asyncio.run(scenario(0))
    assert {each.status_code for each in (*answers, same_project, other)} == {200}, "no limit"
