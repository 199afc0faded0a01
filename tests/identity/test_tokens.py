"""Access tokens: issued, narrowed, looked at, revoked, expired."""

import base64
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.harness import Credentials, Installation
from tests.identity.conftest import Platform

GRANT = {"grant_type": "client_credentials"}
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}
ALL = "manage_project manage_api_clients"

INVALID_TOKEN = {
    "statusCode": 401,
    "message": "invalid_token",
    "errors": [{"code": "invalid_token", "message": "invalid_token"}],
    "error": "invalid_token",
}
BAD_CREDENTIALS = "Bad credentials or Client ID is not defined"
INVALID_CLIENT = {
    "statusCode": 401,
    "message": BAD_CREDENTIALS,
    "errors": [{"code": "AuthenticationError", "message": BAD_CREDENTIALS}],
    "error": "invalid_client",
    "error_description": BAD_CREDENTIALS,
}


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode('latin-1')).decode()}"}


def in_form(client: Credentials) -> dict[str, str]:
    return {"client_id": client.client_id, "client_secret": client.client_secret}


def issued(platform: Platform, client: Credentials, scope: str | None = None) -> str:
    """A token that has been used, so that the server has it in memory."""
    answer = platform.issue(client, scope)
    assert answer.status_code == 200, answer.text
    token = str(answer.json()["access_token"])
    platform.search(token)
    return token


# Asking for one


def test_client_credentials_by_basic_authentication_and_in_the_form(platform: Platform) -> None:
    client = platform.client("view_connectors manage_connectors")
    for answer in (
        platform.post("/oauth/token", client, **GRANT),
        platform.post("/oauth/token", **GRANT, **in_form(client)),
    ):
        assert answer.status_code == 200
        token = answer.json()
        assert set(token) == {"access_token", "token_type", "expires_in", "scope"}
        assert token["token_type"] == "Bearer"
        assert token["expires_in"] == 48 * 3600
        assert token["scope"] == "manage_connectors:shop view_connectors:shop"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        assert platform.search(token["access_token"]).status_code == 200
    assert (len(client.client_id), len(client.client_secret)) == (24, 32)


def test_every_token_is_another_one(platform: Platform) -> None:
    client = platform.client()
    tokens = {issued(platform, client) for _ in range(5)}
    assert len(tokens) == 5
    assert {platform.search(token).status_code for token in tokens} == {200}


def test_basic_credentials_may_be_percent_encoded(platform: Platform) -> None:
    client = platform.client()
    spelled = "".join(f"%{ord(letter):02x}" for letter in client.client_secret)
    answer = platform.http.post(
        "/oauth/token",
        data=GRANT,
        headers=basic(f"{client.client_id}:{spelled}"),
    )
    assert answer.status_code == 200, "RFC 6749 §2.3.1 has them so"


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param("{id}:wrong", id="another secret"),
        pytest.param("{id}:", id="no secret"),
        pytest.param("{id}", id="no colon"),
        pytest.param("{id}:{secret} ", id="a blank more"),
        pytest.param("{other}:{secret}", id="the secret of another client"),
        pytest.param("\0{id}:{secret}", id="U+0000 in the id"),
        pytest.param("{id}:{secret}\0", id="U+0000 in the secret"),
        pytest.param("\xff:\xff", id="not UTF-8"),
        pytest.param(":", id="nothing"),
    ],
)
def test_wrong_credentials_are_answered_with_invalid_client(
    platform: Platform, credentials: str
) -> None:
    client, other = platform.client(), platform.client()
    text = credentials.format(
        id=client.client_id, secret=client.client_secret, other=other.client_id
    )
    assert_invalid_client(platform.http.post("/oauth/token", data=GRANT, headers=basic(text)))
    client_id, _, secret = text.partition(":")
    if client_id and secret and text.isprintable():
        form = GRANT | {"client_id": client_id, "client_secret": secret}
        assert_invalid_client(platform.http.post("/oauth/token", data=form))


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/token/revoke"])
@pytest.mark.parametrize(
    "authorization", [None, "Basic", "Basic ???", "Bearer abc", "Negotiate abc="]
)
def test_without_credentials_the_answer_is_invalid_client(
    platform: Platform, path: str, authorization: str | None
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    form = GRANT | {"token": "abc"}
    assert_invalid_client(platform.http.post(path, data=form, headers=headers))


def assert_invalid_client(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.json() == INVALID_CLIENT
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("form", "error", "messages"),
    [
        pytest.param("", "invalid_request", ["The parameter grant_type is missing"], id="empty"),
        pytest.param(
            "grant_type=password",
            "unsupported_grant_type",
            ["The grant type 'password' is not supported; use client_credentials"],
            id="another grant",
        ),
        pytest.param(
            "grant_type=client_credentials&grant_type=client_credentials&scope=%00",
            "invalid_request",
            [
                "The parameter grant_type is given more than once",
                "The parameter scope has the character U+0000 in it",
            ],
            id="several faults",
        ),
        pytest.param(
            "grant_type=client_credentials&client_secret=abc",
            "invalid_request",
            ["Send the client's secret by Basic authentication or in the form"],
            id="a secret in both places",
        ),
    ],
)
def test_a_malformed_request_has_the_contracts_body_and_the_fields_of_oauth(
    platform: Platform, form: str, error: str, messages: list[str]
) -> None:
    client = platform.client()
    answer = platform.http.post(
        "/oauth/token",
        content=form,
        headers=FORM_TYPE,
        auth=(client.client_id, client.client_secret),
    )
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": 400,
        "message": messages[0],
        "errors": [{"code": error, "message": message} for message in messages],
        "error": error,
        "error_description": messages[0],
    }


# Scopes


@pytest.mark.parametrize(
    ("held", "asked", "granted"),
    [
        pytest.param(
            "view_connectors manage_project",
            None,
            "manage_project:shop view_connectors:shop",
            id="all where none is asked for",
        ),
        pytest.param(
            "view_connectors manage_connectors_deployments",
            "view_connectors:shop",
            "view_connectors:shop",
            id="narrower",
        ),
        pytest.param(
            "view_connectors manage_connectors",
            "view_connectors  view_connectors:shop",
            "view_connectors:shop",
            id="without the Project and twice",
        ),
        pytest.param(
            "manage_project",
            "view_connectors manage_connectors_deployments",
            "view_connectors:shop manage_connectors_deployments:shop",
            id="narrower than manage_project",
        ),
        pytest.param(
            "manage_connectors",
            "view_connectors:shop",
            "view_connectors:shop",
            id="to view what it manages",
        ),
    ],
)
def test_a_token_has_the_scope_that_was_asked_for(
    platform: Platform, held: str, asked: str | None, granted: str
) -> None:
    answer = platform.issue(platform.client(held), asked)
    assert answer.status_code == 200
    assert answer.json()["scope"] == granted


@pytest.mark.parametrize(
    ("held", "asked", "why"),
    [
        pytest.param(
            "view_connectors",
            "view_connectors manage_connectors",
            "This client does not hold manage_connectors",
            id="wider",
        ),
        pytest.param(
            "manage_connectors manage_connectors_deployments",
            "manage_project",
            "This client does not hold manage_project",
            id="all from many",
        ),
        pytest.param(
            "manage_project",
            "manage_api_clients",
            "This client does not hold manage_api_clients",
            id="what manage_project leaves out",
        ),
        pytest.param(
            ALL,
            "view_connectors:outlet",
            "'view_connectors:outlet' is not on the Project 'shop'",
            id="another Project",
        ),
        pytest.param(
            ALL, "view_connectors:", "'view_connectors:' is not on the Project 'shop'", id="no key"
        ),
        pytest.param(
            ALL,
            "view_connectors:shop:shop",
            "'view_connectors:shop:shop' is not on the Project 'shop'",
            id="two keys",
        ),
        pytest.param(ALL, "view_connectors,manage_project", None, id="a comma between"),
        pytest.param(ALL, "VIEW_CONNECTORS", None, id="in capitals"),
        pytest.param(ALL, "größe 🙂", None, id="no scope at all"),
    ],
)
def test_a_scope_beyond_the_clients_is_refused(
    platform: Platform, held: str, asked: str, why: str | None
) -> None:
    answer = platform.issue(platform.client(held), asked)
    assert answer.status_code == 400
    body = answer.json()
    message = why or body["message"]
    assert " is not " in message or " not hold " in message
    assert body == {
        "statusCode": 400,
        "message": message,
        "errors": [{"code": "invalid_scope", "message": message}],
        "error": "invalid_scope",
        "error_description": message,
    }


def test_a_narrowed_token_cannot_do_what_its_client_could(platform: Platform) -> None:
    client = platform.client("manage_project")
    assert platform.search(issued(platform, client)).status_code == 200
    narrowed = platform.search(issued(platform, client, "view_connectors_deployments"))
    assert narrowed.status_code == 403
    assert narrowed.json()["errors"] == [{"code": "AuthorizationError", "message": "Access denied"}]


# Using one


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"Bearer",
        b"Bearer unknown",
        b"Bearer \xff\xfe",
        b"Bearer " + b"a" * 10_000,
        b"Basic {token}",
        b"{token}",
        b"Bearer {token}x",
        b"Bearer {token} {token}",
    ],
)
def test_what_is_no_token_is_answered_with_invalid_token(
    platform: Platform, authorization: bytes | None
) -> None:
    token = issued(platform, platform.client()).encode()
    headers = {}
    if authorization is not None:
        headers = {b"authorization": authorization.replace(b"{token}", token)}
    answer = platform.http.get("/connectors/search", headers=headers)
    assert answer.status_code == 401
    assert answer.json() == INVALID_TOKEN
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_the_scheme_may_be_spelled_in_any_case(platform: Platform) -> None:
    token = issued(platform, platform.client())
    for scheme in ("bearer", "BEARER", "Bearer"):
        headers = {"Authorization": f"{scheme} {token}"}
        assert platform.http.get("/connectors/search", headers=headers).is_success


# Looking at one


def introspected(platform: Platform, client: Credentials, token: str) -> dict[str, Any]:
    answer = platform.post("/oauth/introspect", client, token=token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


def test_a_client_sees_what_a_token_of_its_project_is_good_for(platform: Platform) -> None:
    client, colleague = platform.client(), platform.client("view_connectors")
    token = issued(platform, client, "view_connectors")
    now = time.time()
    for looking in (client, colleague):
        seen = introspected(platform, looking, token)
        assert seen == {
            "active": True,
            "scope": "view_connectors:shop",
            "client_id": client.client_id,
            "token_type": "Bearer",
            "iat": seen["iat"],
            "exp": seen["iat"] + 48 * 3600,
        }
        assert abs(seen["iat"] - now) < 60


def test_a_token_that_is_not_good_is_inactive_and_nothing_more_is_told(
    platform: Platform,
) -> None:
    client, stranger = platform.client(), platform.client(project="outlet")
    revoked = issued(platform, client)
    platform.post("/oauth/token/revoke", client, token=revoked)
    not_good: Mapping[str, str] = {
        "of another Project": issued(platform, stranger),
        "revoked": revoked,
        "garbage": "größe 🙂 %00",
        "a secret": client.client_secret,
    }
    for what, token in not_good.items():
        assert introspected(platform, client, token) == {"active": False}, what


# Revoking one


def test_a_client_revokes_its_token_and_no_other(platform: Platform) -> None:
    client = platform.client()
    token, kept = issued(platform, client), issued(platform, client)
    for _ in range(2):  # a second time changes nothing, and is no error (RFC 7009 §2.2)
        answer = platform.post(
            "/oauth/token/revoke", client, token=token, token_type_hint="access_token"
        )
        assert (answer.status_code, answer.json()) == (200, {})
        assert platform.search(token).json() == INVALID_TOKEN
        assert platform.search(kept).status_code == 200


def test_nobody_revokes_the_token_of_another(platform: Platform) -> None:
    token = issued(platform, platform.client())
    for other in (platform.client(), platform.client(project="outlet")):
        answer = platform.post("/oauth/token/revoke", other, token=token)
        assert (answer.status_code, answer.json()) == (200, {}), "it does not tell which tokens are"
    assert platform.search(token).status_code == 200


def test_to_revoke_what_is_no_token_is_no_error(platform: Platform) -> None:
    client = platform.client()
    for token in ("unknown", client.client_secret, "größe 🙂"):
        answer = platform.post("/oauth/token/revoke", client, token=token)
        assert (answer.status_code, answer.json()) == (200, {})
    missing = platform.post("/oauth/token/revoke", client)
    assert missing.status_code == 400
    assert missing.json()["error"] == "invalid_request"


def test_a_revoked_client_ends_with_all_its_tokens_within_a_second(platform: Platform) -> None:
    client, colleague = platform.client(), platform.client()
    tokens = [issued(platform, client) for _ in range(3)]
    kept = issued(platform, colleague)
    platform.installation.run("client", "revoke", client.client_id)
    time.sleep(1)
    for token in tokens:
        assert platform.search(token).json() == INVALID_TOKEN
        assert introspected(platform, colleague, token) == {"active": False}
    assert_invalid_client(platform.issue(client))
    assert platform.search(kept).status_code == 200


# Expiry


def test_a_token_expires_when_the_setting_says_so(installation: Installation) -> None:
    installation.project("shop")
    client = installation.credentials("shop")
    auth = (client.client_id, client.client_secret)
    with (
        installation.serving(settings={"CONNECTORY_TOKEN_SECONDS": "3"}) as server,
        httpx.Client(base_url=server.url) as http,
    ):
        began = time.monotonic()
        issued = http.post("/oauth/token", data=GRANT, auth=auth).json()
        assert issued["expires_in"] == 3
        bearer = {"Authorization": f"Bearer {issued['access_token']}"}
        assert http.get("/connectors/search", headers=bearer).status_code == 200
        time.sleep(max(0.0, began + 3.1 - time.monotonic()))
        refused = http.get("/connectors/search", headers=bearer)
        assert (refused.status_code, refused.json()) == (401, INVALID_TOKEN)
        question = {"token": issued["access_token"]}
        seen = http.post("/oauth/introspect", data=question, auth=auth)
        assert seen.json() == {"active": False}
        revoked = http.post("/oauth/token/revoke", data=question, auth=auth)
        assert (revoked.status_code, revoked.json()) == (200, {})
