"""What holds for every endpoint of the table, whichever it is: the tests walk it.

A new endpoint is walked without a word here, unless it has a parameter, a form field or a body that
nothing in `ARGUMENTS`, `FORM` and `body_of` gives a value to.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from connectory.contract.certification import CertificationUpdate
from connectory.contract.deployments import DeploymentDraft, DeploymentUpdate
from connectory.contract.errors import AuthenticationError
from connectory.contract.messages import DeadLetterUpdate, PublishRequest
from connectory.contract.scopes import Permission
from connectory.contract.staged import ConnectorStagedDraft, ConnectorUpdate
from connectory.contract.webhooks import WebhookDraft
from connectory.http import events
from connectory.http.bodies import FORM as FORM_TYPE
from connectory.http.table import Endpoint
from connectory.identity.model import RESERVED_PROJECT_KEYS
from tests.http.conftest import (
    DEPLOYABLE,
    FOREIGN,
    OWN,
    PRIVATE,
    REGION,
    WEBHOOK_URL,
    Described,
)
from tests.staging.examples import certifiable, staged

#: Path parameters that lead to what belongs to the Project OWN alone.
ARGUMENTS = {
    "id": PRIVATE["id"],
    "key": PRIVATE["key"],
    "projectKey": OWN,
    "applicationName": "mails",
    "messageId": "2070",
    "jobName": "imports",
    "runId": "17",
    "deliveryId": "c2d9a7f4-6a1e-4d0c-8f3b-5e7a9b1c3d5f",
    "topic": "event-x2k1m9c0w7h3t5q8z4b6n0ae",
}
#: Fields that the forms of the table require.
FORM = {"grant_type": "client_credentials", "token": "of-nobody"}

#: Good bodies of those endpoints that take the same wherever they lead.
BODIES: dict[Any, dict[str, Any]] = {
    ConnectorUpdate: {"version": 1, "actions": []},
    PublishRequest: {"messages": [{"data": "e30="}]},
    DeadLetterUpdate: {"action": "replay"},
    WebhookDraft: {"url": WEBHOOK_URL},
}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


@pytest.fixture(scope="module")
def api(described: Described) -> Iterator[httpx.Client]:
    """A client that holds every single answer against the description and the one error body."""

    def check(answer: httpx.Response) -> None:
        if is_stream(answer) and answer.request.method != "HEAD":
            # It has no end of its own: what it begins with is what can be looked at.
            answer._content = next(answer.iter_bytes())
            answer.close()
        answer.read()
        assert answer.headers["x-correlation-id"]
        if answer.status_code >= 400 and answer.request.method != "HEAD":
            check_error_body(answer)
        check_described(described, answer)

    with httpx.Client(base_url=described.server.url, event_hooks={"response": [check]}) as client:
        yield client


def is_stream(answer: httpx.Response) -> bool:
    return answer.headers.get("content-type") == events.MEDIA_TYPE


def check_error_body(answer: httpx.Response) -> None:
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    body = answer.json()
    assert body["statusCode"] == answer.status_code
    assert body["message"] == body["errors"][0]["message"]
    assert all(error["code"] and error["message"] for error in body["errors"])
    assert {"statusCode", "message", "errors"} <= set(body)
    assert set(body) <= {"statusCode", "message", "errors", "error", "error_description"}


def check_described(described: Described, answer: httpx.Response) -> None:
    """That `/openapi.json` has told of this status, with these headers and such a body."""
    operation = operation_of(described, answer.request)
    if operation is None:
        assert answer.status_code in (404, 405)
        return
    response = operation["responses"][str(answer.status_code)]
    if "$ref" in response:
        name = response["$ref"].rpartition("/")[2]
        response = described.document["components"]["responses"][name]
    for name in response["headers"]:
        assert name in answer.headers, f"{answer.request.url}: {name}"
    if "content" not in response or answer.request.method == "HEAD":
        assert answer.content == b""
        return
    media = answer.headers["content-type"].partition(";")[0]
    schema = response["content"][media]["schema"]
    if media == "application/json":
        validator = jsonschema.Draft202012Validator(described.document | schema)
        validator.validate(answer.json())


def operation_of(described: Described, request: httpx.Request) -> dict[str, Any] | None:
    """What is said of the endpoint that a request goes to; a path without parameters is first."""
    method = "get" if request.method == "HEAD" else request.method.lower()
    target = request.url.raw_path.partition(b"?")[0].decode()
    for path, methods in sorted(
        described.document["paths"].items(), key=lambda item: item[0].count("{")
    ):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), target):
            found: dict[str, Any] | None = methods.get(method)
            return found
    return None


def path_of(described: Described, endpoint: Endpoint) -> str:
    """A path that leads to something; of ConnectorStaged, to one that nobody has changed yet."""
    arguments: dict[str, Any] = dict(ARGUMENTS)
    if endpoint.path.startswith("/connectors/drafts/"):
        arguments |= described.new_draft()
    elif endpoint.path.startswith(("/{projectKey}/deployments/", "/v1/projects/")):
        arguments |= described.new_deployment()
    elif endpoint.path.startswith("/{projectKey}/webhooks/"):
        arguments |= described.new_webhook()
    elif endpoint.path == "/operator/certifications/{id}":
        arguments |= described.new_draft(certifiable)
    if "/jobs/" in endpoint.path:
        arguments["applicationName"] = arguments["jobName"]
    return endpoint.path.format_map(arguments)


def body_of(described: Described, endpoint: Endpoint) -> dict[str, Any]:
    """A good body, as httpx takes it."""
    if endpoint.body is None:
        return {}
    if endpoint.body_type == FORM_TYPE:
        names = endpoint.bodies[0].__struct_fields__
        return {"data": {name: FORM[name] for name in names if name in FORM}}
    if endpoint.body in BODIES:
        return {"json": BODIES[endpoint.body]}
    if endpoint.path.startswith("/{projectKey}/deployments"):
        return {"json": deployment_body(endpoint)}
    if endpoint.body == CertificationUpdate:
        return {"json": {"version": certifiable(staged()).version, "action": "take"}}
    assert endpoint.body is ConnectorStagedDraft, "say here what a body of this endpoint is"
    return {
        "json": {
            "name": "Draft",
            "creator": {"email": "connect@acme.example"},
            "repository": {"url": described.repositories.url(), "tag": "v1.0.0"},
        }
    }


def deployment_body(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.body is DeploymentUpdate:
        return {"version": 1, "actions": [{"action": "redeploy"}]}
    assert endpoint.body is DeploymentDraft
    return {"connector": {"id": DEPLOYABLE["id"]}, "configurations": [], "region": REGION}


def send(
    api: httpx.Client,
    described: Described,
    endpoint: Endpoint,
    token: str | None = None,
    method: str | None = None,
) -> httpx.Response:
    """A good request, with a token or without."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return api.request(
        method or endpoint.method,
        path_of(described, endpoint),
        headers=headers,
        **body_of(described, endpoint),
    )


def of_projects(described: Described) -> list[Endpoint]:
    found = [each for each in described.endpoints if each.permissions is not None]
    assert found
    return found


def of_operators(described: Described) -> list[Endpoint]:
    found = [each for each in described.endpoints if each.operators]
    assert found
    return found


def of_anyone(described: Described) -> list[Endpoint]:
    """Those that ask for nothing: neither for a token nor for a client's secret."""
    return [
        each
        for each in described.endpoints
        if not each.guarded and AuthenticationError not in each.errors
    ]


def test_a_token_reaches_as_far_as_its_scope_and_its_project(
    described: Described, api: httpx.Client
) -> None:
    for endpoint, project, permission in itertools.product(
        of_projects(described), (OWN, FOREIGN), Permission
    ):
        answer = send(api, described, endpoint, described.tokens[project, permission])
        refused = project == FOREIGN and "projectKey" in endpoint.parameters
        expected = endpoint.success[0]
        if refused or permission not in (endpoint.permissions or ()):
            expected = 403
        elif project == FOREIGN and endpoint.parameters:
            expected = 404
        case = (endpoint.method, endpoint.path, project, permission)
        assert answer.status_code == expected, case
        if expected == 403:
            assert answer.json()["errors"] == [
                {"code": "AuthorizationError", "message": "Access denied"}
            ], case
        if project == FOREIGN:
            assert str(PRIVATE["name"]) not in answer.text, case


def test_what_is_an_operators_opens_to_an_operator_and_to_no_project(
    described: Described, api: httpx.Client
) -> None:
    for endpoint in of_operators(described):
        assert endpoint.path.startswith("/operator/")
        answer = send(api, described, endpoint, described.operator_token)
        assert answer.status_code == endpoint.success[0], endpoint.path
        for token in described.tokens.values():
            answer = send(api, described, endpoint, token)
            assert answer.status_code == 401, endpoint.path


def test_what_is_a_projects_opens_to_no_operator(described: Described, api: httpx.Client) -> None:
    for endpoint in of_projects(described):
        assert not endpoint.path.startswith("/operator/")
        answer = send(api, described, endpoint, described.operator_token)
        assert answer.status_code == 401, endpoint.path


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer garbage",
        "Bearer \u00fc",
        "Bearer " + "x" * 5_000,
        "Basic Z2FyYmFnZQ==",
        "{token}",
    ],
)
def test_without_a_token_that_holds_an_answer_is_a_401(
    described: Described, api: httpx.Client, authorization: str | None
) -> None:
    for endpoint in (*of_projects(described), *of_operators(described)):
        headers = {}
        if authorization is not None:
            value = authorization.replace("{token}", described.token_for(endpoint))
            headers["Authorization"] = value.encode("latin-1")
        answer = api.request(endpoint.method, path_of(described, endpoint), headers=headers)
        assert answer.status_code == 401, endpoint.path
        assert answer.json()["error"] == "invalid_token"
        assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_what_is_open_to_anyone_minds_no_token(described: Described, api: httpx.Client) -> None:
    assert {"/health", "/ready", "/metrics", "/openapi.json", "/docs"} <= {
        endpoint.path for endpoint in of_anyone(described)
    }
    for endpoint in of_anyone(described):
        for token in (None, "garbage", described.token):
            assert send(api, described, endpoint, token).status_code == endpoint.success[0], (
                endpoint.path
            )


def test_what_takes_a_clients_secret_takes_nothing_else(
    described: Described, api: httpx.Client
) -> None:
    endpoints = [each for each in described.endpoints if AuthenticationError in each.errors]
    assert endpoints
    for endpoint in endpoints:
        for token in (None, "garbage", described.token):
            answer = send(api, described, endpoint, token)
            assert answer.status_code == 401, endpoint.path
            assert answer.json()["error"] == "invalid_client"
            assert answer.headers["www-authenticate"].startswith("Basic ")
        for client in described.clients.values():
            answer = api.post(
                path_of(described, endpoint),
                data=FORM,
                auth=(client.client_id, client.client_secret),
            )
            assert answer.status_code == endpoint.success[0], endpoint.path


def test_head_is_get_without_the_body(described: Described, api: httpx.Client) -> None:
    for endpoint in described.endpoints:
        if endpoint.method != "GET":
            continue
        for token in (None, described.token_for(endpoint)):
            get = send(api, described, endpoint, token)
            head = send(api, described, endpoint, token, "HEAD")
            assert head.status_code == get.status_code, endpoint.path
            assert head.content == b""
            framing = {"transfer-encoding"} if is_stream(get) else set()
            assert set(head.headers) == set(get.headers) - framing, endpoint.path
            for name in ("content-type", "etag", "www-authenticate"):
                assert head.headers.get(name) == get.headers.get(name), endpoint.path
            if endpoint.path != "/metrics" and not is_stream(get):  # it grows with every request
                encoding = get.headers.get("content-encoding")
                assert head.headers.get("content-encoding") == encoding
                # Each leads to one of its own, and ids are compressed to lengths of their own.
                if encoding is None:
                    assert head.headers["content-length"] == get.headers["content-length"]


def test_other_methods_are_405_and_told_which_there_are(
    described: Described, api: httpx.Client
) -> None:
    paths = {endpoint.path: path_of(described, endpoint) for endpoint in described.endpoints}
    for template, path in paths.items():
        allowed = {each.method for each in described.endpoints if each.path == template}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        for method in METHODS:
            if method in allowed:
                continue
            for headers in ({}, {"Authorization": f"Bearer {described.token}"}):
                answer = api.request(method, path, headers=headers)
                assert answer.status_code == 405, (method, path)
                assert answer.headers["allow"] == ", ".join(sorted(allowed))


def test_an_answer_has_an_entity_tag_where_the_table_says_so(
    described: Described, api: httpx.Client
) -> None:
    for endpoint in described.endpoints:
        if endpoint.method != "GET":
            continue
        headers = {"Authorization": f"Bearer {described.token_for(endpoint)}"}
        first = api.get(path_of(described, endpoint), headers=headers)
        assert ("etag" in first.headers) == endpoint.etag, endpoint.path
        if not endpoint.etag:
            continue
        for method in ("GET", "HEAD"):
            known = {"If-None-Match": f'"other", {first.headers["etag"]}'}
            again = api.request(method, path_of(described, endpoint), headers=headers | known)
            assert (again.status_code, again.content) == (304, b""), endpoint.path
            assert again.headers["etag"] == first.headers["etag"]
        changed = api.get(
            path_of(described, endpoint), headers=headers | {"If-None-Match": '"other"'}
        )
        assert changed.content == first.content


def test_a_malformed_path_parameter_is_a_400_that_names_it(
    described: Described, api: httpx.Client
) -> None:
    for endpoint in described.endpoints:
        headers = {"Authorization": f"Bearer {described.token_for(endpoint)}"}
        for name in endpoint.parameters:
            for value in ("%20", "a%2Fb", "%C3%A4%C3%B6", "x" * 257):
                path = endpoint.path.format_map(ARGUMENTS | {name: value})
                answer = api.request(endpoint.method, path, headers=headers)
                assert answer.status_code == 400, path
                (error,) = answer.json()["errors"]
                assert error["code"] == "InvalidPathParam"
                assert error["detailedErrorMessage"].startswith(f"{name}: ")


def test_what_an_endpoint_cannot_produce_is_a_406(described: Described, api: httpx.Client) -> None:
    for endpoint in described.endpoints:
        token = described.token_for(endpoint)
        headers = {"Authorization": f"Bearer {token}", "Accept": "image/png"}
        answer = api.request(endpoint.method, path_of(described, endpoint), headers=headers)
        assert answer.status_code == 406, endpoint.path
        assert answer.json()["errors"][0]["code"] == "NotAcceptable"


def test_a_body_of_another_type_is_a_415_and_one_too_large_a_413(
    described: Described, api: httpx.Client
) -> None:
    for endpoint in described.endpoints:
        if endpoint.body is None:
            continue
        token = {"Authorization": f"Bearer {described.token_for(endpoint)}"}
        text = {"Content-Type": "text/plain"}
        answer = api.request(
            endpoint.method, path_of(described, endpoint), content=b"{}", headers=token | text
        )
        assert answer.status_code == 415, endpoint.path
        typed = {"Content-Type": endpoint.body_type}
        answer = api.request(
            endpoint.method,
            path_of(described, endpoint),
            content=b" " * 2**21,
            headers=token | typed,
        )
        assert answer.status_code == 413, endpoint.path


def test_a_connection_that_a_body_was_left_unread_on_is_not_used_again(
    described: Described, api: httpx.Client
) -> None:
    for endpoint in described.endpoints:
        for size in (10, 2**21):
            refused = api.request("PUT", path_of(described, endpoint), content=b" " * size)
            assert refused.status_code == 405
            assert refused.headers["connection"] == "close"
            # Were it used again, this would find it ended, or be taken for the rest of the body.
            assert api.get("/health").status_code == 200
    assert "connection" not in api.get("/health").headers
    assert "connection" not in api.post("/oauth/token", data=FORM).headers


def test_a_correlation_id_is_taken_over_by_every_answer(
    described: Described, api: httpx.Client
) -> None:
    for endpoint in described.endpoints:
        headers = {"X-Correlation-ID": "of-mine/1"}
        answer = api.request(endpoint.method, path_of(described, endpoint), headers=headers)
        assert answer.headers["x-correlation-id"] == "of-mine/1", endpoint.path


def test_no_project_can_have_the_name_of_a_path(described: Described) -> None:
    segments = {endpoint.path.split("/")[1] for endpoint in described.endpoints}
    # A Project's key has no dot in it, and a parameter is no name.
    names = {each for each in segments if "." not in each and not each.startswith("{")}
    assert names <= RESERVED_PROJECT_KEYS
