"""The life of each example that can be deployed: deployed, called, logged, redeployed, deleted."""

import contextlib
import time
from typing import Any

import httpx
import pytest

from tests.deployments.shops import Shop, example, url_of
from tests.staging.conftest import Creator, Platform

#: Name → the status that its service answers with.
EXAMPLES = {
    "hard-coded-port": 200,
    "typescript": 200,
    "yarn": 200,
    "yarn-berry": 200,
    "pnpm": 200,
    "file-module": 200,
    "assets": 200,
    "slow-start": 200,
    "other-endpoint": 404,
}


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    """The embedded database; what is deployed does not mind which one it is."""
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


def status(deployment: dict[str, Any]) -> int:
    return httpx.get(url_of(deployment), timeout=30, trust_env=False).status_code


@pytest.mark.long
@pytest.mark.parametrize("name", EXAMPLES)
def test_its_whole_life(shop: Shop, name: str) -> None:
    found = shop.deployed(shop.published(example(name), name=name))
    assert status(found) == EXAMPLES[name]
    deadline = time.monotonic() + shop.seconds
    while not any(each["type"] == "HTTP_REQUEST" for each in shop.logs(found["id"])):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    again = shop.redeploy(found["id"])
    assert again["status"] == "Deployed", again["details"]
    assert url_of(again) == url_of(found)
    assert status(again) == EXAMPLES[name]
    shop.delete(found["id"])
    with contextlib.suppress(httpx.TransportError):
        assert status(again) == 404
