"""Every rule: a file that breaks it, the place that is named, and the words."""

import pytest

from connectory.specification import read
from connectory.specification.faults import Severity, official_output
from connectory.specification.rules import ADVICE, RELATIONS, RULES, SHAPE, STRUCTURE, YAML
from tests.specification import samples
from tests.specification.samples import Sample


@pytest.mark.parametrize("sample", samples.ALL, ids=lambda each: each.rule)
def test_a_breach_is_told_with_its_place_and_what_to_do(sample: Sample) -> None:
    reading = read(sample.text.encode())
    found = next(each for each in reading.faults if each.rule == sample.rule)
    line, column, length = sample.place
    assert (found.position.line, found.position.column) == (line, column)
    if "\n" not in sample.marked.partition("«")[2].partition("»")[0]:
        assert found.position.length == length
    assert sample.says in found.message
    assert sample.hint in found.hint
    assert found.severity is RULES[sample.rule].severity
    assert reading.valid == (found.severity is Severity.WARNING)


@pytest.mark.parametrize("sample", samples.ALL, ids=lambda each: each.rule)
def test_the_official_message_goes_with_it(sample: Sample) -> None:
    told = official_output(read(sample.text.encode()).faults)
    if sample.official.startswith("[file content]: ") and sample in samples.YAML:
        assert told == sample.official.removeprefix("[file content]: ")
    elif sample.official:
        assert sample.official in told.split("\n")
    elif RULES[sample.rule].severity is Severity.WARNING:
        assert told == ""


def test_no_rule_is_without_a_sample() -> None:
    shown = {sample.rule for sample in samples.ALL}
    elsewhere = {"specification-missing", "specification-unreadable", "not-utf-8"}
    assert shown | elsewhere == {*YAML, *SHAPE, *RELATIONS, *ADVICE}
    assert RULES.keys() == shown | elsewhere | STRUCTURE.keys()


@pytest.mark.parametrize(
    "text",
    [samples.SERVICE, samples.JOB.format(schedule="'@every 5m'"), samples.MERCHANT_CENTER],
    ids=["service", "job", "merchant-center"],
)
def test_a_good_file_has_no_fault(text: str) -> None:
    reading = read(text.encode())
    assert reading.faults == ()
    assert reading.valid


def test_a_file_that_is_not_utf_8_is_taken_with_a_warning() -> None:
    reading = read(samples.SERVICE.encode() + "# größe".encode("latin-1"))
    assert reading.valid
    assert [(each.rule, each.position.line, each.position.column) for each in reading.faults] == [
        ("not-utf-8", 5, 5)
    ]


def test_every_unknown_key_is_told_and_the_official_line_only_once() -> None:
    reading = read((samples.SERVICE + "    memory: 1\n    cpu: 2\n").encode())
    assert [each.position.line for each in reading.faults] == [5, 6]
    assert official_output(reading.faults) == (
        "[deployAs.0]: Unrecognized key(s) in object: 'memory', 'cpu'"
    )


def test_keys_that_look_like_indexes_come_first_as_in_javascript() -> None:
    reading = read((samples.SERVICE + "    b: 1\n    10: 1\n    2: 1\n    012: 1\n").encode())
    assert official_output(reading.faults) == (
        "[deployAs.0]: Unrecognized key(s) in object: '2', '10', '12', 'b'"
    )


def test_comparisons_that_the_official_validator_does_not_come_to_are_warnings() -> None:
    """A missing description ends what it asks of the configuration and of the file."""
    text = (
        samples.configured("      standardConfiguration: [{key: AB, description: d}, {key: AB}]\n")
        + "  - {name: my-service, applicationType: assets}\n"
    )
    reading = read(text.encode())
    assert [(each.rule, each.severity.value) for each in reading.faults] == [
        ("missing", "Error"),
        ("duplicate-key", "Warning"),
        ("duplicate-name", "Warning"),
    ]
    assert official_output(reading.faults) == (
        "[deployAs.0.configuration.standardConfiguration.1.description]: Required"
    )
    assert "sees this when the other faults are mended" in reading.faults[1].hint


def test_a_key_of_the_wrong_form_does_not_hide_that_names_repeat() -> None:
    text = samples.SERVICE + "    x: 1\n  - {name: my-service, applicationType: assets}\n"
    assert [each.severity.value for each in read(text.encode()).faults] == ["Error", "Error"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("standardConfigurations", "standardConfiguration"),
        ("standard_configuration", "standardConfiguration"),
        ("secureConfiguration", "securedConfiguration"),
    ],
)
def test_the_nearest_name_is_proposed(written: str, meant: str) -> None:
    (fault,) = read(samples.configured(f"      {written}: []\n").encode()).faults
    assert fault.hint == f"did you mean `{meant}`?"


def test_a_name_that_resembles_nothing_gets_the_list() -> None:
    (fault,) = read((samples.SERVICE + "zzz: 1\n").encode()).faults
    assert fault.hint == "known here: `inheritAs`, `deployAs`"
