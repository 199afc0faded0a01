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

from collections.abc import Iterable, Iterator

from msgspec import Struct
from pyroaring import BitMap

from connectory.catalogue.gathering import (
    LONG_MEETING,
    Gathered,
    gather,
    gather_grams,
    long_meetings,
    meetings,
)
from connectory.catalogue.terms import EDGE, Posting, Terms, as_bitmap, posting_of, united


class Addition(Struct, frozen=True):
    """Documents that are to be added, taken to pieces: each piece with those that have it."""

    words: dict[str, Posting]
    meetings: dict[str, Posting]
    grams: dict[str, Posting]
    gathered: Gathered


class Postings:
    """The documents of one field, by what their texts contain. All texts are case-folded."""

    def __init__(self, texts: Iterable[tuple[int, str]] = ()) -> None:
        found = gather(texts)
        #: The documents whose words are not parted by single blanks: few, and in every result of
        #: meetings.
        self._irregular = found.irregular
        self._words = Terms(found.words)
        self._meetings = Terms(found.meetings)
        #: The documents of the frequent ones of the longer meetings.
        self._frequent = {meeting: BitMap(each) for meeting, each in found.frequent.items()}
        self._grams = gather_grams(found)

    def prepared(self, texts: Iterable[tuple[int, str]]) -> Addition:
        """Take more documents to pieces; their numbers are larger than all before.

        It changes nothing, so that a thread may do it while another searches.
        """
        found = gather(texts, self._frequent)
        words = {word: posting_of(numbers) for word, numbers in found.words.items()}
        met = {meeting: posting_of(numbers) for meeting, numbers in found.meetings.items()}
        return Addition(words, met, gather_grams(found), found)

    def add(self, addition: Addition) -> Iterator[None]:
        """Add documents, in small steps."""
        for word, posting in addition.words.items():
            self._words.add(word, posting)
            yield
        for meeting, posting in addition.meetings.items():
            self._meetings.add(meeting, posting)
            yield
        for gram, posting in addition.grams.items():
            self._grams[gram] = united(self._grams.get(gram), posting)
            yield
        for meeting, numbers in addition.gathered.frequent.items():
            self._frequent[meeting] |= BitMap(numbers)
        self._irregular |= addition.gathered.irregular

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
        if meetings(pieces) == {text}:
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
        for meeting in meetings(pieces):
            found = BitMap() if found is None else found & self._meeting(meeting)
        # A last piece without a blank behind it may be the beginning of a longer word, and a short
        # one then does not tell the letters after the blank.
        told = pieces if text[-1].isspace() or len(pieces[-1]) >= LONG_MEETING else pieces[:-1]
        for meeting in long_meetings(told) & self._frequent.keys():
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
