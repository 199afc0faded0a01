"""Types and answers against the published RAML, so that neither drifts from it.

Source: `contract/raml` of the shared folder; without it, these tests are skipped.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest

from connectory.contract import connectors, errors, scalars
from connectory.contract.connectors import Connector, ConnectorContent, Wire
from connectory.contract.errors import ApiError, OAuthError, Uncontracted
from connectory.contract.scopes import Permission
from connectory.http.table import Endpoint
from tests.http.conftest import FOREIGN, OWN, PRIVATE, PUBLIC, Described
from tests.http.raml import Raml

Json = dict[str, Any]

#: Structs that are not types of the contract, but what some of them have in common.
BASES = {Wire, ConnectorContent}

#: Parameters that the published interface lacks (docs/differences.md), by the endpoint's struct.
ADDED_PARAMETERS = {
    "LogParameters": {"text", "severity", "limit"},
    "DeploymentDeletion": {"skipScripts"},
}

TYPES = [
    each
    for _, each in inspect.getmembers(connectors, inspect.isclass)
    if issubclass(each, Wire) and each not in BASES
]


@pytest.fixture(scope="session")
def raml(shared: Path) -> Raml:
    return Raml(shared / "contract" / "raml")


@pytest.fixture(scope="module")
def api(described: Described) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {described.token}"}
    with httpx.Client(base_url=described.server.url, headers=headers) as client:
        yield client


def published(described: Described) -> list[Endpoint]:
    return [endpoint for endpoint in described.endpoints if not endpoint.addition]


def all_errors(root: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    for each in root.__subclasses__():
        yield each
        yield from all_errors(each)


# The types


@pytest.mark.parametrize("struct", TYPES, ids=lambda struct: struct.__name__)
def test_a_type_has_the_published_properties(raml: Raml, struct: type[Wire]) -> None:
    declared = raml.schema(struct.__name__)["$defs"][struct.__name__]
    _, components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    ours = components[struct.__name__]
    assert set(ours["properties"]) == set(declared["properties"])
    assert set(ours["required"]) == set(declared["required"])
    definitions = raml.schema(struct.__name__)["$defs"]
    for name, property_ in declared["properties"].items():
        assert shape(ours["properties"][name], components) == shape(property_, definitions), name


def shape(schema: Json, definitions: Json) -> Any:
    """What a value is made of, without what is said in other words on either side."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        found = definitions[name]
        return shape(found, definitions) if "enum" in found else name
    if "enum" in schema:
        return set(schema["enum"])
    if schema["type"] == "array":
        return [shape(schema["items"], definitions)]
    # The RAML calls its whole numbers `number` in places, of the format int64.
    return "integer" if schema["type"] == "number" else schema["type"]


def test_the_types_of_the_catalogue_are_all_here(raml: Raml) -> None:
    ours = {each.__name__ for each in TYPES}
    assert {"Connector", "ConnectorReference", "ConnectorSearchPagedQueryResponse"} <= ours
    assert ours <= raml.type_names


def test_enumerations_have_the_published_values(raml: Raml) -> None:
    applications = raml.schema("ConnectorConfigurationApplication")["$defs"][
        "ConnectorConfigurationApplication"
    ]
    assert list(scalars.IntegrationType) == raml.enumeration("IntegrationType")
    assert list(scalars.Region) == raml.enumeration("Region")
    assert list(scalars.ApplicationType) == applications["properties"]["applicationType"]["enum"]


def test_patterns_take_what_the_published_ones_take(raml: Raml) -> None:
    definitions = raml.schema("Connector")["$defs"]
    application = definitions["ConnectorConfigurationApplication"]["properties"]["applicationName"]
    checked = {
        "Key": (scalars.Key, definitions["Connector"]["properties"]["key"], "ab"),
        "ApplicationName": (scalars.ApplicationName, application, "ab"),
        "ProjectIdentifier": (
            scalars.ProjectIdentifier,
            definitions["ProjectIdentifier"],
            "europe-west1.gcp:ab",
        ),
    }
    for name, (ours, declared, good) in checked.items():
        (schema,), _ = msgspec.json.schema_components([ours])
        probes = ["", "a", good, *(good + "c" * more for more in (34, 35, 254, 255))]
        probes += [before + chr(code) for code in range(0x3000) for before in ("", "a", good)]
        for probe in probes:
            published = (
                re.fullmatch(declared["pattern"], probe) is not None
                and len(probe) >= declared.get("minLength", 0)
                and len(probe) <= declared.get("maxLength", 1_000)
            )
            assert (re.search(schema["pattern"], probe) is not None) == published, (name, probe)
        assert schema.get("minLength") == declared.get("minLength"), name
        assert schema.get("maxLength") == declared.get("maxLength"), name


# The endpoints


def test_an_endpoint_that_is_no_addition_is_published_with_these_scopes(
    raml: Raml, described: Described
) -> None:
    operations = raml.operations()
    assert published(described)
    for endpoint in published(described):
        operation = operations[endpoint.method, endpoint.path]
        assert endpoint.permissions == operation.scopes, endpoint.path
        status, struct = endpoint.success
        assert struct is not None
        assert operation.bodies[status] == struct.__name__


def test_an_addition_is_not_published(raml: Raml, described: Described) -> None:
    added = {(each.method, each.path) for each in described.endpoints if each.addition}
    assert added
    assert added.isdisjoint(raml.operations())


def test_query_parameters_are_the_published_ones(raml: Raml, described: Described) -> None:
    for endpoint in published(described):
        declared = raml.operations()[endpoint.method, endpoint.path].query
        if endpoint.query is None:
            assert declared == {}
            continue
        _, components = msgspec.json.schema_components(
            [endpoint.query], ref_template="#/$defs/{name}"
        )
        ours = components[endpoint.query.__name__]
        added = ADDED_PARAMETERS.get(endpoint.query.__name__, set())
        assert set(ours["properties"]) == set(declared) | added
        assert ours["required"] == []
        definitions = raml.schema("Connector")["$defs"]
        for name, parameter in declared.items():
            mine = ours["properties"][name]
            assert shape(mine, components) == shape(parameter, definitions), name
            for word in ("minimum", "maximum", "default"):
                if word in parameter:
                    assert mine[word] == parameter[word], (name, word)


def test_scopes_are_the_published_ones(raml: Raml) -> None:
    # The last is in the text of POST /{projectKey}/deployments, and missing from the list.
    expected = raml.scopes | {"manage_api_clients:{projectKey}"}
    assert {f"{permission}:{{projectKey}}" for permission in Permission} == expected


# The errors


def test_every_code_is_published_or_said_to_be_our_own(raml: Raml) -> None:
    ours = {
        error.code
        for error in all_errors()
        if error.code and not issubclass(error, OAuthError | Uncontracted)
    }
    assert {"InvalidJsonInput", "ResourceNotFound", "General"} <= ours
    assert ours <= set(raml.errors)
    assert errors.AuthenticationError.code in raml.errors
    own = {error.code for error in all_errors() if issubclass(error, Uncontracted) and error.code}
    assert own.isdisjoint(raml.errors)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidJsonInput("detail"),
        errors.InvalidQueryParam("detail"),
        errors.InvalidPathParam("detail"),
        errors.AuthorizationError(),
        errors.AuthenticationError(),
    ],
    ids=lambda error: error.code,
)
def test_a_message_and_its_fields_are_the_published_ones(raml: Raml, error: ApiError) -> None:
    name = raml.errors[error.code]
    assert raml.description_of(name, "message").strip() == f'`"{error.message}"`'
    definition = raml.schema(name)
    jsonschema.Draft202012Validator(definition).validate(error.as_object())
    assert set(error.as_object()) == set(definition["$defs"][name]["properties"])


# The answers


def test_a_connector_is_answered_as_published(raml: Raml, api: httpx.Client) -> None:
    validator = jsonschema.Draft202012Validator(raml.schema("Connector"))
    for each in (PRIVATE, PUBLIC):
        for name in (each["id"], f"key={each['key']}"):
            answer = api.get(f"/connectors/{name}")
            assert answer.status_code == 200
            validator.validate(answer.json())
    everything = set(raml.schema("Connector")["$defs"]["Connector"]["properties"])
    assert set(api.get(f"/connectors/{PUBLIC['id']}").json()) == everything


def test_a_page_of_a_search_is_answered_as_published(raml: Raml, api: httpx.Client) -> None:
    validator = jsonschema.Draft202012Validator(raml.schema("ConnectorSearchPagedQueryResponse"))
    for query in ({"limit": 500}, {"text": "payment", "offset": 1}, {"limit": 0}):
        answer = api.get("/connectors/search", params=query)
        assert answer.status_code == 200
        validator.validate(answer.json())
    # The real Connectors of the demo are among them.
    assert api.get("/connectors/search", params={"limit": 500}).json()["count"] > 60


def test_what_a_closed_schema_lacks_is_a_fault(raml: Raml, api: httpx.Client) -> None:
    validator = jsonschema.Draft202012Validator(raml.schema("Connector"))
    good = api.get(f"/connectors/{PUBLIC['id']}").json()
    for change in (
        {"version": "1"},
        {"key": "a key"},
        {"integrationTypes": ["unheard"]},
        {"more": 1},
    ):
        assert not validator.is_valid(good | change), change
    del good["creator"]["email"]
    assert not validator.is_valid(good)


def test_errors_are_answered_as_published(
    raml: Raml, described: Described, api: httpx.Client
) -> None:
    bare = {"Authorization": f"Bearer {described.tokens[OWN, Permission.MANAGE_API_CLIENTS]}"}
    foreign = {"Authorization": f"Bearer {described.tokens[FOREIGN, Permission.VIEW_CONNECTORS]}"}
    form = {"grant_type": "client_credentials"}
    answers = [
        (400, "InvalidQueryParam", api.get("/connectors/search?limit=-1&offset=x")),
        (400, "InvalidPathParam", api.get("/connectors/no-id")),
        (403, "AuthorizationError", api.get("/connectors/search", headers=bare)),
        (404, "ResourceNotFound", api.get(f"/connectors/{PRIVATE['id']}", headers=foreign)),
        (404, "ResourceNotFound", api.get("/nowhere")),
        (401, "AuthenticationError", api.post("/oauth/token", data=form)),
    ]
    for status, code, answer in answers:
        assert answer.status_code == status
        body = answer.json()
        oauth = {name: body.pop(name) for name in ("error", "error_description") if name in body}
        assert bool(oauth) == (status == 401)
        jsonschema.Draft202012Validator(raml.schema("ErrorResponse")).validate(body)
        for error in body["errors"]:
            assert error["code"] == code
            jsonschema.Draft202012Validator(raml.schema(raml.errors[code])).validate(error)


def test_a_token_that_does_not_hold_is_answered_as_in_the_published_example(
    shared: Path, api: httpx.Client
) -> None:
    example = shared / "contract" / "raml" / "examples" / "error" / "auth-error-response.json"
    answer = api.get("/connectors/search", headers={"Authorization": "Bearer garbage"})
    assert answer.json() == msgspec.json.decode(example.read_bytes())


def test_a_connector_is_spelled_as_in_the_published_example(shared: Path) -> None:
    example = shared / "contract" / "raml" / "examples" / "connector" / "minimal.json"
    # Its `null` is not of the published type: an optional field that is not set is left out.
    expected = without_nulls(msgspec.json.decode(example.read_bytes()))
    connector = msgspec.convert(expected, Connector)
    assert msgspec.json.decode(msgspec.json.encode(connector)) == expected


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value
