"""A running platform, shared by tests each of which sends to a Deployment of its own."""

# Fixtures are found by their names in here.
from tests.staging.conftest import creator, platform, repositories

__all__ = ["creator", "platform", "repositories"]
