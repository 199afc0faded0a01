"""The documents in every order that results can have, kept sorted.

A page of a common result is read off by walking an order until enough documents of the result
have come by; that of a rare one by sorting the result. Whichever costs less is taken.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from pyroaring import BitMap

from connectory.catalogue.columns import Ids, Texts
from connectory.catalogue.model import Sort, SortField

Key = Callable[[int], Any]

#: Steps of a walk that cost as much as one document of a sort.
_STEPS_PER_SORTED = 12


class Columns:
    """The values that documents are sorted by."""

    def __init__(self) -> None:
        self.ids = Ids()
        self.names = Texts()
        #: Empty where a Connector has no key.
        self.keys = Texts()
        self.created_at = array("q")
        self.last_modified_at = array("q")

    def key(self, sort: Sort) -> Key:
        """A key function for `sorted`, to be used with `reverse=sort.descending`."""
        match sort.field:
            case SortField.NAME:
                return self.names.__getitem__
            case SortField.KEY if sort.descending:
                return self.keys.__getitem__  # the empty text of an absent key comes last
            case SortField.KEY:
                keys = self.keys
                return lambda number: ((key := keys[number]) == b"", key)
            case SortField.CREATED_AT:
                return self.created_at.__getitem__
            case SortField.LAST_MODIFIED_AT:
                return self.last_modified_at.__getitem__


class Orders:
    """All documents by id, and by each field in each direction with ties by id."""

    def __init__(self, columns: Columns, numbers: Iterable[int]) -> None:
        self._columns = columns
        self._by_id = array("I", sorted(numbers, key=columns.ids.__getitem__))
        self._by: dict[Sort, array[int]] = {
            sort: array("I", sorted(self._by_id, key=columns.key(sort), reverse=sort.descending))
            for sort in (Sort(field, down) for field in SortField for down in (False, True))
        }

    def add(self, number: int) -> None:
        """Put one document in its place in every order."""
        columns = self._columns
        uuid = columns.ids[number]
        self._by_id.insert(bisect_left(self._by_id, uuid, key=columns.ids.__getitem__), number)
        for sort, order in self._by.items():
            order.insert(self._place(order, sort, number), number)

    def with_id(self, uuid: bytes) -> Iterator[int]:
        """The documents that have an id: the live one and those that it replaced."""
        ids = self._columns.ids
        yield from _run(self._by_id, uuid, ids.__getitem__)

    def with_key(self, key: bytes) -> Iterator[int]:
        """The documents that have a key."""
        sort = Sort(SortField.KEY)
        yield from _run(self._by[sort], (False, key), self._columns.key(sort))

    def page(self, found: BitMap, sorts: Sequence[Sort], offset: int, limit: int) -> list[int]:
        """`limit` documents of a result after the first `offset`."""
        if limit == 0 or offset >= len(found):
            return []
        end = min(offset + limit, len(found))
        order = self._by[sorts[0]]
        walk = end * len(order) / len(found)
        if walk > _STEPS_PER_SORTED * len(found):
            return self._sorted(found, sorts)[offset:end]
        if len(sorts) == 1:
            # A result that is not spread evenly makes a walk longer than reckoned: it has an end.
            most = max(int(4 * walk), _STEPS_PER_SORTED * len(found))
            page = list(islice(filter(found.__contains__, islice(order, most)), offset, end))
            return page if len(page) == end - offset else self._sorted(found, sorts)[offset:end]
        return self._walk_groups(found, sorts, end)[offset:end]

    def _walk_groups(self, found: BitMap, sorts: Sequence[Sort], end: int) -> list[int]:
        """At least the first `end` documents by several criteria."""
        first = self._columns.key(sorts[0])
        page: list[int] = []
        order = filter(found.__contains__, self._by[sorts[0]])
        for _, ties in groupby(order, key=first):
            page += self._sorted(ties, sorts[1:])
            if len(page) >= end:
                break
        return page

    def _sorted(self, numbers: Iterable[int], sorts: Sequence[Sort]) -> list[int]:
        result = sorted(numbers, key=self._columns.ids.__getitem__)
        for sort in reversed(sorts):
            result.sort(key=self._columns.key(sort), reverse=sort.descending)
        return result

    def _place(self, order: "array[int]", sort: Sort, number: int) -> int:
        """Where a document belongs in an order: by value, then by id, then by number."""
        key, ids = self._columns.key(sort), self._columns.ids
        value, uuid = key(number), ids[number]
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            other = key(order[middle])
            if other == value:
                before = ids[order[middle]] <= uuid
            else:
                before = (other > value) if sort.descending else (other < value)
            low, high = (middle + 1, high) if before else (low, middle)
        return low


def _run(order: "array[int]", value: Any, key: Key) -> Iterator[int]:
    start = bisect_left(order, value, key=key)
    yield from order[start : bisect_right(order, value, lo=start, key=key)]
