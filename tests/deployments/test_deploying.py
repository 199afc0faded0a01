"""What becomes of a Deployment: its code answers at a URL, or its report says why not.

All with real builds and real processes, confined as this machine allows.
"""

import time
from typing import Any

import httpx
import pytest

from tests.deployments.shops import Shop, codes, entries, example, url_of
from tests.staging.conftest import Creator, Platform


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    """The embedded database; what is deployed does not mind which one it is."""
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


@pytest.fixture(scope="module")
def hosted(platform: Platform) -> Any:
    """One Project for tests that look at what is deployed and change nothing that others see."""
    with platform.creator() as made:
        yield Shop(made, platform)


def call(url: str, **options: Any) -> httpx.Response:
    return httpx.get(url, timeout=30, trust_env=False, **options)


def test_the_code_of_the_repository_answers_at_the_url(shop: Shop) -> None:
    connector = shop.published(example("hard-coded-port"))
    values = {
        "applicationName": "service",
        "standardConfiguration": [{"key": "GREETING", "value": "Servus"}],
        "securedConfiguration": [{"key": "API_KEY", "value": "key-of-acme"}],
    }
    found = shop.deployed(connector, key="live", configurations=[values])
    assert url_of(found).endswith("/service")
    answer = call(url_of(found))
    assert answer.json() == {"greeting": "Servus", "secret": "given", "method": "GET"}
    assert call(url_of(found).removesuffix("/service") + "/else").status_code == 404
    assert [(each["title"], each["application"]) for each in entries(found)[-2:]] == [
        ("Application started", "service"),
        ('Script for "postDeploy" not defined', "service"),
    ]
    assert shop.logged(found["id"], "GET /service")[0]["type"] == "APPLICATION_JSON"
    assert shop.logged(found["id"], "requestUrl")[0]["type"] == "HTTP_REQUEST"
    shop.delete(found["id"])
    with pytest.raises(httpx.TransportError):
        call(url_of(found))


def test_two_deployments_on_a_hard_coded_port_run_side_by_side(shop: Shop) -> None:
    connector = shop.published(example("hard-coded-port"))
    found = []
    for greeting in ("One", "Two"):
        values = {
            "applicationName": "service",
            "standardConfiguration": [{"key": "GREETING", "value": greeting}],
        }
        found.append(shop.deployed(connector, configurations=[values]))
    assert [call(url_of(each)).json()["greeting"] for each in found] == ["One", "Two"]
    for each in found:
        shop.delete(each["id"])


def test_a_redeploy_keeps_url_and_values_and_builds_nothing(shop: Shop) -> None:
    connector = shop.published(example("hard-coded-port"))
    secret = {
        "applicationName": "service",
        "securedConfiguration": [{"key": "API_KEY", "value": "key-of-acme"}],
    }
    first = shop.deployed(connector, configurations=[secret])
    values = {
        "applicationName": "service",
        "standardConfiguration": [{"key": "GREETING", "value": "Again"}],
    }
    second = shop.redeploy(first["id"], configurationValues=[values])
    assert second["status"] == "Deployed"
    assert url_of(second) == url_of(first)
    assert call(url_of(second)).json() == {"greeting": "Again", "secret": "given", "method": "GET"}
    assert "Built before" in [each["title"] for each in entries(second)]
    shop.delete(first["id"])


def test_a_redeploy_that_fails_leaves_the_release_before_serving(shop: Shop) -> None:
    connector = shop.published(example("hard-coded-port"))
    first = shop.deployed(connector)
    broken = example("crash-at-start") | {
        "connect.yaml": example("hard-coded-port")["connect.yaml"]
    }
    shop.creator.repositories.tag("v2.0.0", broken, name="acme")
    repository = {"url": shop.creator.repositories.url("acme"), "tag": "v2.0.0"}
    shop.creator.update(connector["id"], {"action": "setRepository", **repository})
    assert shop.creator.publish(connector["id"])["status"] == "Published"
    kept = shop.redeploy(first["id"])
    assert (kept["status"], kept["connector"]["version"]) == ("Deployed", 1)
    failed = shop.redeploy(first["id"], updateConnector=True)
    assert (failed["status"], failed["connector"]["version"]) == ("Failed", 2)
    (error,) = entries(failed, "Error")
    assert error["title"] == "Health check for application service failed"
    assert error["application"] == "service"
    assert call(url_of(failed)).json()["greeting"] == "Hello"
    shop.delete(first["id"])


@pytest.mark.parametrize(
    ("name", "title", "said"),
    [
        ("crash-at-start", "Health check for application service failed", "exit code"),
        ("missing-folder", "Build failed", "folder"),
    ],
)
def test_a_deploy_that_fails_says_what_and_why(
    shop: Shop, name: str, title: str, said: str
) -> None:
    files = example(name)
    connector = shop.published(files, name=name) if name != "missing-folder" else unchecked(shop)
    found = shop.settled(shop.create(connector)["id"])
    assert found["status"] == "Failed"
    errors = entries(found, "Error")
    assert any(each["title"] == title and said in each["message"] for each in errors), errors
    assert "url" not in found["applications"][0]
    shop.delete(found["id"])


def unchecked(shop: Shop) -> dict[str, Any]:
    """A Connector that was imported: nothing has checked that its folders are there."""
    shop.creator.repositories.tag("v1.0.0", example("missing-folder"), name="missing")
    made = shop.creator.create(
        repository={"url": shop.creator.repositories.url("missing"), "tag": "v1.0.0"}
    )
    line = {
        "key": shop.creator.name("missing"),
        "name": "Missing",
        "integrationTypes": ["other"],
        "creator": {"email": "connect@acme.example"},
        "repository": made["repository"],
        "configurations": made["configurations"],
        "supportedRegions": [],
    }
    return shop.imported(line)


def test_what_starts_slowly_is_waited_for(hosted: Shop) -> None:
    found = hosted.deployed(hosted.published(example("slow-start"), name="slow-start"))
    assert call(url_of(found)).status_code == 200
    hosted.delete(found["id"])


def test_an_endpoint_that_does_not_match_is_the_applications_own_404(hosted: Shop) -> None:
    found = hosted.deployed(hosted.published(example("other-endpoint"), name="other-endpoint"))
    assert call(url_of(found)).status_code == 404
    hosted.delete(found["id"])


def test_applications_share_a_module_of_the_repository(hosted: Shop) -> None:
    found = hosted.deployed(hosted.published(example("file-module"), name="file-module"))
    assert call(url_of(found)).status_code == 200
    job = next(each for each in found["applications"] if each["applicationName"] == "job")
    assert job["schedule"]
    assert "url" not in job
    hosted.delete(found["id"])


def test_assets_are_served_beside_a_service(hosted: Shop) -> None:
    found = hosted.deployed(hosted.published(example("assets"), name="assets"))
    # Applications of this type can have no script, so that none is missed.
    missed = [each for each in entries(found) if "not defined" in each["title"]]
    assert [each["application"] for each in missed] == ["service"]
    page = call(url_of(found, "assets"))
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    hosted.delete(found["id"])


def test_a_generated_api_client_is_in_the_environment_and_goes_with_the_deployment(
    shop: Shop,
) -> None:
    files = example("hard-coded-port") | {
        "connect.yaml": "inheritAs:\n  apiClient:\n    scopes: [view_connectors, manage_orders]\n"
        "deployAs:\n  - name: service\n    applicationType: service\n    endpoint: /service\n",
        "service/index.js": "const names = Object.keys(process.env).filter(n => /^CTP_/.test(n));\n"
        "const env = Object.fromEntries(names.map(n => [n, process.env[n]]));\n"
        "require('node:http').createServer((q, r) => r.end(JSON.stringify(env))).listen(8080);\n",
    }
    connector = shop.published(files)
    with shop.other_client("manage_project manage_api_clients") as http:
        shop.creator.http = http
        found = shop.deployed(connector)
        environment = call(url_of(found)).json()
        client_id = found["apiClient"]["name"]
        assert found["apiClient"]["scopes"] == ["view_connectors", "manage_orders"]
        assert set(environment) == {
            "CTP_CLIENT_ID",
            "CTP_CLIENT_SECRET",
            "CTP_CLIENT_SCOPE",
            "CTP_SCOPE",
            "CTP_CLIENT_REGION",
            "CTP_PROJECT_KEY",
            "CTP_API_URL",
            "CTP_AUTH_URL",
        }
        assert (environment["CTP_CLIENT_ID"], len(client_id)) == (client_id, 24)
        secret = environment["CTP_CLIENT_SECRET"]
        assert len(secret) == 32
        token = {"grant_type": "client_credentials"}
        login = f"{shop.platform.server.url}/oauth/token"
        own = httpx.post(login, data=token, auth=(client_id, secret), trust_env=False)
        assert own.status_code == 200
        assert own.json()["scope"].startswith("view_connectors:")
        again = shop.redeploy(found["id"])
        assert again["apiClient"]["name"] == client_id
        shop.delete(found["id"])
        gone = httpx.post(login, data=token, auth=(client_id, secret), trust_env=False)
        assert gone.status_code == 401


def test_an_update_that_fails_takes_no_credentials_from_what_serves(shop: Shop) -> None:
    def files(scopes: str, source: str) -> dict[str, str]:
        yaml = f"inheritAs:\n  apiClient:\n    scopes: [{scopes}]\n"
        yaml += (
            "deployAs:\n  - name: service\n    applicationType: service\n    endpoint: /service\n"
        )
        return example("hard-coded-port") | {"connect.yaml": yaml, "service/index.js": source}

    shows = (
        "const { CTP_CLIENT_ID: id, CTP_CLIENT_SECRET: secret } = process.env;\n"
        "const told = JSON.stringify([id, secret]);\n"
        "require('node:http').createServer((q, r) => r.end(told)).listen(8080);\n"
    )
    with shop.other_client("manage_project manage_api_clients") as http:
        shop.creator.http = http
        connector = shop.published(files("view_connectors", shows))
        found = shop.deployed(connector)
        tag = {"url": shop.creator.repositories.url("acme"), "tag": "v2.0.0"}

        def logs_in(credentials: list[str]) -> bool:
            answer = httpx.post(
                f"{shop.platform.server.url}/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(credentials[0], credentials[1]),
                trust_env=False,
            )
            return answer.status_code == 200

        first = call(url_of(found)).json()
        broken = files("manage_connectors", "process.exit(3)\n")
        shop.creator.repositories.tag("v2.0.0", broken, name="acme")
        shop.creator.update(connector["id"], {"action": "setRepository", **tag})
        assert shop.creator.publish(connector["id"])["status"] == "Published"
        assert shop.redeploy(found["id"], updateConnector=True)["status"] == "Failed"
        assert call(url_of(found)).json() == first
        assert logs_in(first)
        mended = files("manage_connectors", shows)
        shop.creator.repositories.tag("v2.0.0", mended, name="acme", move=True)
        shop.creator.update(connector["id"], {"action": "setRepository", **tag})
        assert shop.creator.publish(connector["id"])["status"] == "Published"
        assert shop.redeploy(found["id"], updateConnector=True)["status"] == "Deployed"
        second = call(url_of(found)).json()
        assert not logs_in(first)
        assert logs_in(second)
        shop.delete(found["id"])
        assert not logs_in(second)


def test_a_secret_that_a_program_prints_is_masked(shop: Shop) -> None:
    files = example("hard-coded-port") | {
        "service/index.js": "console.log('the key is ' + process.env.API_KEY);\n"
        "require('node:http').createServer((q, r) => r.end()).listen(8080);\n"
    }
    values = {
        "applicationName": "service",
        "securedConfiguration": [{"key": "API_KEY", "value": "never-to-be-seen"}],
    }
    found = shop.deployed(shop.published(files), configurations=[values])
    (entry,) = shop.logged(found["id"], "the key is")
    assert "never-to-be-seen" not in str(entry)
    with shop.platform.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT details FROM log_entries").scalars().all()
    assert not any("never-to-be-seen" in each for each in rows)
    shop.delete(found["id"])


def test_a_connectorstaged_is_previewed_and_its_preview_updated(shop: Shop) -> None:
    shop.creator.repositories.tag("v1.0.0", example("hard-coded-port"))
    staged = shop.creator.create()
    shop.creator.update(staged["id"], {"action": "updatePreviewable"})
    assert shop.creator.settled(staged["id"])["isPreviewable"] == "true"
    found = shop.deployed(staged, connector={"id": staged["id"], "staged": True})
    assert found["preview"] is True
    assert call(url_of(found)).status_code == 200
    shop.creator.update(staged["id"], {"action": "setRepository", **staged["repository"]})
    body = {
        "version": shop.get(found["id"])["version"],
        "actions": [{"action": "redeploy", "updateConnector": True}],
    }
    refused = shop.http.post(f"{shop.path}/{found['id']}", json=body)
    assert codes(refused.json()["errors"]) == ["DeploymentConnectorUpdateFailure"]
    shop.delete(found["id"])


@pytest.mark.long  # five deaths, each later than the one before
def test_a_program_that_crashes_again_and_again_is_told_in_the_report(shop: Shop) -> None:
    files = example("hard-coded-port") | {
        "service/index.js": "require('node:http').createServer((q, r) => r.end()).listen(8080);\n"
        "setTimeout(() => process.exit(7), 300);\n"
    }
    found = shop.deployed(shop.published(files))
    title = "Application crashes again and again"
    deadline = time.monotonic() + 90
    while not (told := [each for each in entries(shop.get(found["id"])) if each["title"] == title]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert (told[0]["type"], told[0]["application"]) == ("Error", "service")
    assert "exit code 7" in told[0]["message"]
    shop.delete(found["id"])
