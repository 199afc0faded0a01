"""A database of each kind, emptied for each test, and a running platform that the tests share."""

import pytest

from connectory.database.engine import Database
from connectory.database.tables import job_runs, jobs

# Fixtures are found by their names in here.
from tests.staging.conftest import creator
from tests.work.conftest import address, opened

__all__ = ["address", "creator", "opened"]


@pytest.fixture
def database(opened: Database) -> Database:
    with opened.write() as connection:
        connection.execute(jobs.delete())
        connection.execute(job_runs.delete())
    return opened
