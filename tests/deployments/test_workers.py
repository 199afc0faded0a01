"""Deploys are done where applications are hosted, and nowhere else."""

from pathlib import Path

import pytest

from connectory import app
from connectory.database.engine import open_database
from connectory.deployments.turns import DEPLOY, UNDEPLOY
from connectory.kernel.clock import system_clock
from connectory.settings import Settings


@pytest.mark.parametrize("hosts", [True, False])
def test_a_worker_of_its_own_leaves_deploys_to_those_that_host(
    tmp_path: Path, *, hosts: bool
) -> None:
    database = open_database("", tmp_path)
    try:
        node = app.compose(Settings(data=tmp_path), database, system_clock, hosts=hosts)
        assert ({DEPLOY, UNDEPLOY} <= set(node.worker.kinds)) == hosts
        assert {"preview", "publish"} <= set(node.worker.kinds)
    finally:
        database.close()
