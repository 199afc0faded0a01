"""What other slices may call: a tag to a commit, a commit to its files."""

import contextlib
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from connectory.contract.connectors import Repository
from connectory.database.engine import Database
from connectory.kernel.buckets import Buckets
from connectory.kernel.clock import Clock
from connectory.settings import Settings
from connectory.sources import trees
from connectory.sources.address import check_tag
from connectory.sources.cache import Cache, key_of, size_of
from connectory.sources.credentials import Credential, of_project
from connectory.sources.faults import explained
from connectory.sources.git import Git, GitFailed
from connectory.sources.hosts import Hosts
from connectory.sources.model import (
    Fetched,
    FetchedTooMuch,
    FileTooLarge,
    Limits,
    RepositoryNotReachable,
    TagMoved,
    TagNotFound,
    TreeRefused,
)
from connectory.sources.routes import Destination, Route, Routes

T = TypeVar("T")

log = logging.getLogger(__name__)

#: What is fetched has this name in our repositories, whatever it is called in theirs.
_REF = "refs/connectory/source"
_LISTING = "listing"
_CONFIGURATION = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
_COMMIT_DIGITS = 40
_MOST_REFS_BYTES = 2**16
_REDIRECTS = 3
_HOUR = 3_600.0
#: How often a tag may move while it is fetched.
_ATTEMPTS = 3


@dataclass(frozen=True)
class _Tip:
    """What a tag or branch of a repository names."""

    ref: str
    object: str
    commit: str


class _Moved(Exception):
    """The tag names something else than a moment ago."""


class Sources:
    """Repositories, fetched for Projects; every method may be called in any thread or process."""

    def __init__(
        self, settings: Settings, database: Database, clock: Clock, *, hosts: Hosts | None = None
    ) -> None:
        """Make the folders that are needed below the data folder.

        `hosts` takes the place of those that the settings name; tests pass some of their own.
        """
        del clock
        self._limits = Limits(
            seconds=settings.git_seconds,
            fetched_bytes=settings.git_fetched_bytes,
            files=settings.git_files,
            file_bytes=settings.git_file_bytes,
            tree_bytes=settings.git_tree_bytes,
        )
        hourly = settings.project_fetched_bytes_per_hour
        self._fetched = Buckets(hourly, _HOUR) if hourly else None
        folder = (settings.data / "sources").absolute()
        self._cache = Cache(folder, settings.sources_cache_bytes)
        self._git = Git(file_bytes=settings.git_fetched_bytes)
        self._routes = Routes(
            settings,
            hosts or Hosts(settings.git_hosts),
            self._cache,
            lambda project: _credentials(database, project),
            folder=folder,
        )

    def fetch(self, repository: Repository, project: str) -> Fetched:
        """Ask the repository which commit its tag names now, and have that commit in the cache.

        A branch is taken where there is no tag of the name, as the hosted platform does.

        Raises:
            SourceError: the repository cannot be used; see its subclasses.
        """
        check_tag(repository.tag)
        deadline = self._deadline()
        destination = self._routes.find(repository.url, project)
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(_Moved), self._routes.open(destination) as first:
                route, tip = self._reach(first, destination, repository.tag, deadline)
                self._have(route, tip, _key(destination, tip.commit), project, deadline)
                return Fetched(repository, tip.commit)
        raise TagMoved(f"the tag {repository.tag} moves all the time: give it a rest")

    def read(self, fetched: Fetched, path: str, project: str, *, max_bytes: int) -> bytes | None:
        """One regular file of the tree, None where there is none.

        Symbolic links are followed inside the tree. One that leads out of it is no file.

        Raises:
            FileTooLarge: it has more than `max_bytes`.
            SourceError: the commit is not in the cache any more, and cannot be fetched again.
        """
        if not trees.may_be_path(path):
            return None
        return self._use(
            fetched,
            project,
            lambda folder, deadline: self._file(folder, fetched.commit, path, max_bytes, deadline),
        )

    @contextlib.contextmanager
    def tree(self, fetched: Fetched, project: str) -> Iterator[Path]:
        """All files of the commit in a new folder, which is removed when the block ends.

        Files have the bytes that the repository has: no filter, no end-of-line conversion, no LFS.
        Symbolic links that lead out of the tree are left out; submodules are empty folders.

        Raises:
            SourceError: the commit is not in the cache any more, and cannot be fetched again.
        """
        with self._cache.private_folder() as place:
            target = place / "tree"
            self._use(
                fetched,
                project,
                lambda folder, deadline: self._write(folder, place, target, deadline),
            )
            yield target

    def sweep(self) -> None:
        """Remove what dead processes left, and what was not used for long, to the cache's limit."""
        self._cache.sweep()

    def _deadline(self) -> float:
        return time.monotonic() + self._limits.seconds

    def _reach(
        self, route: Route, destination: Destination, tag: str, deadline: float
    ) -> tuple[Route, _Tip]:
        """Ask the repository what a tag names, wherever its host sends us on to."""
        for _ in range(_REDIRECTS + 1):
            try:
                return route, self._resolve(route, tag, deadline)
            except GitFailed as failure:
                seconds = max(0.1, deadline - time.monotonic())
                following = self._routes.follow(route, destination, seconds=seconds)
                if following is None:
                    raise explained(failure, route) from None
                route = following
        raise RepositoryNotReachable(f"the address is redirected more than {_REDIRECTS} times")

    def _resolve(self, route: Route, tag: str, deadline: float) -> _Tip:
        """Ask the repository what a tag names."""
        refs = (f"refs/tags/{tag}", f"refs/tags/{tag}^{{}}", f"refs/heads/{tag}")
        answer = self._git.output(
            ("ls-remote", "--quiet", "--tags", "--heads", "--", route.url, *refs),
            most=_MOST_REFS_BYTES,
            deadline=deadline,
            environment=route.for_git,
        )
        lines = (line.split("\t", 1) for line in answer.decode(errors="replace").splitlines())
        found = {line[1]: line[0] for line in lines if len(line) > 1}
        if refs[0] in found:
            tip = _Tip(refs[0], found[refs[0]], found.get(refs[1], found[refs[0]]))
        elif refs[2] in found:
            tip = _Tip(refs[2], found[refs[2]], found[refs[2]])
        else:
            raise TagNotFound(f"the repository has no tag {tag}: push it, or look at its spelling")
        if len(tip.commit) != _COMMIT_DIGITS:
            raise RepositoryNotReachable("the repository uses SHA-256, which is not supported yet")
        return tip

    def _have(self, route: Route, tip: _Tip, key: str, project: str, deadline: float) -> None:
        """Have a commit in the cache; what a Project fetches is counted as its own."""
        if self._cache.has(key):
            return
        if self._fetched is not None and (wait := self._fetched.take(project)):
            raise FetchedTooMuch(
                "this Project has fetched as many bytes of repositories in an hour as it may"
                " (CONNECTORY_PROJECT_FETCHED_BYTES_PER_HOUR): try again in"
                f" {math.ceil(wait / 60)} minutes"
            )

        def take(folder: Path) -> None:
            try:
                self._take(route, tip, folder, deadline)
            finally:
                if self._fetched is not None:
                    self._fetched.charge(project, size_of(folder))

        self._cache.fill(key, take, deadline=deadline)

    def _take(self, route: Route, tip: _Tip, folder: Path, deadline: float) -> None:
        """Fetch a commit into an empty folder, and look at what came."""
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        (folder / "config").write_text(_CONFIGURATION)
        (folder / "objects").mkdir()
        (folder / "refs").mkdir()
        try:
            self._git.output(
                (
                    *("fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head"),
                    *("--", route.url, f"+{tip.ref}:{_REF}"),
                ),
                most=_MOST_REFS_BYTES,
                deadline=deadline,
                environment=route.for_git,
                folder=folder,
                watch=lambda: self._watch(folder),
            )
        except GitFailed as failure:
            self._watch(folder)
            raise explained(failure, route) from None
        self._watch(folder)
        if (folder / _REF).read_text().strip() not in (tip.object, tip.commit):
            raise _Moved
        self._list(folder, tip.commit, deadline)

    def _watch(self, folder: Path) -> None:
        if size_of(folder) >= self._limits.fetched_bytes:
            raise TreeRefused(
                f"the repository has over {self._limits.fetched_bytes} bytes at this tag"
            )

    def _list(self, folder: Path, commit: str, deadline: float) -> None:
        """Keep the listing of a tree beside it, if the tree is one that is taken."""
        arguments = ("ls-tree", "-r", "-l", "-z", "--full-tree", f"{commit}^{{commit}}")
        lines = []
        try:
            with self._git.running(arguments, deadline=deadline, folder=folder) as process:
                lines = list(trees.checked(trees.entries(process.pieces()), self._limits))
        except GitFailed:
            raise TreeRefused(
                "the tag does not name a commit with a tree that git can read"
            ) from None
        (folder / _LISTING).write_bytes(trees.listing(lines))

    def _use(self, fetched: Fetched, project: str, use: Callable[[Path, float], T]) -> T:
        """Give a commit's repository to `use`; it is fetched again where it is gone or damaged."""
        deadline = self._deadline()
        destination = self._routes.find(fetched.repository.url, project)
        key = _key(destination, fetched.commit)
        for _ in range(_ATTEMPTS):
            with self._cache.using(key, deadline=deadline) as folder:
                if folder is not None:
                    try:
                        return use(folder, deadline)
                    except (trees.Damaged, GitFailed, FileNotFoundError) as error:
                        log.warning("a cached repository is damaged, and fetched anew: %s", error)
            if folder is not None:
                self._cache.drop(key)
            with contextlib.suppress(_Moved):
                self._have_again(destination, fetched, project, deadline)
        raise RepositoryNotReachable("what was fetched cannot be read: the server's log says more")

    def _have_again(
        self, destination: Destination, fetched: Fetched, project: str, deadline: float
    ) -> None:
        """Have the commit that was fetched once, wherever its tag is now."""
        tag = fetched.repository.tag
        with self._routes.open(destination) as first:
            route, tip = self._reach(first, destination, tag, deadline)
            if tip.commit != fetched.commit:
                tip = _Tip(*[fetched.commit] * 3)
            try:
                self._have(route, tip, _key(destination, fetched.commit), project, deadline)
            except RepositoryNotReachable as error:
                if error.transient or tip.ref != fetched.commit:
                    raise
                raise TagMoved(
                    f"the tag {tag} names another commit than {fetched.commit}, which was checked,"
                    " and the repository does not give that one any more: set it again"
                ) from None

    def _file(
        self, folder: Path, commit: str, path: str, most: int, deadline: float
    ) -> bytes | None:
        """A file of a repository, by way of the links on its path."""
        name = os.fsencode(path)
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as stdin:
            with os.fdopen(writer, "wb") as question:
                question.write(b"%b:%b\n" % (commit.encode(), name))
            arguments = ("cat-file", "--batch", "--follow-symlinks")
            with self._git.running(
                arguments, deadline=deadline, folder=folder, stdin=stdin
            ) as process:
                contents = trees.Contents(process.pieces())
                size = contents.size()
                if size is None:
                    listed = trees.entries([(folder / _LISTING).read_bytes()])
                    if any(each.path == name and each.is_file for each in listed):
                        raise trees.Damaged(path)
                    return None
                if size > most:
                    raise FileTooLarge(f"{path} has more than {most} bytes")
                return b"".join(contents.next(size))

    def _write(self, folder: Path, place: Path, target: Path, deadline: float) -> None:
        """Write a repository's files to a folder; `place` takes what that needs."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o755)
        found = list(trees.entries([(folder / _LISTING).read_bytes()]))
        wanted = place / "wanted"
        wanted.write_bytes(b"".join(b"%b\n" % each.object for each in found if each.has_content))
        with (
            wanted.open("rb") as stdin,
            self._git.running(
                ("cat-file", "--batch", "--buffer"), deadline=deadline, folder=folder, stdin=stdin
            ) as process,
        ):
            trees.write(target, found, trees.Contents(process.pieces()))


def _credentials(database: Database, project: str) -> list[Credential]:
    with database.read() as connection:
        return of_project(connection, project)


def _key(destination: Destination, commit: str) -> str:
    return key_of(*destination.key, commit)
