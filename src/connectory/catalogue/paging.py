"""What every query that gives pages of sorted results can be asked."""

from typing import Annotated

from msgspec import Meta, Struct

from connectory.catalogue.model import SORT_EXPECTED, SORT_PATTERN
from connectory.contract.errors import InvalidQueryParam

#: What a number of 64 bits has at least.
_DIGITS = 18


class Paging(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which page is wanted, of which order."""

    limit: Annotated[
        int, Meta(ge=0, le=500, description="Number of results requested.", examples=[3])
    ] = 20
    offset: Annotated[int, Meta(ge=0, le=10_000, description="Number of results skipped.")] = 0
    sort: Annotated[
        tuple[Annotated[str, Meta(pattern=SORT_PATTERN, extra={"expected": SORT_EXPECTED})], ...],
        Meta(
            description="Criteria, the weightiest first: `name` (of the Connector), `key`,"
            " `createdAt` or `lastModifiedAt`, alone or followed by `asc` or `desc`."
        ),
    ] = ()


def is_number(text: str) -> bool:
    """Whether a text is the number of a row, in decimal digits."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def before_of(token: str) -> int | None:
    """The id that a page's entries come before, by the `next` of the page before; none for "".

    Raises:
        InvalidQueryParam: it is no such token.
    """
    if token and not is_number(token):
        raise InvalidQueryParam("pageToken: it is not `next` of a page")
    return int(token) if token else None
