"""The unchanged official CLI logs in here, and reads what this server serves."""

import json
import re

import httpx
import pytest

from tests.official.connectors import FULL, PRIVATE
from tests.official.machine import Machine, complaint


def test_a_client_logs_in_and_is_shown_with_its_project_and_scopes(machine: Machine) -> None:
    done = machine.login()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Authentication successful\n"
    assert machine.cli("auth whoami").stdout.splitlines() == [
        f"Logged in as {machine.shop.credentials.client_id}",
        "Project key: shop",
        "Region: europe-west1.gcp",
        "Scopes: manage_project:shop",
    ]
    kept = json.loads(machine.login_file.read_text())
    assert kept["clientId"] == machine.shop.credentials.client_id


def test_a_wrong_secret_is_told_as_such(machine: Machine) -> None:
    done = machine.login(secret="x" * 32)
    assert complaint(done) == "Authentication failed: Invalid client credentials."
    assert not machine.login_file.exists()


def test_the_project_of_another_client_is_told_as_such(machine: Machine) -> None:
    assert complaint(machine.login(project="other")) == (
        'Authentication failed: Project key "other" is not present in the token scopes.'
    )


@pytest.mark.parametrize(
    "reference", [f"--connector-id {FULL['id']}", f"--connector-key {FULL['key']}"]
)
def test_a_deployment_begins_with_reading_its_connector(logged_in: Machine, reference: str) -> None:
    """The CLI holds `--configuration` against the Connector before it sends anything."""
    create = f"connect deployment create {reference} --region europe-west1.gcp"
    assert "NOWHERE" in complaint(logged_in.cli(f"{create} --configuration NOWHERE=1"))
    # TENANT is a global key of this Connector, so this one goes on to the Deployment itself; that
    # wants an API Client, which this token may not make.
    assert "Code: AuthorizationError" in complaint(
        logged_in.cli(f"{create} --configuration TENANT=1")
    )


def test_an_unknown_connector_is_told_as_such(logged_in: Machine) -> None:
    done = logged_in.cli("connect deployment create --connector-key nobody --region us-east-2.aws")
    assert complaint(done).startswith(
        "The Resource with key 'nobody' was not found.\n"
        "\n"
        "Details:\n"
        "- Code: ResourceNotFound\n"
        "Message: The Resource with key 'nobody' was not found.\n"
        "\n"
        "Correlation ID: commercetools-cli-"
    )


@pytest.mark.parametrize(
    "command",
    [
        "connectorstaged describe --key plain",
        f"connectorstaged describe --id {PRIVATE['id']}",
        "deployment describe --key plain",
        "deployment logs --key plain",
    ],
)
def test_what_is_not_there_is_refused_with_an_id_that_the_log_has(
    logged_in: Machine, command: str
) -> None:
    told = complaint(logged_in.cli(f"connect {command}"))
    found = re.fullmatch(
        r".+\n\nDetails:\n- Code: (\w+)\nMessage: .+\n(?:Details: .+\n)?\nCorrelation ID: (\S+)",
        told,
    )
    assert found, told
    assert found[1] in ("ResourceNotFound", "InvalidPathParam")
    assert found[2] in logged_in.shop.server.log.read_text()


def test_a_token_that_ended_is_replaced_without_a_new_login(machine: Machine) -> None:
    machine.login()
    token = json.loads(machine.login_file.read_text())["accessToken"]
    client = (machine.shop.credentials.client_id, machine.shop.credentials.client_secret)
    with httpx.Client(base_url=machine.shop.server.url, auth=client) as api:
        assert api.post("/oauth/token/revoke", data={"token": token}).status_code == 200
        assert api.post("/oauth/introspect", data={"token": token}).json() == {"active": False}
    done = machine.cli("connect deployment create --connector-key nobody --region us-east-2.aws")
    assert complaint(done).startswith("The Resource with key 'nobody' was not found.")
