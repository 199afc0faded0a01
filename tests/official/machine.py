"""A user's machine: the official clients, a home folder, and a server for them to talk to."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import COMMAND, Credentials, Server
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
