"""What every query that gives pages of sorted results can be asked."""

from typing import Annotated

from msgspec import Meta, Struct

from connectory.catalogue.model import SORT_EXPECTED, SORT_PATTERN


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
