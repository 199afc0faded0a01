"""Operators by command: made, listed and revoked; noted in the audit log without their tokens."""

import re

import pytest

from connectory.database.engine import Database
from connectory.identity import store
from connectory.kernel import ids
from tests.harness import Installation
from tests.identity.test_administration import Console, recent


@pytest.fixture
def console(installation: Installation, capsys: pytest.CaptureFixture[str]) -> Console:
    """On an empty installation."""
    return Console(installation, capsys)


def is_good(database: Database, token: str) -> bool:
    """Whether a token opens /operator/; the endpoints ask this very function."""
    with database.read() as connection:
        return store.find_operator_grant(connection, ids.digest(token)) is not None


def test_an_operators_token_is_shown_once_and_never_listed(
    console: Console, database: Database
) -> None:
    assert "there is no operator" in console.says("operator", "list")
    assert console.json("operator", "list") == []
    made = console.json("operator", "create", "ann@acme.example")
    assert set(made) == {"name", "token"}
    assert made["name"] == "ann@acme.example"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", made["token"])
    assert is_good(database, made["token"])
    readable = console.says("operator", "create", "ben")
    assert re.search(r"^token     [A-Za-z0-9_-]{43}   \(shown this once\)$", readable, re.MULTILINE)

    listed = console.json("operator", "list")
    assert [set(each) for each in listed] == [{"name", "createdAt"}] * 2
    assert all(recent(each["createdAt"]) for each in listed)
    heading, *rows = console.says("operator", "list").splitlines()
    assert heading.split() == ["OPERATOR", "STATE", "CREATED"]
    assert [row.split()[:2] for row in rows] == [["ann@acme.example", "active"], ["ben", "active"]]


def test_a_name_holds_one_token_which_a_revocation_ends_for_good(
    console: Console, database: Database
) -> None:
    first = console.json("operator", "create", "ann")["token"]
    assert console.refusal("operator", "create", "ann") == (
        "the operator 'ann' is there already; `connectory operator revoke ann` ends its token"
    )
    assert is_good(database, first)
    said = console.says("operator", "revoke", "ann")
    assert said == "revoked the token of the operator ann\n"
    assert not is_good(database, first)
    assert recent(console.json("operator", "list")[0]["revokedAt"])
    assert console.refusal("operator", "revoke", "ann") == "the operator 'ann' is revoked"
    assert console.refusal("operator", "revoke", "nobody") == (
        "there is no operator 'nobody'; `connectory operator list` shows those there are"
    )
    second = console.json("operator", "create", "ann")["token"]
    assert is_good(database, second)
    assert not is_good(database, first)
    assert [each["name"] for each in console.json("operator", "list")] == ["ann"]

    acts = console.json("audit")[::-1]
    assert [(act["action"], act["subject"], act["details"]) for act in acts] == [
        ("identity:operator:create", "ann", {}),
        ("identity:operator:revoke", "ann", {}),
        ("identity:operator:create", "ann", {}),
    ]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["", "-a", "@ann", "a b", "ann\n", "größe", "a:b", "a" * 65])
def test_a_malformed_name_is_refused(console: Console, name: str) -> None:
    said = console.refusal("operator", "create", "--", name)
    assert "cannot be the name of an operator: 1 to 64 letters, digits and . _ @ + -" in said
    assert console.json("operator", "list") == []
