"""What texts consist of, gathered for the search index: words, meetings of words, and grams.

Pure functions: they can run in a worker thread while others search. What the pieces are for is told
in `postings`.
"""

import itertools
import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from msgspec import Struct
from pyroaring import BitMap

from connectory.catalogue.terms import Posting

#: Letters on either side of a blank where two words meet: more tell more, and cost more memory.
MEETING = 2
#: The letters after the blank in a longer meeting.
LONG_MEETING = 3
#: Where one word's last letter and the next one's first three, as in `t the`, meet in more than
#: this share of the documents, those are kept: to look into so many takes long. Which do is told
#: by the first so many documents.
_FREQUENT = 1 / 64
_SAMPLE = 4_096

#: To unite the bitmaps of so few documents takes longer than to make one of all their numbers.
_FEW = 32

_BLANKS = re.compile(r"\s+")

Numbers = Mapping[str, "array[int]"]


class Gathered(Struct, frozen=True):
    """The documents of each piece of some texts, in the order of their numbers.

    Attributes:
        words: By word.
        meetings: By meeting of two words.
        frequent: By longer meeting, those that are kept.
        blank_grams: By gram with white space in it, of the irregular ones.
        irregular: The documents whose words are not parted by single blanks.
    """

    words: Numbers
    meetings: Numbers
    frequent: Numbers
    blank_grams: Numbers
    irregular: BitMap


def gather(texts: Iterable[tuple[int, str]], kept: Collection[str] | None = None) -> Gathered:
    """Take texts to pieces, each given with its document; all are case-folded.

    `kept` are the longer meetings to look for; None has them found in the first texts.
    """
    by_word, by_meeting, by_blank_gram = _numbers(), _numbers(), _numbers()
    frequent, irregular = _Frequent(kept), BitMap()
    for place, (number, text) in enumerate(texts):
        if place == _SAMPLE:
            frequent.settle()
        words = text.split()
        for word in set(words):
            by_word[word].append(number)
        if " ".join(words) == text:
            for meeting in meetings(words):
                by_meeting[meeting].append(number)
            frequent.add(number, words)
        else:
            irregular.add(number)
            for gram in blank_grams(text):
                by_blank_gram[gram].append(number)
    frequent.settle()
    return Gathered(by_word, by_meeting, frequent.documents, by_blank_gram, irregular)


class _Frequent:
    """The longer meetings that are kept, with their documents."""

    def __init__(self, kept: Collection[str] | None) -> None:
        self.documents = _numbers()
        self._kept = None if kept is None else set(kept)

    def add(self, number: int, words: list[str]) -> None:
        if self._kept is None:
            found = long_meetings(words)
        elif self._kept:
            found = self._kept.intersection(long_meetings(words))
        else:
            return
        for meeting in found:
            self.documents[meeting].append(number)

    def settle(self) -> None:
        """Keep those that stand in a large share of the first documents; none if they are few."""
        if self._kept is not None:
            return
        least = _SAMPLE * _FREQUENT
        self._kept = {term for term, found in self.documents.items() if len(found) > least}
        for term in self.documents.keys() - self._kept:
            del self.documents[term]


def _numbers() -> "defaultdict[str, array[int]]":
    return defaultdict(partial(array, "I"))


def gather_grams(found: Gathered) -> dict[str, Posting]:
    """The documents of each piece of one or two characters, by way of words and meetings."""
    few, many = _numbers(), defaultdict[str, BitMap](BitMap)
    for terms, grams_of in ((found.words, _grams), (found.meetings, blank_grams)):
        for term, numbers in terms.items():
            if len(numbers) <= _FEW:
                for gram in grams_of(term):
                    few[gram].extend(numbers)
            else:
                documents = BitMap(numbers)
                for gram in grams_of(term):
                    many[gram] |= documents
    for gram, numbers in found.blank_grams.items():
        few[gram].extend(numbers)
    for gram, numbers in few.items():
        many[gram] |= BitMap(numbers)
    return dict(many)


def meetings(words: list[str]) -> set[str]:
    """How neighbouring words meet: the last letters of one, a blank, the first of the next."""
    return {f"{left[-MEETING:]} {right[:MEETING]}" for left, right in itertools.pairwise(words)}


def long_meetings(words: list[str]) -> set[str]:
    """How neighbouring words meet, by fewer letters before the blank and more after it."""
    return {f"{left[-1]} {right[:LONG_MEETING]}" for left, right in itertools.pairwise(words)}


def blank_grams(text: str) -> set[str]:
    """The pieces of one and two characters of a text that have white space in them."""
    grams: set[str] = set()
    for run in _BLANKS.finditer(text):
        around = text[max(run.start() - 1, 0) : run.end() + 1]
        grams.update(run.group(), map("".join, itertools.pairwise(around)))
    return grams


def _grams(word: str) -> set[str]:
    return {*word, *map("".join, itertools.pairwise(word))}
