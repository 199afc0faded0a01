"""A running platform, shared by tests each of which sends to a Deployment of its own."""

# Fixtures are found by their names in here.
from tests.deployments.conftest import staging_on_sqlite
from tests.staging.conftest import creator, platform, repositories, staging_on_postgresql

__all__ = ["creator", "platform", "repositories", "staging_on_postgresql", "staging_on_sqlite"]
