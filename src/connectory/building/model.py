"""What is built or run of a source, and what is told on the way: the interface of this slice."""

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


class Script(Struct, frozen=True, kw_only=True):
    """A command line to be run in the source of one application.

    Attributes:
        tree: The checked-out tree, read only.
        origin: The address of the repository.
        tenant: Whose values it gets, a Project: packages that it fetched are found again by its
            other scripts of this origin, and by nobody else.
        application: The application's name, which is its folder's.
        type: Its type.
        command: The line, for `sh -c`.
        environment: All values that it gets, secured ones among them.
    """

    tree: Path
    origin: str
    tenant: str
    application: str
    type: ApplicationType
    command: str
    environment: Mapping[str, str] = {}


class Ran(Struct, frozen=True, kw_only=True):
    """How a script ended.

    Attributes:
        code: Its exit code, negative for a signal; None where it was ended, or could not begin.
        reason: How it ended, in words.
        last: Its last lines; they are as it printed them, secrets too.
    """

    code: int | None
    reason: str
    last: Sequence[str] = ()


class ScriptRunner(Protocol):
    """Runs scripts; may be called in any thread, and many at once."""

    def run_script(
        self, script: Script, *, output: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Ran:
        """Run a script to its end, within limits; nothing that it started is left then.

        It has a writable copy of the application's source, without what a build made of it, and
        npm, Yarn and pnpm. `output` gets each line that it prints. Where `cancelled`, which is
        asked several times a second, says so, it is ended.
        """


class Maker(Builder, ScriptRunner, Protocol):
    """What builds applications, and runs their scripts."""
