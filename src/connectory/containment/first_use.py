"""The best way to confine, looked for when something is to be confined first.

To look takes up to half a second, which a start of the server that runs nothing need not wait for.
"""

import threading
from collections.abc import Callable
from typing import IO

from connectory.containment.model import Confinement, Contained, Containment, Holds


class FirstUse:
    """A `Containment` that is found by `find` when it is used first; in any thread."""

    def __init__(self, find: Callable[[], Containment]) -> None:
        self._find = find
        self._lock = threading.Lock()
        self._found: Containment | None = None

    @property
    def found(self) -> Containment:
        """The one that was found."""
        with self._lock:
            if self._found is None:
                self._found = self._find()
            return self._found

    @property
    def name(self) -> str:
        """As `Containment` says."""
        return self.found.name

    @property
    def shows_places(self) -> bool:
        """As `Containment` says."""
        return self.found.shows_places

    @property
    def holds(self) -> Holds:
        """As `Containment` says."""
        return self.found.holds

    def start(
        self, confinement: Confinement, *, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> Contained:
        """As `Containment` says."""
        return self.found.start(confinement, stdout=stdout, stderr=stderr)

    def close(self) -> None:
        """End what it runs, if it was ever used."""
        with self._lock:
            if self._found is not None:
                self._found.close()
