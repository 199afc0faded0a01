"""A server with a Project that has webhooks, and a receiver of them."""

from collections.abc import Iterator

import pytest

from tests.deployments.shops import Shop, opened, own_installation
from tests.harness import Installation
from tests.webhooks.receivers import Hooks, Receiver, receiving

ALLOWED = {"CONNECTORY_WEBHOOK_PRIVATE_ADDRESSES": "on"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One whose webhooks reach this machine."""
    installation: Installation = own_installation(tmp_path_factory.mktemp("webhooks"))
    installation.run("migrate")
    with installation.serving(settings=ALLOWED) as server, opened(installation, server) as made:
        yield made


@pytest.fixture
def hooks(shop: Shop) -> Iterator[Hooks]:
    """Those of the Project, which are gone at the end."""
    made = Hooks(shop.http, shop.creator.project)
    yield made
    for each in shop.http.get(made.path).json()["results"]:
        shop.http.delete(f"{made.path}/{each['id']}")
