"""A `Containment` for tests of building, which confines nothing: programs see this machine's paths.

It is real all the same: programs run, and end with all that they started.
"""

import contextlib
import os
import signal
import subprocess

from connectory.containment.model import Holds


class Unconfined:
    """Starts programs as they are, each in a session of its own."""

    name = "unconfined"
    shows_places = False
    holds = Holds(findings=(), safe=False)

    def __init__(self):
        self.started = []

    def start(self, confinement, *, stdout, stderr):
        self.started.append(confinement)
        return _Started(
            subprocess.Popen(
                list(confinement.command),
                env=dict(confinement.environment),
                cwd=confinement.folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        )


class _Started:
    def __init__(self, popen):
        self._popen = popen
        self.pid = popen.pid

    def poll(self):
        return self._popen.poll()

    def wait(self, seconds=None):
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None

    def terminate(self):
        self._popen.terminate()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
