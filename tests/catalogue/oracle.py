"""What a search must find, said in plain Python with no index: slow, and obviously right."""

from collections.abc import Sequence
from typing import Any

from connectory.catalogue.model import Document, Query, Sort, SortField


def expected(
    documents: Sequence[Document], query: Query, project: str
) -> tuple[int, list[tuple[str, int]]]:
    """The total and the page, as (id, version) of each Connector on it."""
    found = [each for each in documents if _matches(each, query, project)]
    found.sort(key=lambda each: each.id)
    for sort in reversed(query.sort or (Sort(SortField.CREATED_AT, descending=True),)):
        found = _sorted(found, sort)
    if query.text and not query.sort:
        found.sort(key=lambda each: query.text.casefold() not in each.name.casefold())
    page = found[query.offset : query.offset + query.limit]
    return len(found), [(each.id, each.version) for each in page]


def _matches(document: Document, query: Query, project: str) -> bool:
    own = project in document.projects
    text = query.text.casefold()
    return (
        ((own and document.private) if query.private_only else (own or not document.private))
        and (
            text in document.name.casefold()
            or text in (document.description or "").casefold()
            or not text
        )
        and (query.company is None or document.company == query.company)
        and (not query.ids or document.id in {each.lower() for each in query.ids})
        and (not query.keys or document.key in query.keys)
        and (
            not query.integration_types
            or not set(query.integration_types).isdisjoint(document.integration_types)
        )
    )


def _sorted(documents: list[Document], sort: Sort) -> list[Document]:
    def value(document: Document) -> Any:
        return {
            SortField.NAME: document.name,
            SortField.KEY: document.key,
            SortField.CREATED_AT: document.created_at,
            SortField.LAST_MODIFIED_AT: document.last_modified_at,
        }[sort.field]

    present = [each for each in documents if value(each) is not None]
    absent = [each for each in documents if value(each) is None]
    return sorted(present, key=value, reverse=sort.descending) + absent
