"""On PostgreSQL: what any node deployed is hosted by all, and what one deleted is gone from all.

Each node looks twice a second which Deployments have another version than a moment ago, and hosts
the release that serves of those. What was built elsewhere is built here first, in the background.
The embedded database has one node, whose own deploys are hosted already: nothing is followed there.
(docs/decisions/0031-nodes-share-applications.md)
"""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import Final

from connectory.building.model import BuildFailed
from connectory.database.documents import Damaged
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.secrets import SecretKeysError
from connectory.deployments import store
from connectory.deployments.artifacts import Artifacts
from connectory.deployments.hosting import STATIC, Hosting
from connectory.deployments.model import Deployment, Release
from connectory.deployments.programs import Programs
from connectory.deployments.running import Running
from connectory.runtime.model import StartFailed
from connectory.sources.model import SourceError
from connectory.sources.service import Sources

log = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.5
#: All versions are read when their sum is another, and so often in any case.
_READ_AGAIN_SECONDS: Final = 5.0
#: How many Deployments are hosted at once, each for as long as its applications start; and how many
#: are built at once, beside the builds of deploys.
_HOSTING, _BUILDING = 4, 2
#: How long the end of a server waits for what is under way.
_END_SECONDS: Final = 5.0
_FIRST_BACKOFF, _LAST_BACKOFF = 1.0, 300.0
#: What may be otherwise the next time.
_FAILURES = (BuildFailed, SourceError, StartFailed, SecretKeysError, DatabaseUnavailable)


class _Ended(Exception):
    """The server stops, or the Deployment is gone: nobody waits for it any more."""


@dataclasses.dataclass(slots=True, eq=False)
class _Followed:
    """What this node has made of a Deployment.

    Attributes:
        id: Of the Deployment.
        version: The one that was taken in.
        release: Number of the release that was hosted last.
        applications: Ids of all that may be hosted.
        busy: Whether a thread has it in hand.
        gone: Whether there is no such Deployment any more.
        failures: In a row.
        tried: The version that was tried last.
        due_at: It is not to be tried again before; of `time.monotonic`.
        told: What was logged of the last failure.
        building: What is to be done next by those that build.
    """

    id: str
    version: int = 0
    release: int | None = None
    applications: frozenset[str] = frozenset()
    busy: bool = False
    gone: bool = False
    failures: int = 0
    tried: int | None = None
    due_at: float = 0.0
    told: str = ""
    building: Callable[[], None] | None = None


class Following:
    """Hosts on this node what is deployed, whichever node deployed it."""

    def __init__(
        self,
        database: Database,
        artifacts: Artifacts,
        hosting: Hosting,
        programs: Programs,
        *,
        forget: Callable[[str], None],
        start_seconds: float,
        turn: float = _TURN_SECONDS,
    ) -> None:
        """Make it; `forget` removes what else this node keeps of a Deployment that is gone."""
        self._database = database
        self._artifacts = artifacts
        self._hosting = hosting
        self._programs = programs
        self._forget = forget
        self._start_seconds = start_seconds
        self._turn = turn
        self._of: dict[str, _Followed] = {}
        self._stopped = threading.Event()
        self._hosters = _Crew("hosting", _HOSTING)
        self._builders = _Crew("building", _BUILDING)
        self._told = ""
        #: All versions by the ids of Deployments, and what says whether they may be others now.
        self._versions: Mapping[str, int] = {}
        self._mark: tuple[int, ...] = ()
        self._read_again_at = 0.0

    def built_here(self) -> set[str]:
        """The artifacts in use that no release names: this node has other tools."""
        return self._artifacts.in_use()

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Host what is deployed; when the block begins, all that was built here is hosted."""
        if self._database.is_sqlite:
            yield
            return
        self._hosters.start()
        self._builders.start()
        await asyncio.to_thread(self._look, at_once=True)
        follower = threading.Thread(target=self._follow, name="deployments", daemon=True)
        follower.start()
        try:
            yield
        finally:
            self._stopped.set()
            await asyncio.to_thread(self._end, follower)

    def _end(self, follower: threading.Thread) -> None:
        """Let builds and starts end, which they do at once; a database that hangs is left alone."""
        deadline = time.monotonic() + _END_SECONDS
        follower.join(self._turn)
        for crew in (self._hosters, self._builders):
            crew.end(deadline)

    def _follow(self) -> None:
        while not self._stopped.wait(self._turn):
            try:
                self._look()
                self._told = ""
            except Exception as error:
                if self._told != str(error) and isinstance(error, DatabaseUnavailable):
                    log.warning("what is deployed cannot be looked for: %s", error)
                elif self._told != str(error):
                    log.exception("what is deployed cannot be looked for")
                self._told = str(error)

    def _look(self, *, at_once: bool = False) -> None:
        """Have hosted what has changed; `at_once`: in this thread."""
        now = time.monotonic()
        with self._database.read() as connection:
            mark = store.mark(connection)
            if mark != self._mark or now >= self._read_again_at:
                self._versions = store.versions(connection)
                self._mark, self._read_again_at = mark, now + _READ_AGAIN_SECONDS
        versions = self._versions
        for id_ in versions:
            if id_ not in self._of:
                self._of[id_] = _Followed(id_)
        for followed in list(self._of.values()):
            version = versions.get(followed.id)
            followed.gone = version is None
            waits = followed.tried == version and followed.due_at > now
            if followed.busy or followed.version == version or waits:
                continue
            followed.busy, followed.tried = True, version
            if at_once:
                self._take_in(followed)
            else:
                self._hosters.do(functools.partial(self._take_in, followed))

    # One Deployment, in a thread of the crews

    def _take_in(self, followed: _Followed) -> None:
        """Host the release of a Deployment that serves, or remove what was hosted."""
        with self._minding(followed):
            if self._stopped.is_set():
                raise _Ended
            with self._database.read() as connection:
                deployment, release = store.with_serving(connection, followed.id)
            if deployment is None:
                self._remove(followed)
                return
            followed.applications |= {each.id for each in deployment.applications}
            if release is None or release.number == followed.release:
                followed.version = deployment.version
                return
            found = self._artifacts.here(release)
            if found is None:
                self._announce(followed, deployment, release)
                followed.building = functools.partial(self._build, followed, deployment, release)
            else:
                self._host(followed, deployment, found)

    def _announce(self, followed: _Followed, deployment: Deployment, release: Release) -> None:
        """Have callers told to come again, of what does not run here in an older release."""
        followed.applications |= {each.id for each in release.applications}
        for application in release.applications:
            self._hosting.announce(deployment, application)

    def _build(self, followed: _Followed, deployment: Deployment, release: Release) -> None:
        """Build a release; the next look hosts it, if it still serves by then."""
        with self._minding(followed):
            self._check(followed)
            log.info("Deployment %s is built: another node deployed it", deployment.id)
            self._artifacts.build(
                deployment, release, lambda: self._stopped.is_set() or followed.gone
            )

    def _host(self, followed: _Followed, deployment: Deployment, release: Release) -> None:
        """Let a release take the calls here: all of its applications, or none."""
        programs = [
            self._programs.program(deployment, release, each)
            for each in release.applications
            if each.type not in STATIC
        ]
        started = []
        try:
            for program in programs:
                if self._hosting.is_awaited(program):
                    self._hosting.start(program, self._start_seconds, lambda: self._check(followed))
                    started.append(program)
        except BaseException:
            for program in started:
                self._hosting.discard(program.application_id, program.release)
            raise
        for program in programs:
            if program not in started:
                self._hosting.restore(program)
                continue
            with contextlib.suppress(KeyError):  # this node has deployed a later one meanwhile
                self._hosting.switch(program.application_id, program.release)
        for application in release.applications:
            folder = None
            if application.type in STATIC:
                folder = self._artifacts.folder(release, application)
            self._hosting.route(deployment, application, static=folder)
        kept = {each.id for each in (*release.applications, *deployment.applications)}
        self._hosting.remove(followed.applications - kept)
        followed.applications = frozenset(kept)
        followed.version, followed.release = deployment.version, release.number

    def _remove(self, followed: _Followed) -> None:
        self._hosting.remove(followed.applications)
        self._artifacts.forget(followed.id)
        self._forget(followed.id)
        self._of.pop(followed.id, None)

    def _check(self, followed: _Followed) -> None:
        """Raise where nobody waits for it any more."""
        if self._stopped.is_set() or followed.gone:
            raise _Ended

    @contextlib.contextmanager
    def _minding(self, followed: _Followed) -> Iterator[None]:
        """Have a Deployment in hand; where that fails, it is tried again after a while."""
        failure = ""
        try:
            yield
        except _Ended:
            pass
        except Damaged as damaged:
            log.error("%s: it is left as it is", damaged, extra={"deployment": followed.id})  # noqa: TRY400 - what is wrong is no fault of the program
            followed.version = followed.tried or 0
        except _FAILURES as error:
            failure = str(error)
            if failure != followed.told:
                log.warning("Deployment %s is not hosted here yet: %s", followed.id, failure)
        except Exception as error:
            failure = repr(error)
            if failure != followed.told:
                log.exception("Deployment %s could not be hosted here", followed.id)
        followed.told = failure
        followed.failures = followed.failures + 1 if failure else 0
        if failure:
            pause = _FIRST_BACKOFF * 2.0 ** min(followed.failures - 1, 16)
            followed.due_at = time.monotonic() + min(pause, _LAST_BACKOFF)
        building, followed.building = followed.building, None
        if building is None or failure:
            followed.busy = False
        else:
            self._builders.do(building)


def following_of(
    running: Running, sources: Sources, refusal: Callable[[str], str], start_seconds: float
) -> Following:
    """For the parts of a node; `refusal` says why code is not to be run here, or ""."""
    artifacts = Artifacts(running.builds, sources, running.programs, refusal=refusal)
    return Following(
        running.database,
        artifacts,
        running.hosting,
        running.programs,
        forget=running.forget,
        start_seconds=start_seconds,
    )


class _Crew:
    """Threads that do what they are given, in its order; they keep no process alive."""

    def __init__(self, name: str, size: int) -> None:
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=name, daemon=True) for _ in range(size)
        ]

    def start(self) -> None:
        for each in self._threads:
            each.start()

    def do(self, what: Callable[[], None]) -> None:
        """Have something done, which raises nothing."""
        self._queue.put(what)

    def end(self, deadline: float) -> None:
        """Wait until all is done, or for so long; `deadline` is of `time.monotonic`."""
        for _ in self._threads:
            self._queue.put(None)
        for each in self._threads:
            each.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (what := self._queue.get()) is not None:
            what()
