"""The platforms of the tests of many folders: one on each database for each worker.

A server takes some of the processor's time also where nothing is asked of it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgresql
from tests.harness import Installation
from tests.staging.conftest import Platform, running_platform
from tests.staging.repositories import SCANNERS_OFF


@pytest.fixture(scope="session")
def staging_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("staging")
    installation = Installation(folder / "data", settings=without_scanners(folder))
    with running_platform(installation, folder) as platform:
        yield platform


@pytest.fixture(scope="session")
def staging_on_postgresql(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: postgresql.PostgreSQL
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("staging")
    url = postgresql_server.new_database()
    installation = Installation(folder / "data", url, without_scanners(folder))
    with running_platform(installation, folder) as platform:
        yield platform
    postgresql_server.drop(url)


def without_scanners(folder: Path) -> dict[str, str]:
    """Settings for tests of what becomes of a request, whatever the scanners find."""
    policy = folder / "policy.toml"
    policy.write_text(SCANNERS_OFF)
    return {"CONNECTORY_CHECK_POLICY": str(policy)}
