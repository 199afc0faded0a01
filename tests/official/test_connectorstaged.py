"""The unchanged official CLI takes a ConnectorStaged along its ways, those that fail as well."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.official.machine import Machine, complaint, logged_in
from tests.staging.repositories import GOOD, Repositories

CREATE = "--creator-email ada@acme.example --repository-tag v1.0.0"
#: What Stripe documents as the form of its keys, in a file that is part of the source.
LEAK = {"service/keys.js": f"const key = 'sk_live_{'4eC39HqLyjWDarjtT1zdp7dc'}';\n"}


@dataclass
class Creator:
    """Somebody with the official CLI, and repositories that the server reaches."""

    machine: Machine
    repositories: Repositories
    http: httpx.Client

    def fails(self, arguments: str) -> str:
        return complaint(self.machine.cli(f"connect connectorstaged {arguments}"))

    def does(self, arguments: str) -> str:
        done = self.machine.cli(f"connect connectorstaged {arguments}")
        assert done.returncode == 0, done.stderr
        return re.sub(r"\x1b\[\d+m", "", done.stdout)

    def create(self, key: str) -> None:
        """Make a ConnectorStaged without the CLI, which takes a second to start."""
        repository = {"url": self.repositories.url(), "tag": "v1.0.0"}
        about = {"name": key, "creator": {"email": "ada@acme.example"}}
        draft = {"key": key, "repository": repository, **about}
        assert self.http.post("/connectors/drafts", json=draft).status_code == 201

    def get(self, key: str) -> dict[str, Any]:
        answer = self.http.get(f"/connectors/drafts/key={key}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def creator(
    packages: Path, tmp_path_factory: pytest.TempPathFactory, rules_cache: Path
) -> Iterator[Creator]:
    folder = tmp_path_factory.mktemp("creator")
    (folder / "data").mkdir()
    (folder / "data" / "checks").symlink_to(rules_cache.parent)
    repositories = Repositories(folder / "repositories", "acme")
    repositories.tag("v1.0.0")
    with logged_in(folder, packages, repositories.settings) as (machine, http, _):
        yield Creator(machine, repositories, http)


def test_every_flag_of_create_and_update_arrives(creator: Creator) -> None:
    creator.does(
        f"create --key flags --name flags --repository-url {creator.repositories.url()} {CREATE}"
        " --description ü --integration-types giftcard,psp --private-projects us-east-2.aws:two"
        " --supported-regions europe-west1.gcp,us-east-2.aws",
    )
    made = creator.get("flags")
    assert (made["version"], made["name"], made["description"]) == (1, "flags", "ü")
    assert made["creator"] == {"email": "ada@acme.example"}
    assert made["repository"] == {"url": creator.repositories.url(), "tag": "v1.0.0"}
    assert made["integrationTypes"] == ["giftcard", "psp"]
    assert made["supportedRegions"] == ["europe-west1.gcp", "us-east-2.aws"]
    assert made["privateProjects"] == ["us-east-2.aws:two"]

    told = creator.does(
        f"update --id {made['id']} --name Other --description o --creator-email b@acme.example"
        " --repository-url git@github.com:acme/connector.git --integration-types erp"
        " --supported-regions us-central1.gcp --private-projects us-east-2.aws:three"
    )
    assert "has been successfully updated. (version: 2)" in told
    new = creator.get("flags")
    assert (new["name"], new["description"], new["integrationTypes"]) == ("Other", "o", ["erp"])
    assert new["creator"] == {"email": "b@acme.example"}
    assert new["repository"] == {"url": "git@github.com:acme/connector.git", "tag": "v1.0.0"}
    assert new["supportedRegions"] == ["us-central1.gcp"]
    assert new["privateProjects"] == ["us-east-2.aws:three"]


def test_the_list_is_sorted_and_paged(creator: Creator) -> None:
    for key in ("list-one", "list-two"):
        creator.create(key)
    newest = creator.does("list --sort=-createdAt --limit 2")
    assert re.findall(r" (\S+) +list-\w+ Draft", newest) == ["list-two", "list-one"]
    assert re.search(r"\nShowing items 1–2 of \d+\.$", newest.rstrip())
    second = creator.does("list --sort=-createdAt --limit 1 --offset 1")
    assert re.findall(r" (\S+) +list-\w+ Draft", second) == ["list-one"]


@pytest.mark.parametrize(
    ("repository", "tag", "reason"),
    [
        ("acme/none", "v1.0.0", "the operator's mirror does not have this repository"),
        ("acme/connector", "v9", "the repository has no tag v9: push it, or look at its spelling"),
    ],
)
def test_a_repository_that_is_not_reached_is_told_with_the_reason(
    creator: Creator, repository: str, tag: str, reason: str
) -> None:
    told = creator.fails(
        f"create --name x --creator-email a@b.example --repository-tag {tag}"
        f" --repository-url https://github.com/{repository}.git"
    )
    assert "\n- Code: GitRepositoryNotReachable\n" in told
    assert f"\nDetails: {reason}\n" in told


def test_preview_waits_for_its_checks_and_shows_their_report(creator: Creator) -> None:
    """The CLI's `preview` is this hidden command, and then a Deployment."""
    creator.create("preview")
    told = creator.does("validate --key preview")
    assert "\nInformation\nConnector specification file validation check succeeded\n" in told
    assert told.endswith("and Git tag 'v1.0.0' succeeded!\n")
    assert creator.get("preview")["isPreviewable"] == "true"


def test_a_publish_that_fails_shows_what_is_wrong(creator: Creator) -> None:
    creator.repositories.tag("v1.0.0", {**GOOD, **LEAK}, name="leak")
    url = creator.repositories.url("leak")
    creator.does(f"create --key leak --name leak --repository-url {url} {CREATE}")
    done = creator.machine.cli("connect connectorstaged publish --key leak")
    assert "\nError\nSecrets in the source check failed\n" in done.stdout
    assert "service/keys.js" in done.stdout
    assert complaint(done).startswith("Publishing failed for the Connector with ID ")
    assert creator.get("leak")["status"] == "Failed"


def test_certify_hands_it_to_the_reviewers_who_are_asked_once(creator: Creator) -> None:
    creator.create("certify")
    assert "is under review by our certification team" in creator.does("certify --key certify")
    told = creator.fails("certify --key certify")
    assert "- Code: ConnectorStagedInCertification\n" in told
