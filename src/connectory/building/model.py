"""What is built, what comes of it, and what is told on the way: the one interface of builders."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from connectory.contract.scalars import ApplicationType
from connectory.contract.staged import ReportEntryType

#: Where builds keep all, in the data folder.
FOLDER: Final = "builds"


class Plan(Struct, frozen=True, kw_only=True):
    """One application to be built.

    Attributes:
        tree: The checked-out tree, read only; no `.git` in it that matters.
        source: What the tree is, for the address: the commit.
        application: Its name, which is its folder's.
        type: Its type: what it is built into.
        environment: Values that the build may see (standard ones that Merchant Center
            applications are built with); never a secured one.
        origin: Whose packages it shares: the address of the repository. Who may write to it is
            trusted with all builds of it (docs/decisions/0019-builds.md). Empty: nobody's.
    """

    tree: Path
    source: str
    application: str
    type: ApplicationType
    environment: Mapping[str, str] = {}
    origin: str = ""


class Step(Struct, frozen=True, kw_only=True):
    """A step that has ended, for the Deployment's report.

    Attributes:
        application: Name of the application.
        title: Such as `Dependencies installed` or `Build failed`.
        type: Information, Warning or Error.
        message: Versions, the reason in words a person understands, the exit code and the last
            lines of output; empty where there is nothing to add.
    """

    application: str
    title: str
    type: ReportEntryType
    message: str = ""


class Artifact(Struct, frozen=True, kw_only=True):
    """What an application was built into.

    Attributes:
        id: Its address: a hash of all that it was made of.
        folder: The application's files; for static ones what is served.
        libraries: Shared modules that it needs at /tmp/lib; None where there are none.
        command: What starts it, in its folder; empty for static files.
        tools: Programs of this machine that it needs, such as the folder of a Node version.
    """

    id: str
    folder: Path
    libraries: Path | None = None
    command: Sequence[str] = ()
    tools: Sequence[Path] = ()


class BuildFailed(Exception):
    """An application cannot be built; its Error step has been told. The message is for people."""


class Builder(Protocol):
    """Builds applications; may be called in any thread, and many at once."""

    def build(
        self,
        plan: Plan,
        *,
        told: Callable[[Step], None],
        output: Callable[[str, str], None],
        cancelled: Callable[[], bool],
    ) -> Artifact:
        """The artifact of a plan; one that was built before is there at once.

        `told` hears of each step as it ends; `output` gets each line of output, as (application,
        line); where `cancelled` says so, the build is ended.

        Raises:
            BuildFailed: it cannot be built.
        """

    def use(self, artifact: str) -> Artifact | None:
        """An artifact by its id, marked as used now; None where it has gone."""

    def sweep(self, in_use: set[str]) -> None:
        """Remove the artifacts that were not used for longest, to the limit; never those in use."""
