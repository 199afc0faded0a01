"""A running platform, shared by tests each of which deploys in a Project of its own."""

import pytest

# Fixtures are found by their names in here.
from tests.staging.conftest import (
    creator,
    platform,
    repositories,
)

__all__ = ["creator", "platform", "repositories"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what became of each real repository, also where nothing failed."""
    for report in terminalreporter.getreports("passed"):
        for name, verdict in report.user_properties:
            if report.when == "call" and name == "verdict":
                terminalreporter.write_line(f"{report.nodeid.partition('[')[2][:-1]}: {verdict}")
