"""The search index: every live Connector in memory, found by id, key, text and filter.

A document is never changed. A new version of a Connector is a new document with a new number; the
one that it replaces is no longer live, and every answer is masked by what is live. Whoever holds a
number can therefore keep what belongs to it for as long as the number is live. Replaced documents
are dropped when the index is built anew, which it is once they are many.

One thread uses an index at a time.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from pyroaring import BitMap

from connectory.catalogue.columns import Texts, pack_id, unpack_id
from connectory.catalogue.model import NEWEST_FIRST, Document, Query
from connectory.catalogue.orders import Columns, Orders
from connectory.catalogue.postings import Addition, Postings
from connectory.contract.scalars import IntegrationType

#: Results of texts that are kept, so that the pages of one search are not searched anew.
_KEPT_TEXTS = 64


class Page(Struct, frozen=True):
    """A page of results: how many match in all, and the numbers of those on the page."""

    total: int
    numbers: Sequence[int]


class _Field:
    """One searched field: its texts in case folding, and which documents they stand in."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = Texts()
        for text in texts:
            self._texts.append(text.encode())
        self._postings = Postings(enumerate(texts))

    def prepared(self, texts: Iterable[tuple[int, str]]) -> Addition:
        return self._postings.prepared(texts)

    def append(self, text: str) -> None:
        self._texts.append(text.encode())

    def add(self, addition: Addition) -> Iterator[None]:
        return self._postings.add(addition)

    def containing(self, text: str) -> BitMap:
        """The documents whose field contains a case-folded text, exactly."""
        if len(text) <= 2 or not any(map(str.isspace, text)):  # noqa: PLR2004
            return self._postings.containing(text)
        sure, perhaps = self._postings.narrowed(text)
        return sure | BitMap(self._texts.containing(text.encode(), perhaps))


class Batch(Struct, frozen=True):
    """Documents that an index is to take in, and what had to be worked out for that."""

    numbers: range
    documents: Sequence[Document]
    names: Addition
    descriptions: Addition


class SearchIndex:
    """Built from documents; grown by `prepared`, `stage`, `ordered` and `publish`."""

    def __init__(self, documents: Iterable[Document] = ()) -> None:
        self._columns = Columns()
        self._versions = array("I")
        self._public = BitMap()
        self._unlisted = BitMap()
        self._projects: dict[str, BitMap] = {}
        self._companies: dict[str, BitMap] = {}
        self._types: dict[IntegrationType, BitMap] = {each: BitMap() for each in IntegrationType}
        names: list[str] = []
        descriptions: list[str] = []
        for number, document in enumerate(documents):
            self._append(number, document)
            names.append(_name(document))
            descriptions.append(_description(document))
        self._names = _Field(names)
        self._descriptions = _Field(descriptions)
        self._built = len(names)
        self._live = BitMap(range(len(names)))
        self._orders = Orders.of(self._columns, range(len(names)))
        self._kept: dict[str, tuple[BitMap, BitMap]] = {}

    def __len__(self) -> int:
        """How many Connectors there are."""
        return len(self._live)

    @property
    def grown(self) -> int:
        """How many documents were taken in since the index was built."""
        return len(self._columns.ids) - self._built

    def prepared(self, documents: Sequence[Document]) -> Batch:
        """Work out what taking documents in needs; it changes nothing.

        A worker thread may do it while another searches, as long as nobody takes others in.
        """
        first = len(self._columns.ids)
        return Batch(
            range(first, first + len(documents)),
            documents,
            self._names.prepared(enumerate(map(_name, documents), first)),
            self._descriptions.prepared(enumerate(map(_description, documents), first)),
        )

    def stage(self, batch: Batch) -> Iterator[None]:
        """Take documents in, not yet to be found, in small steps between which others search."""
        if batch.numbers.start != len(self._columns.ids):
            raise ValueError("the index has changed since the batch was prepared")
        for number, document in zip(batch.numbers, batch.documents, strict=True):
            self._append(number, document)
            self._names.append(_name(document))
            self._descriptions.append(_description(document))
            yield
        yield from self._names.add(batch.names)
        yield from self._descriptions.add(batch.descriptions)

    def ordered(self, numbers: Iterable[int]) -> Orders:
        """The orders with staged documents in their places; a worker thread may make them."""
        return self._orders.merged(numbers)

    def publish(self, numbers: Iterable[int], orders: Orders) -> None:
        """Make staged documents live, all at once, in place of those with the same ids."""
        self._orders = orders
        for number in numbers:
            for older in orders.with_id(self._columns.ids[number]):
                self._live.discard(older)
            self._live.add(number)
        self._kept.clear()

    def is_live(self, number: int) -> bool:
        """Whether a document is a Connector's current version."""
        return number in self._live

    def is_visible(self, number: int, project: str) -> bool:
        """Whether a document exists for a Project, given as `region:projectKey`."""
        return number in self._public or number in self._projects.get(project, ())

    def is_public(self, number: int) -> bool:
        """Whether a document exists for everyone."""
        return number in self._public

    def with_id(self, id_: str) -> int | None:
        """The live document with an id."""
        uuid = pack_id(id_)
        return None if uuid is None else self._first_live(self._orders.with_id(uuid))

    def with_key(self, key: str) -> int | None:
        """The live document with a key."""
        return self._first_live(self._orders.with_key(key.encode())) if key else None

    def version_of(self, number: int) -> tuple[str, int]:
        """The id of a document's Connector, and its version."""
        return unpack_id(self._columns.ids[number]), self._versions[number]

    def search(self, query: Query, project: str) -> Page:
        """What a Project finds."""
        base = self._filtered(query, project)
        if not query.text:
            return self._page(base, BitMap(), query)
        in_name, in_description = self._matching(query.text)
        first, second = in_name & base, in_description & base
        if query.sort:
            return self._page(first | second, BitMap(), query)
        return self._page(first, second - first, query)

    def _page(self, first: BitMap, second: BitMap, query: Query) -> Page:
        """A page of two results, one after the other."""
        sorts, offset, limit = query.sort or (NEWEST_FIRST,), query.offset, query.limit
        numbers = self._orders.page(first, sorts, offset, limit)
        if len(numbers) < limit and second:
            numbers += self._orders.page(
                second, sorts, max(offset - len(first), 0), limit - len(numbers)
            )
        return Page(len(first) + len(second), numbers)

    def _filtered(self, query: Query, project: str) -> BitMap:
        """What is live, exists for the Project, and passes every filter."""
        own = self._projects.get(project, BitMap())
        base = (own - self._public if query.private_only else own | self._public) & self._live
        if self._unlisted:
            base -= self._unlisted
        if query.company is not None:
            base &= self._companies.get(query.company, BitMap())
        if query.integration_types:
            base &= BitMap.union(*(self._types[each] for each in query.integration_types))
        if query.ids:
            base &= _bitmap(map(self.with_id, query.ids))
        if query.keys:
            base &= _bitmap(map(self.with_key, query.keys))
        return base

    def _matching(self, text: str) -> tuple[BitMap, BitMap]:
        """The documents that have a text in their name, and in their description."""
        folded = text.casefold()
        kept = self._kept.get(folded)
        if kept is None:
            kept = (self._names.containing(folded), self._descriptions.containing(folded))
            if len(self._kept) >= _KEPT_TEXTS:
                self._kept.clear()
            self._kept[folded] = kept
        return kept

    def _first_live(self, numbers: Iterable[int]) -> int | None:
        return next(filter(self._live.__contains__, numbers), None)

    def _append(self, number: int, document: Document) -> None:
        uuid = pack_id(document.id)
        if uuid is None:
            raise ValueError(f"{document.id} is not a UUID")
        self._columns.ids.append(uuid)
        self._columns.names.append(document.name.encode())
        self._columns.keys.append((document.key or "").encode())
        self._columns.created_at.append(document.created_at)
        self._columns.last_modified_at.append(document.last_modified_at)
        self._versions.append(document.version)
        if not document.private:
            self._public.add(number)
        if not document.listed:
            self._unlisted.add(number)
        for project in document.projects:
            self._projects.setdefault(project, BitMap()).add(number)
        if document.company is not None:
            self._companies.setdefault(document.company, BitMap()).add(number)
        for integration_type in document.integration_types:
            self._types[integration_type].add(number)


def _bitmap(numbers: Iterable[int | None]) -> BitMap:
    return BitMap([number for number in numbers if number is not None])


def _name(document: Document) -> str:
    return document.name.casefold()


def _description(document: Document) -> str:
    return (document.description or "").casefold()
