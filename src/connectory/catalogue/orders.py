"""The documents in every order that results can have, kept sorted.

A page of a common result is read off by walking an order until enough documents of the result
have come by; that of a rare one by sorting the result. Whichever costs less is taken.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby, islice
from typing import Any

from pyroaring import BitMap

from connectory.catalogue.columns import Ids, Texts
from connectory.catalogue.model import Sort, SortField

Key = Callable[[int], Any]

#: Steps of a walk that cost as much as one document of a sort.
_STEPS_PER_SORTED = 12
#: Where more than this share is added, to sort everything takes less than to find its places.
_MOST_MERGED = 0.08
#: So many are sorted by one call, which keeps all other threads from the interpreter.
_AT_ONCE = 4_096
#: No UTF-8 has such a byte, and every text sorts before it.
_AFTER_ALL_TEXTS = b"\xff"


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
                return lambda number: keys[number] or _AFTER_ALL_TEXTS
            case SortField.CREATED_AT:
                return self.created_at.__getitem__
            case SortField.LAST_MODIFIED_AT:
                return self.last_modified_at.__getitem__


class Orders:
    """All documents by id, and by each field in each direction with ties by id."""

    def __init__(self, columns: Columns, by_id: "array[int]", by: "dict[Sort, array[int]]") -> None:
        self._columns = columns
        self._by_id = by_id
        self._by = by

    @classmethod
    def of(cls, columns: Columns, numbers: Iterable[int]) -> "Orders":
        """The orders of some documents."""
        unsorted = list(numbers)
        uuids = list(map(columns.ids.__getitem__, unsorted))
        by_id = array("I", map(unsorted.__getitem__, _sorted(len(unsorted), uuids)))
        by: dict[Sort, array[int]] = {}
        for field in SortField:
            up, down = Sort(field), Sort(field, descending=True)
            places = _sorted(len(by_id), list(map(columns.key(up), by_id)))
            by[up] = array("I", map(by_id.__getitem__, places))
            values = list(map(columns.key(down), by_id))
            places.sort(key=values.__getitem__, reverse=True)
            by[down] = array("I", map(by_id.__getitem__, places))
        return cls(columns, by_id, by)

    def merged(self, numbers: Iterable[int]) -> "Orders":
        """Orders that have more documents in their places; these stay as they are."""
        numbers = list(numbers)
        if len(numbers) > _MOST_MERGED * len(self._by_id):
            return self.of(self._columns, [*self._by_id, *numbers])
        columns, uuid = self._columns, self._columns.ids.__getitem__

        def place_by_id(number: int, low: int) -> int:
            return bisect_right(self._by_id, uuid(number), low, key=uuid)

        added = sorted(numbers, key=uuid)
        by_id = _merged(self._by_id, added, place_by_id)
        by = {
            sort: _merged(
                order,
                sorted(added, key=columns.key(sort), reverse=sort.descending),
                partial(self._place, order, sort),
            )
            for sort, order in self._by.items()
        }
        return Orders(columns, by_id, by)

    def with_id(self, uuid: bytes) -> Iterator[int]:
        """The documents that have an id: the live one and those that it replaced."""
        ids = self._columns.ids
        yield from _run(self._by_id, uuid, ids.__getitem__)

    def with_key(self, key: bytes) -> Iterator[int]:
        """The documents that have a key."""
        sort = Sort(SortField.KEY)
        yield from _run(self._by[sort], key, self._columns.key(sort))

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

    def _place(self, order: "array[int]", sort: Sort, number: int, low: int) -> int:
        """Where, from a place on, a document belongs in an order: by value, id and number."""
        key, ids = self._columns.key(sort), self._columns.ids
        value, uuid = key(number), ids[number]

        def follows(place: int) -> bool:
            other = key(order[place])
            if other == value:
                return ids[order[place]] <= uuid
            return bool(other > value) if sort.descending else bool(other < value)

        # Of many documents each belongs near the one before: in longer and longer steps from there.
        step, high = 1, low
        while high < len(order) and follows(high):
            low, high = high + 1, high + step
            step *= 2
        high = min(high, len(order))
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if follows(middle) else (low, middle)
        return low


def _sorted(count: int, values: Sequence[Any]) -> list[int]:
    """The places of so many values, sorted by them, and among equals by the place.

    Sorted and merged in parts: other threads have their turn in between.
    """
    value = values.__getitem__
    parts = [
        sorted(range(start, min(start + _AT_ONCE, count)), key=value)
        for start in range(0, count, _AT_ONCE)
    ]
    while len(parts) > 1:
        parts = [
            sorted(chain.from_iterable(parts[place : place + 2]), key=value)
            for place in range(0, len(parts), 2)
        ]
    return parts[0] if parts else []


def _merged(
    order: "array[int]", added: Iterable[int], place: Callable[[int, int], int]
) -> "array[int]":
    """An order with documents added, which come in this order too."""
    merged = array("I")
    start = 0
    for number in added:
        end = place(number, start)
        merged.extend(order[start:end])
        merged.append(number)
        start = end
    merged.extend(order[start:])
    return merged


def _run(order: "array[int]", value: Any, key: Key) -> Iterator[int]:
    start = bisect_left(order, value, key=key)
    yield from order[start : bisect_right(order, value, lo=start, key=key)]
