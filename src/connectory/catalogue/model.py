"""What the catalogue knows of a Connector, and what a search asks for."""

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from connectory.contract.scalars import IntegrationType


class Document(Struct, frozen=True, kw_only=True, gc=False):
    """The current version of a Connector, as far as search and visibility need it."""

    #: A UUID in lower case.
    id: str
    version: int
    key: str | None
    name: str
    description: str | None
    company: str | None
    integration_types: tuple[IntegrationType, ...]
    private: bool
    #: The Projects, as `region:projectKey`, for which it exists even where it is private: its
    #: owner and those that it is assigned to.
    projects: tuple[str, ...]
    #: Whether it is found by search; one that is not can still be read by id and key.
    listed: bool = True
    #: Microseconds since 1970.
    created_at: int
    #: Microseconds since 1970.
    last_modified_at: int


class SortField(enum.StrEnum):
    """What search results can be sorted by."""

    NAME = "name"
    KEY = "key"
    CREATED_AT = "createdAt"
    LAST_MODIFIED_AT = "lastModifiedAt"


class Sort(Struct, frozen=True):
    """One criterion: texts by code point, absent keys last in either direction."""

    field: SortField
    descending: bool = False


#: The order of results where none is asked for.
NEWEST_FIRST: Final = Sort(SortField.CREATED_AT, descending=True)

#: The grammar of one `sort` value; a bare field is ascending.
SORT_PATTERN: Final = r"^(name|key|createdAt|lastModifiedAt)( (asc|desc))?(?!\n)$"
SORT_EXPECTED: Final = (
    f"one of {', '.join(SortField)}, alone or followed by a blank and asc or desc"
)


def parse_sort(text: str) -> Sort:
    """Read a `sort` value that matches SORT_PATTERN."""
    field, _, direction = text.partition(" ")
    return Sort(SortField(field), direction == "desc")


class Query(Struct, frozen=True, kw_only=True):
    """A search: different filters together, the values of one as alternatives."""

    #: Found where its case folding occurs, as one literal text, in that of name or description.
    text: str = ""
    #: Whether only private Connectors of the Project are wanted.
    private_only: bool = False
    company: str | None = None
    ids: Sequence[str] = ()
    keys: Sequence[str] = ()
    integration_types: Sequence[IntegrationType] = ()
    sort: Sequence[Sort] = ()
    offset: int = 0
    limit: int = 20


class Sortable(Protocol):
    """What is sorted in memory."""

    @property
    def key(self) -> str | None:
        """Its key, if it has one."""

    @property
    def created_at(self) -> int:
        """Microseconds since 1970."""

    @property
    def last_modified_at(self) -> int:
        """Microseconds since 1970."""


S = TypeVar("S", bound=Sortable)


def in_order(found: Iterable[S], sorts: Sequence[Sort], name: Callable[[S], str]) -> list[S]:
    """Sort by all criteria, the weightiest first; ties stay as they came."""
    result = list(found)
    for sort in reversed(sorts or (NEWEST_FIRST,)):
        if sort.field is SortField.KEY:
            result.sort(key=lambda each: each.key or "", reverse=sort.descending)
            result.sort(key=lambda each: each.key is None)
        elif sort.field is SortField.NAME:
            result.sort(key=name, reverse=sort.descending)
        elif sort.field is SortField.CREATED_AT:
            result.sort(key=lambda each: each.created_at, reverse=sort.descending)
        else:
            result.sort(key=lambda each: each.last_modified_at, reverse=sort.descending)
    return result
