"""The builder, made when something is built first: a start need not wait for its modules."""

import threading
from collections.abc import Callable
from pathlib import Path

from connectory.building.model import Artifact, Maker, Plan, Ran, Script, Step


class FirstUse:
    """A `Builder` and `ScriptRunner` that `make` makes when it is needed first; in any thread.

    `folder` is where it keeps all, which is not there before something was built.
    """

    def __init__(self, folder: Path, make: Callable[[], Maker]) -> None:
        self._folder = folder
        self._make = make
        self._lock = threading.Lock()
        self._made: Maker | None = None

    def build(
        self,
        plan: Plan,
        *,
        told: Callable[[Step], None],
        output: Callable[[str, str], None],
        cancelled: Callable[[], bool],
    ) -> Artifact:
        """As `Builder` says."""
        return self._builder().build(plan, told=told, output=output, cancelled=cancelled)

    def use(self, artifact: str) -> Artifact | None:
        """As `Builder` says."""
        return self._builder().use(artifact)

    def sweep(self, in_use: set[str]) -> None:
        """As `Builder` says; where nothing was ever built, there is nothing to do."""
        if self._folder.is_dir():
            self._builder().sweep(in_use)

    def run_script(
        self, script: Script, *, output: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Ran:
        """As `ScriptRunner` says."""
        return self._builder().run_script(script, output=output, cancelled=cancelled)

    def _builder(self) -> Maker:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
