"""Which documents hold which text: an exact substring index over one field.

A field is split at white space into words; of every word the documents that have it are kept as a
roaring bitmap. A text without white space occurs in a document exactly if it occurs in one of its
words: so it is looked for in the vocabulary, which is short, and the bitmaps of the words that
contain it are united. Texts of one or two characters, white space among them, have bitmaps of
their own. A text with white space narrows the documents down: they have words that end with its
first piece, are its middle pieces and start with its last, and where two pieces meet, two words
meet in the same few letters before and after the blank. Whoever asks then looks into those that
remain; where that would be many, more letters are kept. (docs/decisions/0005-search-in-memory.md)
"""

import itertools
import re
from array import array
from collections.abc import Iterable

from pyroaring import BitMap

from connectory.catalogue.terms import (
    EDGE,
    Posting,
    Terms,
    as_bitmap,
    extended,
    posting_of,
    union,
)

_BLANKS = re.compile(r"\s+")
#: Letters on either side of a blank where two words meet: more tell more, and cost more memory.
_MEETING = 2
#: The letters after the blank in a longer meeting.
_LONG_MEETING = 3
#: Where one word's last letter and the next one's first three, as in `t the`, meet in more than
#: this share of the documents, those are kept: to look into so many takes long. Which do is told
#: by the first so many documents.
_FREQUENT = 1 / 64
_SAMPLE = 4_096


class Postings:
    """The documents of one field, by what their texts contain. All texts are case-folded."""

    def __init__(self, texts: Iterable[tuple[int, str]] = ()) -> None:
        by_word: dict[str, array[int]] = {}
        by_meeting: dict[str, array[int]] = {}
        by_blank_gram: dict[str, array[int]] = {}
        by_long_meeting: dict[str, array[int]] = {}
        #: The documents whose words are not parted by single blanks: few, and in every result of
        #: meetings.
        self._irregular = BitMap()
        for place, (number, text) in enumerate(texts):
            if place == _SAMPLE:
                by_long_meeting = _frequent_ones(by_long_meeting)
            words = text.split()
            for word in set(words):
                _append(by_word, word, number)
            if " ".join(words) == text:
                for meeting in _meetings(words):
                    _append(by_meeting, meeting, number)
                meetings = _long_meetings(words)
                if place >= _SAMPLE:
                    meetings &= by_long_meeting.keys()
                for meeting in meetings:
                    _append(by_long_meeting, meeting, number)
            else:
                self._irregular.add(number)
                for gram in _blank_grams(text):
                    _append(by_blank_gram, gram, number)
        self._words = Terms(by_word)
        self._meetings = Terms(by_meeting)
        #: The documents of the frequent ones of the longer meetings.
        self._frequent = {
            meeting: BitMap(numbers) for meeting, numbers in _frequent_ones(by_long_meeting).items()
        }
        self._grams = self._gather_grams(by_blank_gram)

    def add(self, number: int, text: str) -> None:
        """Add one document; `number` is larger than all before."""
        words = text.split()
        grams: set[str] = set()
        for word in set(words):
            self._words.add(word, number)
            grams.update(_grams(word))
        if " ".join(words) == text:
            for meeting in _meetings(words):
                self._meetings.add(meeting, number)
                grams.update(_blank_grams(meeting))
            for meeting in _long_meetings(words) & self._frequent.keys():
                self._frequent[meeting].add(number)
        else:
            self._irregular.add(number)
            grams.update(_blank_grams(text))
        for gram in grams:
            self._grams[gram] = extended(self._grams.get(gram), number)

    def containing(self, text: str) -> BitMap:
        """Exactly the documents whose field contains a text.

        The text is without white space, or has up to two characters.
        """
        if len(text) <= 2:  # noqa: PLR2004
            return as_bitmap(self._grams.get(text))
        return self._words.containing(text)

    def narrowed(self, text: str) -> tuple[BitMap, BitMap]:
        """The documents whose field surely contains a text with white space, and those that may.

        Of the latter nothing but their text tells.
        """
        pieces = text.split()
        if not pieces:
            return BitMap(), as_bitmap(self._grams.get(text[:2]))
        if _meetings(pieces) == {text}:
            return self._meetings.containing(text), self._irregular
        if text in self._frequent:
            return self._frequent[text], self._irregular
        last = len(pieces) - 1
        found: BitMap | None = None
        for place, piece in enumerate(pieces):
            documents = self._with_piece(
                piece,
                starts=place > 0 or text[0].isspace(),
                ends=place < last or text[-1].isspace(),
            )
            found = documents if found is None else found & documents
        for meeting in _meetings(pieces):
            found = BitMap() if found is None else found & self._meeting(meeting)
        # A last piece without a blank behind it may be the beginning of a longer word, and a short
        # one then does not tell the letters after the blank.
        told = pieces if text[-1].isspace() or len(pieces[-1]) >= _LONG_MEETING else pieces[:-1]
        for meeting in _long_meetings(told) & self._frequent.keys():
            found = (
                BitMap() if found is None else found & (self._frequent[meeting] | self._irregular)
            )
        return BitMap(), found if found is not None else BitMap()

    def _with_piece(self, piece: str, *, starts: bool, ends: bool) -> BitMap:
        if starts and ends:
            return self._words.equal(piece)
        edged = (EDGE if starts else "") + piece + (EDGE if ends else "")
        return self._words.about(edged) if len(edged) > 2 else self.containing(piece)  # noqa: PLR2004

    def _meeting(self, meeting: str) -> BitMap:
        """The documents in which two words may meet like this.

        A short piece may be part of a longer word, so the meeting is looked for inside others.
        """
        return self._meetings.containing(meeting) | self._irregular

    def _gather_grams(self, by_blank_gram: "dict[str, array[int]]") -> dict[str, Posting]:
        """The documents of each piece of one or two characters, by way of words and meetings."""
        gathered: dict[str, list[Posting]] = {}
        for word, posting in self._words.items():
            for gram in _grams(word):
                gathered.setdefault(gram, []).append(posting)
        for meeting, posting in self._meetings.items():
            for gram in _blank_grams(meeting):
                gathered.setdefault(gram, []).append(posting)
        for gram, numbers in by_blank_gram.items():
            gathered.setdefault(gram, []).append(posting_of(numbers))
        return {gram: union(postings) for gram, postings in gathered.items()}


def _append(documents: "dict[str, array[int]]", term: str, number: int) -> None:
    numbers = documents.get(term)
    if numbers is None:
        documents[term] = array("I", (number,))
    else:
        numbers.append(number)


def _frequent_ones(documents: "dict[str, array[int]]") -> "dict[str, array[int]]":
    """Those that stand in a large share of the first documents; none where they are few."""
    least = _SAMPLE * _FREQUENT
    return {term: numbers for term, numbers in documents.items() if len(numbers) > least}


def _grams(word: str) -> set[str]:
    return {*word, *map("".join, itertools.pairwise(word))}


def _meetings(words: list[str]) -> set[str]:
    """How neighbouring words meet: the last letters of one, a blank, the first of the next."""
    return {f"{left[-_MEETING:]} {right[:_MEETING]}" for left, right in itertools.pairwise(words)}


def _long_meetings(words: list[str]) -> set[str]:
    """How neighbouring words meet, by fewer letters before the blank and more after it."""
    return {f"{left[-1]} {right[:_LONG_MEETING]}" for left, right in itertools.pairwise(words)}


def _blank_grams(text: str) -> set[str]:
    """The pieces of one and two characters of a text that have white space in them."""
    grams: set[str] = set()
    for run in _BLANKS.finditer(text):
        around = text[max(run.start() - 1, 0) : run.end() + 1]
        grams.update(run.group(), map("".join, itertools.pairwise(around)))
    return grams
