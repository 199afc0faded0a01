"""The fixtures of Deployments, and a receiver of webhooks."""

from collections.abc import Iterator

import pytest

from tests.webhooks.receivers import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
