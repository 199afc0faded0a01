"""The policy file: what it can say, and what is said of one that is wrong."""

import re
from datetime import date
from pathlib import Path

import pytest
from msgspec import structs

from connectory.settings import Settings
from connectory.staging.checks import PolicyError, checks
from connectory.staging.checks.model import Finding, Severity
from connectory.staging.checks.policy import Allowance, Policy, read_policy, repository_allowances
from tests.checks.conftest import TODAY

WHOLE = """
[secrets]
run = false
errors = ["high", "critical"]

[vulnerabilities]
run = true
errors = ["critical"]
only_with_fix = false
malicious = false
development = false

[[allow]]
rule = "GHSA-1"
package = "left-pad"
path = "service/*"
until = 2027-03-01
reason = "not reachable"
"""


def write(tmp_path, text):
    file = tmp_path / "policy.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_an_empty_file_is_the_default(tmp_path):
    assert read_policy(write(tmp_path, "")) == read_policy(None) == Policy()


def test_the_default_is_that_of_the_official_validator():
    """HIGH and CRITICAL with a fix, in development dependencies too."""
    rules = Policy().vulnerabilities
    assert (rules.errors, rules.only_with_fix, rules.development) == (
        *({Severity.HIGH, Severity.CRITICAL}, True, True),
    )


def test_a_whole_file_is_read(tmp_path):
    policy = read_policy(write(tmp_path, WHOLE))
    assert policy.secrets.run is False
    assert policy.secrets.errors == {Severity.HIGH, Severity.CRITICAL}
    assert policy.vulnerabilities.errors == {Severity.CRITICAL}
    assert not policy.vulnerabilities.only_with_fix
    assert not policy.vulnerabilities.malicious
    assert not policy.vulnerabilities.development
    assert policy.allow == (
        Allowance(
            rule="GHSA-1",
            package="left-pad",
            path="service/*",
            until=date(2027, 3, 1),
            reason="not reachable",
        ),
    )


WRONG = {
    "no TOML": ("[secrets", "Expected ']'"),
    "an unknown table": ("[secret]\n", "unknown field `secret`"),
    "an unknown key": ("[secrets]\nrnu = true\n", "unknown field `rnu`"),
    "an unknown severity": ('[secrets]\nerrors = ["grave"]\n', "Invalid enum value 'grave'"),
    "no day": ('[[allow]]\nrule = "a"\nreason = "b"\n', "missing required field `until`"),
    "a day as text": (
        '[[allow]]\nrule = "a"\nreason = "b"\nuntil = "soon"\n',
        "Invalid RFC3339 encoded date - at `$.allow[0].until`",
    ),
    "too many allowances": (
        '[[allow]]\nrule = "a"\nreason = "b"\nuntil = 2027-01-01\n' * 501,
        "length <= 500",
    ),
    "too long a pattern": (
        f'[[allow]]\nrule = "a"\nreason = "b"\nuntil = 2027-01-01\npath = "{"*a" * 200}"\n',
        "length <= 300",
    ),
    "no UTF-8": (b"\xff", "utf-8"),
    "too deep": ("a = " + "[" * 100_000, "nested too deeply"),
    "too large": ("#" * 300_000, "larger than"),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_wrong_is_told_in_one_line_with_the_file(tmp_path, how):
    text, reason = WRONG[how]
    file = write(tmp_path, text)
    with pytest.raises(PolicyError) as told:
        checks(Settings(check_policy=file), lambda: 0, tmp_path)
    assert str(told.value).startswith(f"the check policy {file} is wrong: ")
    assert reason in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(PolicyError, match="cannot be read: No such file"):
        read_policy(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("words", "covers"),
    [
        ({}, True),
        ({"until": TODAY}, True),
        ({"until": date(2027, 2, 28)}, False),
        ({"path": "service/*.js"}, True),
        ({"path": "*.js"}, True),
        ({"path": "service"}, False),
        ({"package": "left-pad"}, False),
        ({"rule": "A"}, False),
    ],
)
def test_an_allowance_covers_what_it_names(words, covers):
    finding = Finding(
        check="secrets", rule="a", severity=Severity.HIGH, path="service/src/a.js", message="x"
    )
    allowance = Allowance(**({"rule": "a", "reason": "b", "until": date(2028, 1, 1)} | words))
    assert allowance.covers(finding, TODAY) is covers


def blocks(language):
    page = (Path(__file__).parents[2] / "docs/how-to/checks-and-policy.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_page_shows_the_default_and_one_allowance(tmp_path):
    [shown] = blocks("toml")
    policy = read_policy(write(tmp_path, shown))
    assert len(policy.allow) == 1
    assert structs.replace(policy, allow=()) == Policy()


def test_the_page_shows_a_file_of_a_repository():
    [shown] = blocks("json")
    [allowance] = repository_allowances(shown.encode())
    assert allowance.rule == "connectory.client-secret"
