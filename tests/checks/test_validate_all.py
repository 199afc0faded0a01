"""`connectory validate --all`: the checks of a publish, before anything is published."""

import json
import time
from pathlib import Path

import msgspec
import pytest

from connectory.staging.checks.model import Result
from tests.checks.advisories import advisory, fixed, introduced, package_lock, write_folder
from tests.checks.conftest import CLIENT_SECRET, GITHUB_TOKEN
from tests.harness import Installation, free_port
from tests.staging.repositories import CONNECT_YAML, GOOD, Repositories

POLICY = """
[vulnerabilities]
errors = ["medium", "high", "critical"]

[[allow]]
rule = "GHSA-2"
until = 2099-12-31
reason = "not reachable"
"""

#: Something of everything: an Error and a Warning of each check.
MIXED = GOOD | {
    "connect.yaml": CONNECT_YAML
    + "  - name: gone\n    applicationType: service\n    endpoint: /gone\n",
    ".gitignore": ".env\n",
    "service/package.json": json.dumps({"dependencies": {"left-pad": "^1"}}),
    "service/package-lock.json": json.dumps(package_lock("left-pad@1.3.0", "acme@2.0.0"), indent=1),
    "service/keys.js": f"// a\nlet t = '{GITHUB_TOKEN}'\n",
    "service/tests/keys.js": f"let t = '{GITHUB_TOKEN}'\n",
    "service/requirements.txt": "left-pad==1.0\n",
}


@pytest.fixture
def settings(tmp_path):
    folder = write_folder(
        tmp_path / "advisories",
        advisory("GHSA-1", "left-pad", introduced(), fixed("1.3.1")),
        advisory("GHSA-2", "acme", introduced(), fixed("2.1.0")),
    )
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    return {"CONNECTORY_ADVISORIES": str(folder), "CONNECTORY_CHECK_POLICY": str(policy)}


@pytest.fixture
def installation(tmp_path, settings, rules_cache, monkeypatch):
    """Without a data folder and a database; the compiled rules are those of the other tests."""
    cache = tmp_path / "cache" / "connectory"
    cache.mkdir(parents=True)
    (cache / "checks").symlink_to(rules_cache.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Installation(tmp_path / "data", settings=settings)


@pytest.fixture
def repositories(tmp_path):
    return Repositories(tmp_path / "repositories", "acme")


@pytest.fixture
def checkout(repositories):
    return repositories.folder / "acme" / "connector.git"


def judged(installation, path, expect):
    done = installation.run("validate", "--all", "--json", str(path), expect=expect)
    [line] = done.stdout.splitlines()
    return json.loads(line)


def test_a_good_connector_is_valid_and_says_what_was_skipped(installation, repositories, checkout):
    repositories.tag("v1.0.0")
    told = installation.run("validate", "--all", str(checkout)).stdout.splitlines()
    assert told == [
        "Connector structure check succeeded",
        "Secrets in the source check succeeded",
        "SAST and SCA analysis check succeeded",
        "Connector image build check skipped",
        "  the applications were not built: a preview or a publish does that",
        "",
        f"{checkout}/connect.yaml: valid",
    ]


def test_findings_are_shown_to_people_and_fail_it(installation, repositories, checkout):
    repositories.tag("v1.0.0", MIXED)
    done = installation.run("validate", "--all", str(checkout), expect=1)
    assert "service/keys.js:2: error[betterleaks.github-pat]" in done.stdout
    assert "left-pad 1.3.0: upgrade to 1.3.1" in done.stdout
    assert "acme 2.0.0: upgrade to 2.1.0" in done.stdout
    assert "(allowed until 2099-12-31: not reachable)" in done.stdout
    assert "not valid" in done.stdout
    assert GITHUB_TOKEN not in done.stdout


def test_what_git_ignores_is_not_looked_at(installation, repositories, checkout):
    repositories.tag("v1.0.0", GOOD | {".gitignore": ".env\n"})
    (checkout / "service" / ".env").write_text(f"CTP_CLIENT_SECRET={CLIENT_SECRET}\n")
    assert judged(installation, checkout, 0)["valid"] is True
    # One that is not ignored is what a commit of everything would have.
    (checkout / "service" / "env").write_text(f"CTP_CLIENT_SECRET={CLIENT_SECRET}\n")
    assert judged(installation, checkout, 1)["valid"] is False


def test_outside_of_git_everything_is_looked_at(installation, tmp_path):
    for path, text in GOOD.items():
        (tmp_path / "plain" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / path).write_text(text)
    (tmp_path / "plain" / ".env").write_text(f"CTP_CLIENT_SECRET={CLIENT_SECRET}\n")
    told = judged(installation, tmp_path / "plain", 1)
    assert [finding["path"] for finding in told["checks"][1]["findings"]] == [".env"]


def test_checks_wait_for_a_valid_file(installation, repositories, checkout):
    repositories.tag("v1.0.0", GOOD | {"connect.yaml": "deployAs: 1\n"})
    told = judged(installation, checkout, 1)
    assert (told["valid"], told["checks"]) == (False, [])
    text = installation.run("validate", "--all", str(checkout), expect=1).stdout
    assert "the checks were not run" in text


def test_a_file_alone_cannot_be_checked(installation, repositories, checkout):
    repositories.tag("v1.0.0")
    done = installation.run("validate", "--all", str(checkout / "connect.yaml"), expect=2)
    assert "a folder" in done.stderr


def test_a_wrong_policy_is_told_in_one_line(installation, repositories, checkout, settings):
    repositories.tag("v1.0.0")
    Path(settings["CONNECTORY_CHECK_POLICY"]).write_text("[secret]\n")
    installation.data.mkdir()
    for command in (["validate", "--all", str(checkout)], ["serve", "--port", str(free_port())]):
        done = installation.run(*command, expect=1)
        assert done.stderr.startswith("connectory: the check policy ")
        assert done.stderr.endswith("is wrong: Object contains unknown field `secret`\n")
        assert done.stderr.count("\n") == 1


def test_the_server_finds_the_same_in_the_same_commit(
    tmp_path, installation, repositories, checkout, rules_cache
):
    """Every finding, in the same words and the same order, as report entries of the server."""
    repositories.tag("v1.0.0", MIXED)
    (checkout / "service" / ".env").write_text(f"CTP_CLIENT_SECRET={CLIENT_SECRET}\n")
    here = [
        (result.entry_title, result.entry_type, result.entry_message)
        for result in msgspec.convert(
            judged(installation, checkout, 1)["checks"], tuple[Result, ...]
        )
    ]
    installation.data.mkdir()
    (installation.data / "checks").symlink_to(rules_cache.parent)
    project = installation.project("shop")
    credentials = installation.credentials("shop")
    with (
        # The code is the test's own: it is built also where nothing confines it well.
        installation.serving(
            settings={**repositories.settings, "CONNECTORY_RUN_UNCONFINED": "on"}
        ) as server,
        server.client(credentials) as http,
    ):
        draft = {
            "name": "Acme",
            "creator": {"email": "connect@acme.example"},
            "repository": {"url": repositories.url(), "tag": "v1.0.0"},
        }
        made = http.post("/connectors/drafts", json=draft)
        assert made.status_code == 201, made.text
        path = f"/connectors/drafts/{made.json()['id']}"
        update = {"version": made.json()["version"], "actions": [{"action": "updatePreviewable"}]}
        assert http.post(path, json=update).status_code == 201
        deadline = time.monotonic() + 90
        while (found := http.get(path).json())["isPreviewable"] == "pending":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert project.endswith(":shop")
    assert found["isPreviewable"] == "false"
    there = [
        (entry["title"], entry["type"], entry.get("message", ""))
        for entry in found["previewableReport"]["entries"]
    ]
    assert [title for title, _, _ in here] == [
        "Connector structure check failed",
        "Secrets in the source check failed",
        "SAST and SCA analysis check failed",
        "Connector image build check skipped",
    ]
    # What the command cannot do, the server does: it builds.
    assert there[-4:-1] == here[:-1]
    assert there[-1][0] == "Connector image build check failed"
