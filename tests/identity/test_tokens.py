"""Access tokens: issued, narrowed, looked at, revoked, expired."""

import time

import httpx
import pytest

from tests.harness import Installation


def test_client_credentials_by_basic_authentication_and_in_the_form(
    installation: Installation,
) -> None:
    installation.project("shop")
    client = installation.credentials("shop", "view_connectors manage_connectors")
    with installation.serving() as server:
        form = {"grant_type": "client_credentials"}
        both = {"client_id": client.client_id, "client_secret": client.client_secret}
        basic = httpx.post(
            f"{server.url}/oauth/token", data=form, auth=(client.client_id, client.client_secret)
        )
        in_form = httpx.post(f"{server.url}/oauth/token", data=form | both)
    for answer in (basic, in_form):
        assert answer.status_code == 200
        token = answer.json()
        assert token["token_type"] == "Bearer"
        assert token["expires_in"] == 48 * 3600
        assert token["scope"] == "manage_connectors:shop view_connectors:shop"
        assert answer.headers["cache-control"] == "no-store"
    assert len(client.client_id) == 24
    assert len(client.client_secret) == 32


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_revoked_client_is_refused_within_a_second(installation: Installation) -> None:
    installation.project("shop")
    client = installation.credentials("shop")
    with installation.serving() as server, server.client(client) as api:
        assert api.get("/connectors/search").status_code == 200
        installation.run("client", "revoke", client.client_id)
        time.sleep(1)
        answer = api.get("/connectors/search")
    assert answer.status_code == 401
    assert answer.json() == {
        "statusCode": 401,
        "message": "invalid_token",
        "errors": [{"code": "invalid_token", "message": "invalid_token"}],
        "error": "invalid_token",
    }
