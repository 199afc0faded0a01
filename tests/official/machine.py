"""A user's machine: the official clients, a home folder, and a server for them to talk to."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.harness import COMMAND, UNMEASURED, Credentials, Installation, Server
from tests.official import npm

Done = subprocess.CompletedProcess[str]

#: With it, the official CLI asks again at once instead of after half a minute.
IMPATIENT = {"NODE_OPTIONS": f'--require "{Path(__file__).with_name("impatient.cjs")}"'}


@dataclass(frozen=True)
class Shop:
    """A server, and a client of its Project `shop` that may do all."""

    server: Server
    credentials: Credentials
    exports: dict[str, str]  # what `connectory official-cli-env` says for this server


@dataclass(frozen=True)
class Machine:
    """Where a user of the official clients works; nobody is logged in at first."""

    home: Path
    packages: Path
    shop: Shop

    @property
    def login_file(self) -> Path:
        """Where the official CLI keeps who is logged in."""
        return self.home / ".commercetools" / "credentials"

    def run(self, command: list[str], seconds: float = 60.0, **variables: str) -> Done:
        """Run a command in the home folder, as in a shell that evaluated the exports."""
        return run(command, self.home, self.packages, seconds, **(self.shop.exports | variables))

    def cli(self, arguments: str, seconds: float = 60.0) -> Done:
        """Run the official CLI."""
        return self.run(["commercetools", *arguments.split()], seconds)

    def login(self, *, secret: str | None = None, project: str = "shop") -> Done:
        credentials = self.shop.credentials
        return self.cli(
            "auth login --client-credentials --region europe-west1.gcp"
            f" --project-key {project} --client-id {credentials.client_id}"
            f" --client-secret {secret or credentials.client_secret}"
        )

    def module(self, script: str, argument: Any = None, **variables: str) -> Any:
        """Run an ES module that imports the packages; what it prints as JSON.

        `argument` is its process.env.ARGUMENT, as JSON.
        """
        (self.home / "script.mjs").write_text(script)
        modules = self.home / "node_modules"
        if not modules.exists():
            modules.symlink_to(self.packages)
        done = self.run(["node", "script.mjs"], ARGUMENT=json.dumps(argument), **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextlib.contextmanager
def logged_in(
    folder: Path, packages: Path, settings: Mapping[str, str]
) -> Iterator[tuple[Machine, httpx.Client, Installation]]:
    """Somebody who is logged in at a server of their own; a client of it, and its installation.

    Home and data are in a folder. The official CLI does not wait long between its questions.
    """
    (home := folder / "home").mkdir()
    installation = Installation(folder / "data", settings=UNMEASURED | dict(settings))
    installation.project("shop")
    credentials = installation.credentials("shop")
    with installation.serving() as server:
        exports = {"CTP_CLI_CONNECT_API_URL": server.url}
        exports |= installation.run_json("official-cli-env", "--url", server.url)
        exports["NODE_OPTIONS"] = f"{IMPATIENT['NODE_OPTIONS']} {exports['NODE_OPTIONS']}"
        machine = Machine(home, packages, Shop(server, credentials, exports))
        assert machine.login().returncode == 0
        with server.client(credentials) as http:
            yield machine, http, installation


def run(
    command: list[str], home: Path, packages: Path, seconds: float = 60.0, **variables: str
) -> Done:
    """Run a command where `connectory` and the official CLI are installed.

    It runs in the home folder, as in a terminal that neither wraps lines nor has colours.
    """
    environment = npm.environment() | {
        "PATH": f"{packages / '.bin'}:{Path(COMMAND).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "OCLIF_COLUMNS": "500",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        command,
        cwd=home,
        env=environment | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def complaint(done: Done) -> str:
    """What the CLI complained of, without its margin; it must have been nothing but that."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = [line.removeprefix(" ›").strip() for line in done.stderr.splitlines()]
    assert lines[0].startswith("Error: "), done.stderr
    return "\n".join(lines).removeprefix("Error: ")
