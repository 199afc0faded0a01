"""The search index: every live Connector in memory, found by id, key, text and filter.

A document is never changed. A new version of a Connector is a new document with a new number; the
one that it replaces is no longer live, and every answer is masked by what is live. Whoever holds a
number can therefore keep what belongs to it for as long as the number is live. Replaced documents
are dropped when the index is built anew, which it is once they are many.

Documents that were taken in are found at once: searches look through their texts, until these are
taken to pieces and put to those of the others (docs/decisions/0037-found-before-indexed.md).

One thread uses an index at a time; what others may work out beside it says so.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

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

    def __init__(self, texts: Sequence[str], going_on: Callable[[], None]) -> None:
        self._texts = Texts()

        def kept() -> Iterator[tuple[int, str]]:
            for number, text in enumerate(texts):
                going_on()
                self._texts.append(text.encode())
                yield number, text

        self._postings = Postings(kept())

    def pieces(self, numbers: range) -> Addition:
        return self._postings.prepared((number, self._texts[number].decode()) for number in numbers)

    def append(self, text: str) -> None:
        self._texts.append(text.encode())

    def add(self, addition: Addition) -> Iterator[None]:
        return self._postings.add(addition)

    def containing(self, text: str, indexed: int) -> BitMap:
        """The documents whose field contains a case-folded text, exactly.

        Those from the number `indexed` on are looked through.
        """
        found = self._told(text)
        more = self._texts.containing_from(indexed, text.encode())
        return found | BitMap(more) if more else found

    def _told(self, text: str) -> BitMap:
        """Those of the documents that were taken to pieces."""
        if len(text) <= 2 or not any(map(str.isspace, text)):  # noqa: PLR2004
            return self._postings.containing(text)
        sure, perhaps = self._postings.narrowed(text)
        return sure | BitMap(self._texts.containing(text.encode(), perhaps))


class Pieces(Struct, frozen=True):
    """Documents of which the names and the descriptions were taken to pieces."""

    numbers: range
    names: Addition
    descriptions: Addition


class Placed(Struct, frozen=True):
    """What it takes to publish staged documents.

    Attributes:
        numbers: Of the documents.
        replaced: The documents that are no longer live then.
        before: The orders that the index has to have until then.
        orders: The ones that it has from then on.
    """

    numbers: BitMap
    replaced: BitMap
    before: Orders
    orders: Orders


class SearchIndex:
    """Built from documents; grown by `stage`, `placed` and `publish`, and then by `absorb`."""

    def __init__(
        self, documents: Iterable[Document] = (), *, going_on: Callable[[], None] = lambda: None
    ) -> None:
        """Build it; `going_on` is called again and again, and what it raises ends that."""
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
            going_on()
            self._append(number, document)
            names.append(_name(document))
            descriptions.append(_description(document))
        self._names = _Field(names, going_on)
        self._descriptions = _Field(descriptions, going_on)
        self._built = len(names)
        #: The documents from this number on were not taken to pieces: they are looked through.
        self._indexed = len(names)
        self._live = BitMap(range(len(names)))
        self._orders = Orders.of(self._columns, range(len(names)))
        self._kept: dict[str, tuple[BitMap, BitMap]] = {}

    def __len__(self) -> int:
        """How many Connectors there are."""
        return len(self._live)

    @property
    def taken_in(self) -> int:
        """How many documents it has, also those that are staged or were replaced."""
        return len(self._columns.ids)

    @property
    def grown(self) -> int:
        """How many documents were taken in since the index was built."""
        return self.taken_in - self._built

    @property
    def scanned(self) -> int:
        """How many documents every search for a text looks through, as they are not absorbed."""
        return self.taken_in - self._indexed

    def stage(self, documents: Iterable[Document]) -> Iterator[None]:
        """Take documents in, not yet to be found, in small steps between which others search.

        Their numbers follow one another, from what `taken_in` was before.
        """
        for document in documents:
            self._append(self.taken_in, document)
            self._names.append(_name(document))
            self._descriptions.append(_description(document))
            yield

    def placed(self, numbers: Iterable[int], beside: Placed | None = None) -> Placed:
        """What it takes to publish staged documents; a worker thread may work it out.

        `beside` was worked out for others, which are to be published with them. Of several with the
        same id, the one with the largest number stays.
        """
        orders = self._orders  # others may be published meanwhile
        if beside is None or beside.before is not orders:
            beside = Placed(BitMap(), BitMap(), orders, orders)
        added = BitMap(numbers) - beside.numbers
        uuid, latest, replaced = self._columns.ids.__getitem__, dict[bytes, int](), BitMap()
        for number in added:
            id_ = uuid(number)
            replaced.update(beside.orders.with_id(id_))
            earlier = latest.get(id_)
            if earlier is not None:
                replaced.add(earlier)
            latest[id_] = number
        return Placed(
            beside.numbers | added,
            beside.replaced | replaced,
            orders,
            beside.orders.merged(added) if added else beside.orders,
        )

    def publish(self, placed: Placed) -> None:
        """Make staged documents live, all at once, in place of those with the same ids.

        Raises:
            ValueError: others were published since this was worked out.
        """
        if placed.before is not self._orders:
            raise ValueError("others were published since these were placed")
        self._orders = placed.orders
        self._live = (self._live | placed.numbers) - placed.replaced
        self._kept.clear()

    def pieces(self, most: int) -> Pieces:
        """Take the texts of the first scanned documents to pieces, of so many at once.

        A worker thread may do it while others are searched for, staged and published.
        """
        numbers = range(self._indexed, min(self._indexed + most, self.taken_in))
        return Pieces(numbers, self._names.pieces(numbers), self._descriptions.pieces(numbers))

    def absorb(self, pieces: Pieces) -> Iterator[None]:
        """Put pieces to the others, in small steps between which others search.

        From then on the documents are not looked through any more.
        """
        if pieces.numbers.start != self._indexed:
            raise ValueError("others were absorbed since these were taken to pieces")
        yield from self._names.add(pieces.names)
        yield from self._descriptions.add(pieces.descriptions)
        self._indexed = pieces.numbers.stop

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
            kept = (
                self._names.containing(folded, self._indexed),
                self._descriptions.containing(folded, self._indexed),
            )
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
