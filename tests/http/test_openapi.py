"""`/openapi.json`: valid, complete, and true to the endpoint table that it is made from."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import jsonschema
import openapi_spec_validator
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from connectory.contract.scalars import Key, Region
from connectory.contract.scopes import Permission
from connectory.http import openapi
from connectory.http.answers import Response
from connectory.http.table import Endpoint, Request
from tests.http.conftest import Described

Json = dict[str, Any]


def resolved(document: Json, value: Json) -> Json:
    """A value, or what it refers to."""
    while "$ref" in value:
        found: Any = document
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        value = found
    return value


def everywhere(value: Any) -> Iterator[Json]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from everywhere(each)


def test_it_is_a_valid_openapi_3_1_document(described: Described) -> None:
    assert described.document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(described.document)


def test_anyone_can_read_it_and_ask_whether_it_changed(described: Described) -> None:
    url = f"{described.server.url}/openapi.json"
    first = httpx.get(url)
    assert first.headers["content-type"] == "application/json; charset=utf-8"
    again = httpx.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_it_has_every_endpoint_of_the_table_and_no_other(described: Described) -> None:
    assert {
        (method.upper(), path)
        for path, methods in described.document["paths"].items()
        for method in methods
    } == {(endpoint.method, endpoint.path) for endpoint in described.endpoints}
    paths = described.document["paths"]
    assert list(paths["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
    assert list(paths["/docs"]["get"]["responses"]["200"]["content"]) == ["text/html"]
    assert "/openapi.json" in paths


def test_each_operation_says_what_it_is_in_one_word_of_its_own(described: Described) -> None:
    operations = [
        each for methods in described.document["paths"].values() for each in methods.values()
    ]
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids)
    assert {"getConnectorsById", "getConnectorsByKey", "getConnectorsSearch"} <= set(ids)


def test_permissions_are_alternatives(described: Described) -> None:
    operation = described.document["paths"]["/connectors/search"]["get"]
    assert operation["security"] == [
        {"oauth2": ["manage_project:{projectKey}"]},
        {"oauth2": ["manage_connectors:{projectKey}"]},
        {"oauth2": ["view_connectors:{projectKey}"]},
    ]
    flows = described.document["components"]["securitySchemes"]["oauth2"]["flows"]
    assert flows["clientCredentials"]["tokenUrl"] == "/oauth/token"
    assert list(flows["clientCredentials"]["scopes"]) == [
        f"{permission}:{{projectKey}}" for permission in Permission
    ]
    assert described.document["paths"]["/health"]["get"]["security"] == []


def test_what_the_published_contract_lacks_is_marked(described: Described) -> None:
    paths = described.document["paths"]
    assert "x-connectory-addition" not in paths["/connectors/{id}"]["get"]
    for path in ("/oauth/token", "/ready", "/openapi.json", "/docs"):
        (operation,) = paths[path].values()
        assert operation["x-connectory-addition"] is True
    types = described.document["components"]["schemas"]
    assert types["Rollback"]["x-connectory-addition"] is True
    assert "x-connectory-addition" not in types["Redeploy"]


def test_query_parameters_have_their_limits_and_meanings(described: Described) -> None:
    operation = described.document["paths"]["/connectors/search"]["get"]
    parameters = {each.get("name"): each for each in operation["parameters"]}
    limit = parameters["limit"]
    assert limit["in"] == "query"
    assert limit["description"] == "Number of results requested."
    assert limit["schema"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 500,
        "default": 20,
        "examples": [3],
    }
    types = parameters["integrationTypes"]
    assert (types["style"], types["explode"]) == ("form", True)
    assert types["schema"]["items"] == {"$ref": "#/components/schemas/IntegrationType"}
    assert "required" not in parameters["creator.company"]


def test_patterns_are_plain_ecmascript(described: Described) -> None:
    patterns = [
        each["pattern"]
        for each in everywhere(described.document)
        if isinstance(each.get("pattern"), str)
    ]
    assert any("0-9a-fA-F" in pattern for pattern in patterns)
    # A look-ahead that only Python needs, and what Python alone understands.
    assert not [pattern for pattern in patterns if re.search(r"\(\?|\\[AZz]", pattern)]


def test_every_type_and_field_has_a_meaning(described: Described) -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in described.document["components"]["schemas"].items()
        for field, declared in schema.get("properties", {}).items()
        if not declared.get("description")
    ]
    assert silent == []
    assert all(each["description"] for each in described.document["components"]["schemas"].values())


def test_examples_are_of_the_type_that_they_show(described: Described) -> None:
    checked = 0
    for each in everywhere(described.document):
        shown = [each["example"]] if "example" in each else []
        shown += (
            [example["value"] for example in each.get("examples", {}).values()]
            if isinstance(each.get("examples"), dict)
            else []
        )
        for example in shown:
            # References are looked up in the document, which the schema is put into for that.
            jsonschema.Draft202012Validator(described.document | each["schema"]).validate(example)
            checked += 1
    assert checked > 20


def test_errors_are_those_of_the_endpoint_and_of_its_kind(described: Described) -> None:
    def statuses(path: str, method: str) -> list[str]:
        return list(described.document["paths"][path][method]["responses"])

    everyone = ["406", "414", "431", "500"]
    assert statuses("/health", "get") == ["200", *everyone]
    assert sorted(statuses("/connectors/{id}", "get")) == sorted(
        ["200", "304", "400", "401", "403", "404", "429", "503", *everyone]
    )
    assert sorted(statuses("/oauth/token", "post")) == sorted(
        ["200", "400", "401", "408", "413", "415", "429", "503", *everyone]
    )


def test_an_operators_endpoint_takes_an_operators_token_alone(described: Described) -> None:
    operation = described.document["paths"]["/operator/certifications/{id}"]["post"]
    assert operation["security"] == [{"operator": []}]
    scheme = described.document["components"]["securitySchemes"]["operator"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert {"403", "429"}.isdisjoint(operation["responses"])


def test_a_body_of_several_types_is_told_apart_by_its_tag(described: Described) -> None:
    operation = described.document["paths"]["/operator/certifications/{id}"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    names = {
        name: ref.rpartition("/")[2] for name, ref in schema["discriminator"]["mapping"].items()
    }
    assert names == {
        "take": "TakeCertification",
        "approve": "ApproveCertification",
        "reject": "RejectCertification",
        "comment": "CommentCertification",
    }
    body = jsonschema.Draft202012Validator(described.document | schema)
    assert body.is_valid({"version": 3, "action": "take"})
    assert body.is_valid({"version": 3, "action": "reject", "comment": "No licence."})
    assert not body.is_valid({"version": 3, "action": "reject"})
    assert not body.is_valid({"version": 3, "action": "reject", "comment": ""})
    assert not body.is_valid({"version": 3})


def test_alternatives_are_told_apart_by_a_property_that_each_of_them_has(
    described: Described,
) -> None:
    found = [each for each in everywhere(described.document) if "discriminator" in each]
    assert found
    for each in found:
        discriminator = each["discriminator"]
        for name, ref in discriminator["mapping"].items():
            kind = resolved(described.document, {"$ref": ref})
            told = kind["properties"][discriminator["propertyName"]]
            assert (told["type"], told["enum"]) == ("string", [name])


def test_every_answer_has_a_correlation_id_and_every_error_the_one_body(
    described: Described,
) -> None:
    for methods in described.document["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                found = resolved(described.document, response)
                assert "X-Correlation-ID" in found["headers"]
                if int(status) >= 400:
                    schema = found["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorResponse"}


def test_no_endpoint_is_both_a_projects_and_an_operators() -> None:
    async def handler(_: Request) -> Response:
        raise NotImplementedError

    with pytest.raises(ValueError, match="GET /both is a Project's or an operator's, not both"):
        Endpoint(
            method="GET",
            path="/both",
            summary="Read",
            tag="Tests",
            permissions=frozenset({Permission.MANAGE_PROJECT}),
            operators=True,
            handler=handler,
        )


# What the table has no endpoint for as yet is shown on one of the test's own.


class Draft(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is sent.

    Attributes:
        display_name: What it is called,
            in one line.
        region: Where it is.
        parts: What it is made of.
    """

    display_name: str
    region: Region
    parts: tuple["Part", ...] = ()


class Part(Struct, frozen=True):
    """A part."""

    name: Annotated[str, Meta(min_length=1)]
    note: str | UnsetType = UNSET


@pytest.fixture(scope="module")
def drafts() -> Json:
    """The document of a table with one endpoint that takes JSON."""

    async def handler(_: Request) -> Response:
        raise NotImplementedError

    endpoint = Endpoint(
        method="POST",
        path="/{projectKey}/drafts/key={key}",
        summary="Change a draft",
        tag="Drafts",
        permissions=frozenset({Permission.MANAGE_CONNECTORS}),
        parameters={"projectKey": Key, "key": Key},
        body=Draft,
        success=(201, Draft),
        handler=handler,
    )
    document = openapi.document([endpoint], version="1")
    openapi_spec_validator.validate(document)
    return document


def test_a_json_body_is_described(drafts: Json) -> None:
    operation = drafts["paths"]["/{projectKey}/drafts/key={key}"]["post"]
    assert operation["operationId"] == "postByProjectKeyDraftsByKey"
    assert [each.get("name") for each in operation["parameters"]][:2] == ["projectKey", "key"]
    assert all(each["required"] for each in operation["parameters"][:2])
    assert operation["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Draft"}}},
    }
    assert operation["responses"]["400"]["$ref"].endswith("InvalidPathParamOrInvalidJsonInput")
    assert {"408", "413", "415"} <= set(operation["responses"])


def test_fields_are_explained_by_the_docstring_of_their_type(drafts: Json) -> None:
    properties = drafts["components"]["schemas"]["Draft"]["properties"]
    assert properties["displayName"]["description"] == "What it is called, in one line."
    assert properties["region"]["description"] == "Where it is."
    assert drafts["components"]["schemas"]["Draft"]["description"] == "What is sent."


def test_enumerations_keep_their_order(drafts: Json) -> None:
    assert drafts["components"]["schemas"]["Region"]["enum"] == list(Region)


def test_no_text_of_a_request_may_have_u0000_in_it(drafts: Json) -> None:
    part = jsonschema.Draft202012Validator(drafts["components"]["schemas"]["Part"])
    assert part.is_valid({"name": "a\nb", "note": ""})
    assert not part.is_valid({"name": "a\0b"})
    assert not part.is_valid({"name": "a", "note": "\0"})
