"""A whole deploy with an API Client of a commerce project, also where the server dies over it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.commerce import CommerceProject, commerce_project
from tests.deployments.shops import (
    SECONDS,
    Shop,
    example,
    metrics_of,
    opened,
    own_installation,
    url_of,
)
from tests.harness import Installation

SCOPE = "manage_project manage_api_clients"
FILES = example("hard-coded-port") | {
    "connect.yaml": "inheritAs:\n  apiClient:\n    scopes: [manage_orders]\n"
    "deployAs:\n  - name: service\n    applicationType: service\n    endpoint: /service\n",
    "service/index.js": "const { CTP_CLIENT_ID: id, CTP_API_URL: url } = process.env;\n"
    "const told = JSON.stringify([id, url]);\n"
    "require('node:http').createServer((q, r) => r.end(told)).listen(8080);\n",
}


@pytest.fixture
def remote() -> Iterator[CommerceProject]:
    with commerce_project() as project:
        yield project


@pytest.fixture
def installation(remote: CommerceProject, tmp_path: Path) -> Installation:
    made = own_installation(tmp_path)
    made.settings["CONNECTORY_COMMERCE_PROJECTS_FILE"] = str(remote.file(tmp_path))
    return made


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def credentials_of(shop: Shop, id_: str) -> Any:
    return httpx.get(url_of(shop.get(id_)), timeout=30, trust_env=False).json()


def test_a_deploy_has_a_client_of_the_commerce_project_until_it_is_deleted(
    installation: Installation, remote: CommerceProject
) -> None:
    with installation.serving() as server, opened(installation, server, SCOPE) as shop:
        found = shop.deployed(shop.published(FILES))
        (id_,) = remote.clients
        assert found["apiClient"] == {"name": id_, "scopes": ["manage_orders"]}
        assert credentials_of(shop, found["id"]) == [id_, f"{remote.url}/api"]
        told = metrics_of(shop)
        assert told['connectory_deploys_total{outcome="deployed"}'] == 1
        assert told['connectory_applications{state="running"}'] == 1
        until(lambda: metrics_of(shop)['connectory_log_lines_total{outcome="written"}'])
        until(lambda: metrics_of(shop)["connectory_log_bytes"])
        assert not [name for name in told if found["id"] in name or "service" in name]
        remote.faults = {"DELETE": [403]}
        shop.http.delete(f"{shop.path}/{found['id']}")
        until(lambda: "answered with 403" in str(shop.get(found["id"])["details"]))
        assert shop.get(found["id"])["status"] == "UndeployFailed"
        shop.delete(found["id"])
    assert remote.clients == {}


@pytest.mark.long  # what was asked for before the death is looked for until it cannot come any more
def test_a_server_that_dies_over_the_answer_leaves_no_client_behind(
    installation: Installation, remote: CommerceProject
) -> None:
    remote.faults = {"POST": ["held"]}
    with installation.serving() as server, opened(installation, server, SCOPE) as shop:
        made = shop.create(shop.published(FILES))
        until(lambda: remote.clients)
        (lost,) = remote.clients
        server.kill()
    with installation.serving() as server, opened(installation, server, SCOPE) as shop:
        assert shop.settled(made["id"])["status"] == "Deployed"
        (id_,) = remote.clients
        assert id_ != lost
        assert credentials_of(shop, made["id"]) == [id_, f"{remote.url}/api"]
        shop.delete(made["id"])
    assert remote.clients == {}
