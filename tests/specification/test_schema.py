"""The JSON Schema of connect.yaml: valid itself, and served to anyone."""

import httpx
import jsonschema
import pytest
from jsonschema.protocols import Validator

from connectory.specification import characters, document, schema
from connectory.specification.rules import SHAPE
from tests.harness import Installation
from tests.specification import samples
from tests.specification.test_document import values


@pytest.fixture(scope="module")
def validator() -> Validator:
    made = schema.document()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("sample", samples.ALL, ids=lambda each: each.rule)
def test_it_sees_every_fault_of_a_single_value(
    validator: Validator, sample: samples.Sample
) -> None:
    if sample in samples.YAML:
        return
    found = document.compose(characters.decoded(sample.text.encode()))
    seen = sample.rule in SHAPE or sample.rule.startswith("merchant-center")
    unseen = sample in samples.ADVICE or sample in samples.RELATIONS
    assert validator.is_valid(values(found.root)) != seen
    assert seen or unseen


def test_every_part_and_field_says_what_it_is() -> None:
    made = schema.document()
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert all(part["description"] for part in made["$defs"].values())
    key = made["$defs"]["StandardEntry"]["properties"]["key"]
    assert key["description"].startswith("Name of the environment variable")
    assert "\n" not in key["pattern"]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_anyone_can_have_it(installation: Installation) -> None:
    with installation.serving() as server:
        answer = httpx.get(f"{server.url}/schemas/connect.yaml.json")
        again = httpx.get(
            f"{server.url}/schemas/connect.yaml.json",
            headers={"If-None-Match": answer.headers["etag"]},
        )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json() == schema.document()
    assert again.status_code == 304
