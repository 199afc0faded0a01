"""A way to confine that confines nothing: real processes, for what does not depend on walls.

Programs listen on the port that `LISTEN` names, in the place of 8080.
"""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from connectory.building.model import Artifact
from connectory.containment.model import Confinement, Holds
from connectory.runtime.model import Program


class PlainProcess:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, seconds: float | None = None) -> int:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class Plain:
    """Every process that it started is in `started`."""

    name = "plain"
    shows_places = False
    holds = Holds(findings=(), safe=False)

    def __init__(self) -> None:
        self.started: list[PlainProcess] = []
        self.confinements: list[Confinement] = []

    def start(self, confinement: Confinement, *, stdout, stderr) -> PlainProcess:
        places = {mount.target: mount.source for mount in confinement.mounts}
        process = PlainProcess(
            subprocess.Popen(
                confinement.command,
                env={**confinement.environment, "LISTEN": str(confinement.port)},
                cwd=places[confinement.folder],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        )
        self.started.append(process)
        self.confinements.append(confinement)
        return process

    @property
    def running(self) -> int:
        return sum(each.poll() is None for each in self.started)


#: Answers every request with its environment's GREETING, and the process's id.
SERVER = """
const http = require("http");
http.createServer((request, response) => {
  response.end(JSON.stringify({ greeting: process.env.GREETING, pid: process.pid }));
}).listen(process.env.LISTEN, "127.0.0.1");
"""


def program(folder: Path, node: str, source: str, **fields) -> Program:
    """A program of a few lines for Node."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.js").write_text(source)
    values = {
        "application_id": "a-1",
        "release": 1,
        "deployment_id": "d-1",
        "application": "service",
        "environment": {"GREETING": "hello"},
        **fields,
    }
    artifact = Artifact(id=folder.name, folder=folder, command=(node, "index.js"))
    return Program(artifact=artifact, **values)
