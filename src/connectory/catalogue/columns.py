"""Columns of the search index: one value a document, by number, in a few bytes each.

A Python object costs fifty bytes before it holds anything; at a million documents that is what a
node's memory goes into. These hold the bytes end to end.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable


class Texts:
    """A growing list of byte strings."""

    __slots__ = ("_bytes", "_ends")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> bytes:
        start = self._ends[number - 1] if number else 0
        return bytes(self._bytes[start : self._ends[number]])

    def append(self, text: bytes) -> None:
        """Add a text; its number is how many there were before."""
        self._bytes += text
        self._ends.append(len(self._bytes))

    def containing_from(self, first: int, piece: bytes) -> list[int]:
        """Those of the texts from a number on that contain `piece`, which is not empty."""
        find, ends = self._bytes.find, self._ends
        found: list[int] = []
        number, place = first, ends[first - 1] if first else 0
        while (place := find(piece, place)) >= 0:
            number = bisect_right(ends, place, number)
            if place + len(piece) <= ends[number]:
                found.append(number)
                place = ends[number]
            else:  # it begins in one text and ends in the next
                place += 1
        return found

    def containing(self, piece: bytes, numbers: Iterable[int]) -> list[int]:
        """Those of the texts with these numbers that contain `piece`."""
        find, ends = self._bytes.find, self._ends
        return [
            number
            for number in numbers
            if find(piece, ends[number - 1] if number else 0, ends[number]) >= 0
        ]


class Ids:
    """A growing list of UUIDs, sixteen bytes each."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes) // 16

    def __getitem__(self, number: int) -> bytes:
        return bytes(self._bytes[16 * number : 16 * number + 16])

    def append(self, uuid: bytes) -> None:
        """Add a UUID; its number is how many there were before."""
        self._bytes += uuid


def pack_id(uuid: str) -> bytes | None:
    """The sixteen bytes of a UUID; None for any other text. They sort as the lower-case text."""
    if len(uuid) != 36:  # noqa: PLR2004 - the length of a UUID
        return None
    try:
        packed = bytes.fromhex(uuid.replace("-", ""))
    except ValueError:
        return None
    return packed if len(packed) == 16 and unpack_id(packed) == uuid.lower() else None  # noqa: PLR2004


def unpack_id(packed: bytes) -> str:
    """The UUID of sixteen bytes, in lower case."""
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
