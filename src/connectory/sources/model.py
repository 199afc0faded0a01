"""What other slices see of sources: commits that were fetched, limits, what can go wrong."""

from dataclasses import dataclass
from typing import ClassVar

from connectory.contract.connectors import Repository


@dataclass(frozen=True)
class Fetched:
    """A repository at the commit that its tag named when it was fetched.

    Attributes:
        repository: Address and tag, as they were asked for.
        commit: The commit, 40 hexadecimal digits. It says what the tag was; a tag can be moved.
    """

    repository: Repository
    commit: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of a repository is taken; sizes are bytes, times are seconds."""

    seconds: float
    fetched_bytes: int
    files: int
    file_bytes: int
    tree_bytes: int


class SourceError(Exception):
    """A repository cannot be used; `reason` is one sentence that a person can act on.

    No reason ever holds a credential. `transient` says whether to try again later may help.
    """

    transient: ClassVar[bool] = False

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AddressRefused(SourceError):
    """The address is not one that is fetched from: its form, its host or its network."""


class TagRefused(SourceError):
    """The tag cannot be the name of one."""


class RepositoryNotReachable(SourceError):
    """The repository is not there, or not for this Project."""


class TagNotFound(RepositoryNotReachable):
    """The repository is there and has neither a tag nor a branch of this name."""


class TagMoved(RepositoryNotReachable):
    """The commit that was fetched once cannot be had any more: its tag names another."""


class HostNotReachable(RepositoryNotReachable):
    """The host has no address, does not answer, or answers with a fault of its own."""

    transient = True


class FetchTimeout(HostNotReachable):
    """The repository took longer than CONNECTORY_GIT_SECONDS."""


class FetchedTooMuch(SourceError):
    """The Project has fetched as much as CONNECTORY_PROJECT_FETCHED_BYTES_PER_HOUR lets it."""

    transient = True


class TreeRefused(SourceError):
    """The repository is too large, or holds a name that no file may have."""


class FileTooLarge(SourceError):
    """A file that was to be read is larger than its reader takes."""
