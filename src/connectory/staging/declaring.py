"""What a repository declares at a tag: its connect.yaml, read and judged."""

from msgspec import Struct

from connectory import specification
from connectory.contract.connectors import Repository
from connectory.contract.errors import (
    ConnectorSpecificationFileNotFound,
    ConnectorSpecificationFileNotValid,
    GitRepositoryNotReachable,
    LimitExceeded,
)
from connectory.sources.model import Fetched, FetchedTooMuch, FileTooLarge, SourceError
from connectory.sources.service import Sources
from connectory.specification.faults import Fault
from connectory.specification.model import Specification
from connectory.staging.model import Declared


class SpecificationRead(Struct, frozen=True, kw_only=True):
    """A connect.yaml that was read at a commit; `specification` is None where it is not valid."""

    specification: Specification | None
    faults: tuple[Fault, ...]


class SpecificationMissing(Exception):
    """The repository has no connect.yaml; the message says what to do."""


def read_specification(sources: Sources, fetched: Fetched, project: str) -> SpecificationRead:
    """Read connect.yaml at a commit.

    Raises:
        SpecificationMissing: there is none.
        SourceError: it cannot be read.
    """
    name = specification.FILE_NAME
    text = sources.read(fetched, name, project, max_bytes=specification.MAX_BYTES)
    if text is None:
        other = sources.read(fetched, "connect.yml", project, max_bytes=specification.MAX_BYTES)
        raise SpecificationMissing(
            f"There is no {name} at the root of the repository"
            if other is None
            else f"There is a connect.yml; rename it to {name}"
        )
    reading = specification.read(text)
    return SpecificationRead(specification=reading.specification, faults=reading.faults)


def declared_by(read: Specification, commit: str) -> Declared:
    """What of a specification the API shows."""
    return Declared(
        commit=commit,
        configurations=read.configurations(),
        global_configuration=read.global_configuration(),
        api_client=read.api_client(),
    )


def read_declared(sources: Sources, repository: Repository, project: str) -> Declared:
    """What a repository declares now; for a request that waits for the answer.

    Raises:
        GitRepositoryNotReachable: the repository or its tag cannot be had.
        ConnectorSpecificationFileNotFound: it has no connect.yaml.
        ConnectorSpecificationFileNotValid: it has one with faults; all are told.
        LimitExceeded: the Project has fetched as much as it may.
    """
    url, tag = repository.url, repository.tag
    try:
        fetched = sources.fetch(repository, project)
        read = read_specification(sources, fetched, project)
    except SpecificationMissing as missing:
        raise ConnectorSpecificationFileNotFound(url, tag, str(missing)) from None
    except FetchedTooMuch as error:
        raise LimitExceeded(error.reason) from None
    except FileTooLarge as error:
        raise ConnectorSpecificationFileNotValid(url, tag, error.reason) from None
    except SourceError as error:
        raise GitRepositoryNotReachable(error.reason) from None
    if read.specification is None:
        raise ConnectorSpecificationFileNotValid(url, tag, told(read.faults))
    return declared_by(read.specification, fetched.commit)


def told(faults: tuple[Fault, ...]) -> str:
    """Faults for an answer or a report: one a line, with line, column and what to do."""
    return "\n".join(fault.line_of_text() for fault in faults)
