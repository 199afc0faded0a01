"""Agreement with the official validator on every file of the shared corpus.

The corpus is 398 files of public repositories and 210 with one deviation each, with the verdict and
the messages of the official validator.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from jsonschema.protocols import Validator

from connectory.specification import Reading, characters, document, read, schema
from connectory.specification.faults import Severity, official_output
from connectory.specification.rules import RULES
from tests.specification.test_document import values

COLLECTIONS = {"verdicts.jsonl": 398, "mutant-verdicts.jsonl": 210}


@dataclass(frozen=True)
class Judged:
    """A file of the corpus, the official verdict on it, and ours."""

    file: str
    verdict: dict[str, Any]
    source: bytes
    reading: Reading

    @property
    def is_yaml(self) -> bool:
        return bool(self.verdict["stage"] != "yaml")

    @property
    def content(self) -> Any:
        return values(document.compose(characters.decoded(self.source)).root)


@pytest.fixture(scope="module")
def corpus(shared: Path) -> list[Judged]:
    judged = []
    for collection, count in COLLECTIONS.items():
        lines = (shared / "corpus" / collection).read_text(encoding="utf-8").splitlines()
        assert len(lines) == count
        for verdict in map(json.loads, lines):
            source = (shared / "corpus" / verdict["file"]).read_bytes()
            judged.append(Judged(verdict["file"], verdict, source, read(source)))
    return judged


def test_every_verdict_is_the_same(corpus: list[Judged]) -> None:
    for each in corpus:
        assert each.reading.valid == each.verdict["valid"], each.file
        worst = {fault.severity for fault in each.reading.faults}
        assert each.reading.valid == (Severity.ERROR not in worst), each.file


def test_every_message_on_the_content_is_the_same(corpus: list[Judged]) -> None:
    for each in filter(lambda judged: judged.is_yaml, corpus):
        official = "\n".join(
            f"[{'.'.join(map(str, error['path'])) or 'file content'}]: {error['message']}"
            for error in each.verdict["errors"]
        )
        assert official_output(each.reading.faults) == official, each.file


def test_a_message_on_yaml_that_we_know_is_the_official_one(corpus: list[Judged]) -> None:
    for each in corpus:
        if not each.is_yaml:
            official = each.verdict["errors"][0]["message"]
            assert official.startswith(official_output(each.reading.faults)), each.file


def test_every_fault_has_a_place_in_the_file(corpus: list[Judged]) -> None:
    for each in corpus:
        for fault in each.reading.faults:
            assert fault.rule in RULES
            line = each.reading.lines[fault.position.line - 1]
            assert 1 <= fault.position.column <= len(line) + 1, (each.file, fault)


def test_a_valid_file_says_what_the_catalogue_shows(corpus: list[Judged]) -> None:
    for each in corpus:
        specification = each.reading.specification
        if specification is not None:
            listed = each.content["deployAs"]
            shown = [one.application_name for one in specification.configurations()]
            assert shown == [
                one["name"] for one in listed if one["applicationType"] != "unknown"
            ], each.file


def judged_by_schema(each: Judged, validator: Validator) -> None:
    unseen = {"duplicate-key", "duplicate-name", "duplicate-global-key", "backoff-order"}
    broken = {fault.rule for fault in each.reading.faults}
    expected = each.reading.valid or broken <= unseen | {"cloud-identifier"}
    assert validator.is_valid(each.content) == expected, each.file


@pytest.fixture(scope="module")
def validator() -> Validator:
    return jsonschema.Draft202012Validator(schema.document())


@pytest.mark.parametrize("kind", ["head", pytest.param("", marks=pytest.mark.long)])
def test_the_json_schema_takes_every_valid_file_and_none_that_it_can_see_to_be_invalid(
    corpus: list[Judged], validator: Validator, kind: str
) -> None:
    endless = ("self-alias", "deep", "many")  # for the validator; the schema is no stranger to them
    for each in corpus:
        wanted = each.verdict.get("head", True) or not kind
        if wanted and each.is_yaml and not any(name in each.file for name in endless):
            judged_by_schema(each, validator)
