"""A running platform, shared by tests each of which deploys in a Project of its own."""

from collections.abc import Iterator

import pytest

from tests.harness import Installation

# Fixtures are found by their names in here.
from tests.staging.conftest import (
    Platform,
    creator,
    platform,
    repositories,
    running_platform,
    staging_on_postgresql,
)
from tests.staging.repositories import SCANNERS_OFF

__all__ = ["creator", "platform", "repositories", "staging_on_postgresql"]


@pytest.fixture(scope="session")
def staging_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Without the checks: what is published here is deployed, and built then."""
    folder = tmp_path_factory.mktemp("deployments")
    policy = folder / "policy.toml"
    policy.write_text(SCANNERS_OFF)
    settings = {"CONNECTORY_CHECK_POLICY": str(policy)}
    with running_platform(Installation(folder / "data", settings=settings), folder) as found:
        yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what became of each real repository, also where nothing failed."""
    for report in terminalreporter.getreports("passed"):
        for name, verdict in report.user_properties:
            if report.when == "call" and name == "verdict":
                terminalreporter.write_line(f"{report.nodeid.partition('[')[2][:-1]}: {verdict}")
