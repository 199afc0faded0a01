"""The unchanged official SDK, with the hosts that are built into it, reads the catalogue here."""

from typing import Any

import pytest

from tests.official.connectors import FULL, PLAIN, PRIVATE
from tests.official.machine import Machine

#: Makes one call of the SDK; prints the status and the body, or the status and the error.
SCRIPT = """
import { createApiClient } from "@commercetools-connect/sdk";
import { ClientBuilder } from "@commercetools/ts-client";

const { clientId, clientSecret, call, given } = JSON.parse(process.env.ARGUMENT);
const host = "https://connect.europe-west1.gcp.commercetools.com";
const client = new ClientBuilder()
  .withClientCredentialsFlow({
    host: "https://auth.europe-west1.gcp.commercetools.com",
    projectKey: "shop",
    credentials: { clientId, clientSecret },
    httpClient: fetch,
  })
  .withHttpMiddleware({ host, httpClient: fetch })
  .build();
const connectors = createApiClient(client.execute, host).connectors();
const calls = {
  withId: () => connectors.withId({ ID: given }).get(),
  withKey: () => connectors.withKey({ key: given }).get(),
  search: () => connectors.search().get({ queryArgs: given }),
};
const { statusCode, body, message } = await calls[call]().execute().catch((error) => error);
console.log(JSON.stringify([statusCode, body ?? message]));
"""

AS_SHOWN = {line["key"]: line | {"version": 1} for line in (FULL, PLAIN, PRIVATE)}


def ask(machine: Machine, call: str, given: Any, *, secret: str | None = None) -> tuple[int, Any]:
    """The status and the body that the SDK gives for a call."""
    argument = {
        "clientId": machine.shop.credentials.client_id,
        "clientSecret": secret or machine.shop.credentials.client_secret,
        "call": call,
        "given": given,
    }
    status, body = machine.module(SCRIPT, argument)
    return status, body


@pytest.mark.parametrize("connector", [FULL, PLAIN, PRIVATE], ids=lambda each: each["key"])
@pytest.mark.parametrize(("call", "name"), [("withId", "id"), ("withKey", "key")])
def test_a_connector_comes_with_every_field_that_was_imported(
    machine: Machine, connector: dict[str, Any], call: str, name: str
) -> None:
    assert ask(machine, call, connector[name]) == (200, AS_SHOWN[connector["key"]])


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"sort": "key asc"}, ["full", "hidden", "plain"]),
        ({"sort": ["key desc"]}, ["plain", "hidden", "full"]),
        ({"text": "GRÖSSE & gewicht 📦"}, ["full"]),
        ({"private": True}, ["hidden"]),
        ({"creator.company": "Other"}, ["hidden"]),
        ({"id": [FULL["id"], PLAIN["id"]], "sort": "key"}, ["full", "plain"]),
        ({"key": ["hidden", "full"], "sort": "key"}, ["full", "hidden"]),
        ({"integrationTypes": ["pim", "psp"]}, ["full"]),
        ({"text": "nothing has this"}, []),
    ],
    ids=str,
)
def test_search_finds_whole_connectors(
    machine: Machine, parameters: dict[str, Any], found: list[str]
) -> None:
    status, page = ask(machine, "search", parameters)
    assert status == 200
    assert page == {
        "offset": 0,
        "limit": 20,
        "total": len(found),
        "count": len(found),
        "results": [AS_SHOWN[key] for key in found],
    }


def test_search_gives_a_page(machine: Machine) -> None:
    _, page = ask(machine, "search", {"limit": 1, "offset": 1, "sort": "key"})
    assert page == {
        "offset": 1,
        "limit": 1,
        "total": 3,
        "count": 1,
        "results": [AS_SHOWN["hidden"]],
    }


def test_an_unknown_connector_is_an_error_of_the_contract(machine: Machine) -> None:
    message = "The Resource with key 'nobody' was not found."
    assert ask(machine, "withKey", "nobody") == (
        404,
        {
            "statusCode": 404,
            "message": message,
            "errors": [{"code": "ResourceNotFound", "message": message}],
        },
    )


def test_a_limit_out_of_range_is_an_error_that_names_it(machine: Machine) -> None:
    status, body = ask(machine, "search", {"limit": 501})
    assert (status, body["errors"][0]["code"]) == (400, "InvalidQueryParam")
    assert body["errors"][0]["detailedErrorMessage"].startswith("limit: ")


def test_a_wrong_secret_is_told_as_such(machine: Machine) -> None:
    told = ask(machine, "search", {}, secret="x" * 32)
    assert told == (401, "Bad credentials or Client ID is not defined")
