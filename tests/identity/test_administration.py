"""Projects and API Clients by command: made, refused, listed, and noted in the audit log.

The commands run in the test's own process: a process for each would take half a second.
"""

import getpass
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from connectory.cli.main import main
from connectory.contract.scalars import Region
from connectory.identity.model import RESERVED_PROJECT_KEYS
from tests.harness import Installation
from tests.identity.conftest import Platform

SCOPES = (
    "manage_project, manage_connectors, view_connectors, manage_connectors_deployments,"
    " view_connectors_deployments, manage_api_clients"
)
IN_OHIO = ("--region", "us-east-2.aws")


@dataclass
class Console:
    """Where commands on one installation are typed, and what they print is read."""

    installation: Installation
    printed: pytest.CaptureFixture[str]

    def run(self, *arguments: str, expect: int = 0) -> tuple[str, str]:
        """What a command writes to standard output and to standard error."""
        status = 0
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CONNECTORY_DATA", str(self.installation.data))
            environment.setenv("CONNECTORY_DATABASE_URL", self.installation.database_url)
            try:
                main(list(arguments))
            except SystemExit as ended:
                status = int(ended.code or 0)
        output, errors = self.printed.readouterr()
        assert status == expect, f"{arguments}: {output}{errors}"
        return output, errors

    def says(self, *arguments: str) -> str:
        output, errors = self.run(*arguments)
        assert errors == ""
        return output

    def json(self, *arguments: str) -> Any:
        return json.loads(self.says(*arguments, "--json"))

    def refusal(self, *arguments: str, status: int = 1) -> str:
        """The one line that a command says which cannot do what it was asked."""
        output, errors = self.run(*arguments, expect=status)
        assert output == ""
        assert errors.startswith("connectory: ")
        assert errors.count("\n") == 1
        return errors.removeprefix("connectory: ").strip()


@pytest.fixture
def console(installation: Installation, capsys: pytest.CaptureFixture[str]) -> Console:
    """On an empty installation."""
    return Console(installation, capsys)


@pytest.fixture
def shared_console(platform: Platform, capsys: pytest.CaptureFixture[str]) -> Console:
    """On the platform, which must stay as it is."""
    return Console(platform.installation, capsys)


# Projects


@pytest.mark.parametrize("region", [region.value for region in Region])
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_project_is_made_in_each_region(console: Console, region: str) -> None:
    made = console.json("project", "create", "my-Shop_1", "--region", region)
    assert set(made) == {"key", "region", "production", "createdAt"}
    assert (made["key"], made["region"], made["production"]) == ("my-Shop_1", region, False)
    assert recent(made["createdAt"])
    assert console.json("project", "list") == [made]


def test_projects_are_listed_by_key(console: Console) -> None:
    assert "there is no Project yet" in console.says("project", "list")
    assert console.json("project", "list") == []
    said = console.says("project", "create", "shop", *IN_OHIO, "--production")
    assert said == "created the Project shop in us-east-2.aws\n"
    console.says("project", "create", "outlet", "--region", "europe-west1.gcp")
    listed = [(each["key"], each["production"]) for each in console.json("project", "list")]
    assert listed == [("outlet", False), ("shop", True)]
    heading, *rows = console.says("project", "list").splitlines()
    assert heading.split() == ["KEY", "REGION", "PRODUCTION", "CREATED"]
    assert [row.split()[:3] for row in rows] == [
        ["outlet", "europe-west1.gcp", "no"],
        ["shop", "us-east-2.aws", "yes"],
    ]


def recent(instant: str) -> bool:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds()
    return instant.endswith("Z") and 0 <= seconds < 60


@pytest.mark.parametrize("key", ["a", "a" * 37, "größe", "a b", "a.b", "a/b", "a\n", ""])
def test_a_malformed_key_is_refused(shared_console: Console, key: str) -> None:
    said = shared_console.refusal("project", "create", key, *IN_OHIO)
    assert said.endswith(
        "cannot be a Project key: 2 to 36 letters, digits, hyphens and underscores"
    )


@pytest.mark.parametrize("key", ["connectors", "operator", "oauth", "Connectors", "OAUTH"])
def test_a_key_that_is_a_path_of_the_api_is_refused(shared_console: Console, key: str) -> None:
    assert shared_console.refusal("project", "create", key, *IN_OHIO) == (
        f"'{key}' cannot be a Project key: the API has a path of that name; choose another"
    )


def test_every_first_path_segment_that_could_be_a_key_is_reserved(platform: Platform) -> None:
    paths = platform.http.get("/openapi.json").json()["paths"]
    segments = {path.split("/")[1] for path in paths}
    could_be_keys = {each for each in segments if re.fullmatch(r"[A-Za-z0-9_-]{2,36}", each)}
    assert {"connectors", "oauth", "health"} <= could_be_keys <= RESERVED_PROJECT_KEYS


def test_a_key_is_taken_once(shared_console: Console) -> None:
    said = shared_console.refusal("project", "create", "shop", *IN_OHIO)
    assert said == "the Project 'shop' is there already"


def test_an_unknown_region_is_wrong_use(shared_console: Console) -> None:
    said = shared_console.refusal("project", "create", "other", "--region", "mars", status=2)
    assert "'mars' is not one of 'europe-west1.gcp'" in said
    assert "`connectory project create --help` shows the use" in said


# Clients


def test_a_clients_secret_is_shown_once_and_never_listed(console: Console) -> None:
    console.says("project", "create", "shop", *IN_OHIO)
    assert "there is no client" in console.says("client", "list")
    arguments = ("client", "create", "--project", "shop", "--scope", "view_connectors")
    made = console.json(*arguments)
    assert set(made) == {"clientId", "clientSecret", "scope"}
    assert re.fullmatch(r"[A-Za-z0-9]{24}", made["clientId"])
    assert re.fullmatch(r"[A-Za-z0-9]{32}", made["clientSecret"])
    assert made["scope"] == "view_connectors:shop"
    readable = console.says(*arguments)
    assert re.search(r"client secret  [A-Za-z0-9]{32}   \(shown this once\)", readable)

    listed = console.json("client", "list")
    assert len(listed) == 2
    assert set(listed[0]) == {"clientId", "projectKey", "scope", "createdAt"}
    assert listed[0]["clientId"] == made["clientId"]
    assert made["clientSecret"] not in console.says("client", "list")


def test_clients_are_listed_by_project_and_say_that_they_are_revoked(console: Console) -> None:
    made = {}
    for key in ("shop", "outlet"):
        console.says("project", "create", key, *IN_OHIO)
        client = console.json("client", "create", "--project", key, "--scope", "manage_project")
        made[key] = client["clientId"]
    said = console.says("client", "revoke", made["shop"])
    assert said == f"revoked the client {made['shop']} and all its tokens\n"
    (listed,) = console.json("client", "list", "--project", "shop")
    assert listed["clientId"] == made["shop"]
    assert recent(listed["revokedAt"])
    heading, *rows = console.says("client", "list").splitlines()
    assert heading.split() == ["CLIENT", "PROJECT", "STATE", "SCOPE"]
    assert [row.split() for row in rows] == [
        [made["shop"], "shop", "revoked", "manage_project:shop"],
        [made["outlet"], "outlet", "active", "manage_project:outlet"],
    ]


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ("", f"a client needs a scope; the scopes are {SCOPES}"),
        ("view_orders", f"'view_orders' is not a scope; the scopes are {SCOPES}"),
        ("view_connectors:outlet", "'view_connectors:outlet' is not on the Project 'shop'"),
    ],
)
def test_a_client_is_not_made_with_a_scope_that_it_cannot_have(
    shared_console: Console, scope: str, why: str
) -> None:
    before = shared_console.json("client", "list")
    arguments = ("client", "create", "--project", "shop", "--scope", scope)
    assert shared_console.refusal(*arguments) == why
    assert shared_console.json("client", "list") == before


def test_a_client_belongs_to_a_project_that_is_there(shared_console: Console) -> None:
    arguments = ("client", "create", "--project", "nowhere", "--scope", "manage_project")
    assert shared_console.refusal(*arguments) == (
        "there is no Project 'nowhere'; there are: outlet, shop"
        " (`connectory project create` makes one)"
    )


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_a_client_that_is_not_there_or_ended_cannot_be_changed(
    platform: Platform, shared_console: Console, command: str
) -> None:
    assert shared_console.refusal("client", command, "nobody") == (
        "there is no client 'nobody'; `connectory client list` shows those there are"
    )
    ended = platform.client().client_id
    shared_console.says("client", "revoke", ended)
    assert shared_console.refusal("client", command, ended) == f"the client '{ended}' is revoked"


@pytest.mark.parametrize(
    "arguments",
    [
        ("client", "create"),
        ("client", "create", "--project", "shop"),
        ("client", "rotate"),
        ("client", "rotate", "abc", "--overlap-hours", "-1"),
        ("client", "destroy", "abc"),
        ("project", "create"),
        ("project", "create", "other"),
        ("project", "list", "extra"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_wrong_use_ends_with_2_and_says_where_the_use_is_shown(
    shared_console: Console, arguments: tuple[str, ...]
) -> None:
    assert "--help` shows the use" in shared_console.refusal(*arguments, status=2)


# The audit log


def test_each_act_is_in_the_audit_log_and_what_was_refused_is_not(console: Console) -> None:
    assert "nothing was done yet" in console.says("audit")
    console.says("project", "create", "shop", *IN_OHIO, "--production")
    console.refusal("project", "create", "oauth", *IN_OHIO)
    arguments = ("client", "create", "--project", "shop", "--scope")
    client_id = console.json(*arguments, "view_connectors")["clientId"]
    console.refusal(*arguments, "all")
    console.says("client", "rotate", client_id, "--overlap-hours", "0")
    console.says("client", "revoke", client_id)
    console.refusal("client", "revoke", client_id)

    acts: list[dict[str, Any]] = console.json("audit")
    instants = [act["at"] for act in acts]
    assert all(map(recent, instants))
    assert instants == sorted(instants, reverse=True), "newest first"
    assert {act["actor"] for act in acts} == {f"command:{getpass.getuser()}"}
    (rotation,) = (act for act in acts if act["action"] == "identity:client:rotate")
    assert rotation["details"] == {"oldSecretHoldsUntil": rotation["at"]}
    assert [(act["action"], act["subject"], act["details"]) for act in acts[::-1]] == [
        ("identity:project:create", "shop", {"region": "us-east-2.aws", "production": True}),
        ("identity:client:create", client_id, {"project": "shop", "scope": "view_connectors"}),
        ("identity:client:rotate", client_id, rotation["details"]),
        ("identity:client:revoke", client_id, {}),
    ]
    heading, newest = console.says("audit", "--limit", "1").splitlines()
    assert heading.split() == ["WHEN", "WHO", "WHAT", "ON", "DETAILS"]
    assert newest.split()[1:] == [acts[0]["actor"], "identity:client:revoke", client_id]
    assert console.json("audit", "--limit", "2") == acts[:2]
