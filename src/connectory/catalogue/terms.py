"""Terms, the documents that have each, and the terms that contain a text.

Pure data structures of the search index; what the terms are is `postings`' business.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial

from pyroaring import BitMap

#: Stands at both edges of a term where they matter; no term has it, since it is white space.
EDGE = "\n"
#: Terms are found by the pieces of this length that they contain.
_PIECE = 3
#: A piece that so many terms contain has a bitmap of its own: to unite so many takes long.
_WIDE = 1_024

#: Most terms stand in one document only: its number costs less than a bitmap of one.
Posting = BitMap | int


def united(posting: Posting | None, more: Posting) -> Posting:
    """A posting with the documents of another one; a bitmap is changed in place."""
    if posting is None:
        return more
    if isinstance(posting, int):
        return BitMap((posting,)) | as_bitmap(more)
    if isinstance(more, int):
        posting.add(more)
    else:
        posting |= more
    return posting


def posting_of(numbers: "array[int] | list[int]") -> Posting:
    """A posting of documents, of which there is at least one."""
    return numbers[0] if len(numbers) == 1 else BitMap(numbers)


def as_bitmap(posting: Posting | None) -> BitMap:
    """The documents of a posting; not to be changed."""
    if posting is None:
        return BitMap()
    return BitMap((posting,)) if isinstance(posting, int) else posting


def union(postings: Iterable[Posting]) -> BitMap:
    """The documents of any of the postings."""
    singles: list[int] = []
    bitmaps: list[BitMap] = []
    for posting in postings:
        (singles if isinstance(posting, int) else bitmaps).append(posting)  # type: ignore[arg-type]
    united = BitMap(singles)
    return BitMap.union(united, *bitmaps) if bitmaps else united


class Terms:
    """A vocabulary with a posting for each term."""

    def __init__(self, documents: Mapping[str, "array[int]"]) -> None:
        self._places = {term: place for place, term in enumerate(documents)}
        #: With both edges, so that a text with one is found where it belongs.
        self._edged = [f"{EDGE}{term}{EDGE}" for term in documents]
        self._postings = [posting_of(numbers) for numbers in documents.values()]
        self._by_piece: defaultdict[str, array[int]] = defaultdict(partial(array, "I"))
        for place, edged in enumerate(self._edged):
            self._file(place, edged)
        #: The documents of the pieces that many terms contain.
        self._wide = {
            piece: self._having(piece)
            for piece, places in self._by_piece.items()
            if len(places) >= _WIDE
        }

    def add(self, term: str, documents: Posting) -> None:
        """Add documents to a term, which may be new; the posting is the vocabulary's from then."""
        place = self._places.get(term)
        if place is None:
            place = len(self._edged)
            self._places[term] = place
            self._edged.append(f"{EDGE}{term}{EDGE}")
            self._postings.append(documents)
            self._file(place, self._edged[place])
        else:
            self._postings[place] = united(self._postings[place], documents)
        for piece in _pieces(self._edged[place]):
            wide = self._wide.get(piece)
            if wide is not None:
                united(wide, documents)
            elif len(self._by_piece[piece]) >= _WIDE:
                self._wide[piece] = self._having(piece)

    def equal(self, term: str) -> BitMap:
        """The documents of a term."""
        place = self._places.get(term)
        return as_bitmap(self._postings[place] if place is not None else None)

    def containing(self, text: str) -> BitMap:
        """The documents of the terms that contain a text of at least three characters.

        EDGE in the text stands for a term's edge.
        """
        if text in self._wide:
            return self._wide[text]
        edged, postings = self._edged, self._postings
        rarest = self._rarest(text)
        if len(text) == _PIECE:
            return union([postings[place] for place in rarest])
        return union([postings[place] for place in rarest if text in edged[place]])

    def about(self, text: str) -> BitMap:
        """The documents that `containing` gives, and perhaps more where those take long to tell."""
        wide = [self._wide[piece] for piece in _pieces(text) if piece in self._wide]
        if not wide or len(self._rarest(text)) < _WIDE:
            return self.containing(text)
        return BitMap.intersection(*wide)

    def _rarest(self, text: str) -> "array[int]":
        """The terms of that piece of a text which the fewest contain; none where one has none."""
        none: array[int] = array("I")
        return min((self._by_piece.get(piece, none) for piece in _pieces(text)), key=len)

    def _having(self, piece: str) -> BitMap:
        return union([self._postings[place] for place in self._by_piece[piece]])

    def _file(self, place: int, edged: str) -> None:
        by_piece = self._by_piece
        for piece in _pieces(edged):
            by_piece[piece].append(place)


def _pieces(text: str) -> set[str]:
    return {text[start : start + _PIECE] for start in range(len(text) - _PIECE + 1)}
