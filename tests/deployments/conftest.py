"""A running platform, shared by tests each of which deploys in a Project of its own."""

# Fixtures are found by their names in here.
from tests.staging.conftest import (
    creator,
    platform,
    repositories,
    staging_on_postgresql,
    staging_on_sqlite,
)

__all__ = ["creator", "platform", "repositories", "staging_on_postgresql", "staging_on_sqlite"]
