"""A private Connector, and clients of two Projects: what each of them is shown."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.harness import connector
from tests.identity.conftest import PROJECTS, Platform

SHOP, OUTLET = (f"{region}:{key}" for key, region in PROJECTS.items())


@pytest.fixture
def api(platform: Platform) -> Iterator[dict[str, httpx.Client]]:
    """A client of each Project."""
    with (
        platform.server.client(platform.client("view_connectors", "shop")) as shop,
        platform.server.client(platform.client("view_connectors", "outlet")) as outlet,
    ):
        yield {"shop": shop, "outlet": outlet}


def publish(platform: Platform, key: str, **fields: Any) -> None:
    """Publish a private Connector, and wait until the server knows of it.

    It does as soon as it knows of a public one of the same import: it shows all of one or nothing.
    """
    mark = uuid.uuid4().hex
    platform.installation.import_lines(
        [connector(key, private=True, certified=False, **fields), connector("mark", name=mark)]
    )
    deadline = time.monotonic() + 20
    with platform.server.client(platform.client("view_connectors")) as http:
        while http.get("/connectors/search", params={"text": mark}).json()["total"] != 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def seen(http: httpx.Client, key: str) -> bool:
    """Whether a Connector exists for a client, in every way to ask for it."""
    by_key = http.get(f"/connectors/key={key}")
    found = http.get("/connectors/search", params={"key": key}).json()
    private = http.get("/connectors/search", params={"text": key, "private": "true"}).json()
    assert found["total"] == found["count"] == len(found["results"])
    assert private == found
    if by_key.status_code == 200:
        assert found["results"] == [by_key.json()]
        assert http.get(f"/connectors/{by_key.json()['id']}").json() == by_key.json()
        return True
    assert by_key.status_code == 404
    assert by_key.json()["errors"][0]["code"] == "ResourceNotFound"
    assert found["results"] == []
    return False


def test_a_private_connector_exists_for_the_projects_that_it_is_assigned_to(
    platform: Platform, api: dict[str, httpx.Client]
) -> None:
    publish(platform, "assigned", privateProjects=[SHOP])
    assert (seen(api["shop"], "assigned"), seen(api["outlet"], "assigned")) == (True, False)
    id_ = api["shop"].get("/connectors/key=assigned").json()["id"]
    hidden = api["outlet"].get(f"/connectors/{id_}")
    unknown = api["outlet"].get("/connectors/00000000-0000-4000-8000-000000000000")
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.text.replace(id_, unknown.request.url.path.rpartition("/")[2]) == unknown.text

    publish(platform, "assigned", privateProjects=[SHOP, OUTLET])
    assert (seen(api["shop"], "assigned"), seen(api["outlet"], "assigned")) == (True, True)

    publish(platform, "assigned", privateProjects=[OUTLET])
    assert (seen(api["shop"], "assigned"), seen(api["outlet"], "assigned")) == (False, True)


def test_a_private_connector_exists_for_its_owner(
    platform: Platform, api: dict[str, httpx.Client]
) -> None:
    publish(platform, "owned", owner=OUTLET)
    assert (seen(api["shop"], "owned"), seen(api["outlet"], "owned")) == (False, True)


def test_a_project_is_told_by_its_region_too(
    platform: Platform, api: dict[str, httpx.Client]
) -> None:
    publish(platform, "elsewhere", privateProjects=["us-east-2.aws:shop"])
    assert (seen(api["shop"], "elsewhere"), seen(api["outlet"], "elsewhere")) == (False, False)


def test_every_client_of_a_project_is_shown_the_same(
    platform: Platform, api: dict[str, httpx.Client]
) -> None:
    publish(platform, "shared", privateProjects=[SHOP])
    with platform.server.client(platform.client("manage_connectors", "shop")) as colleague:
        answers = [http.get("/connectors/key=shared").json() for http in (api["shop"], colleague)]
    assert answers[0] == answers[1]
    assert answers[0]["key"] == "shared"
