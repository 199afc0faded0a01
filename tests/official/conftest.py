"""The official CLI and SDK from npm, unchanged, and a real server for them to talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.harness import Installation
from tests.official import npm
from tests.official.connectors import FULL, PLAIN, PRIVATE
from tests.official.machine import Machine, Shop


@pytest.fixture(scope="session")
def packages(node: str) -> Path:
    """The folder of the installed packages."""
    try:
        return npm.installed(node)
    except npm.NotInstallable as why:
        lacking("node", str(why))
        raise


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A server with the Connectors of connectors.py, which writes all requests to its log."""
    installation = Installation(tmp_path_factory.mktemp("official") / "data")
    installation.data.mkdir()
    project = installation.project("shop")
    installation.import_lines([FULL, PLAIN, PRIVATE | {"privateProjects": [project]}])
    credentials = installation.credentials("shop")
    with installation.serving(settings={"CONNECTORY_ACCESS_LOG": "all"}) as server:
        exports = installation.run_json("official-cli-env", "--url", server.url)
        yield Shop(server, credentials, exports)


@pytest.fixture(scope="session")
def login(shop: Shop, packages: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the official CLI keeps in the home folder of one who has logged in."""
    machine = Machine(tmp_path_factory.mktemp("home"), packages, shop)
    machine.login()
    return machine.login_file.read_text()


@pytest.fixture
def machine(shop: Shop, packages: Path, tmp_path: Path) -> Machine:
    """A machine with the official clients, on which nobody is logged in."""
    home = tmp_path / "a home"
    home.mkdir()
    return Machine(home, packages, shop)


@pytest.fixture
def logged_in(machine: Machine, login: str) -> Machine:
    """A machine with the official clients, on which the client of `shop` is logged in."""
    machine.login_file.parent.mkdir()
    machine.login_file.write_text(login)
    return machine
