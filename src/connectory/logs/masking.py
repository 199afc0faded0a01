"""Secured values that a program prints, replaced by a mask that says nothing of them.

A value is found as it is, and in the spellings in which programs print it: escaped as JSON has it,
percent-encoded, and line by line where it has several lines, as keys have. It is not found where a
program encodes, cuts or encrypts it otherwise: the mask is for mishaps, not against an application
that wants to tell its own secrets.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

#: What stands in the place of a value, whatever its length.
MASK: Final = "********"
#: Shorter values are not masked: they would be found in every other word.
SHORTEST: Final = 4
#: A line of a value of several lines is masked from this length on.
SHORTEST_LINE: Final = 8
#: Words that are values of switches; masked, they would make a log unreadable.
_PLAIN: Final = frozenset({"true", "false", "null", "none", "undefined"})


class Masker:
    """Replaces some values in texts. Immutable: it may be used in any thread."""

    def __init__(self, values: Iterable[str]) -> None:
        spellings = {each for value in values if _is_masked(value) for each in _spellings(value)}
        # The longest first: a value that begins with another is masked whole.
        self._spellings = tuple(sorted(spellings, key=lambda each: (-len(each), each)))
        self._pattern = re.compile("|".join(map(re.escape, self._spellings)))

    def finds(self, text: str) -> bool:
        """Whether there is anything to mask in a text."""
        # Fifty searches for a text take a few microseconds, one regular expression takes longer.
        return any(each in text for each in self._spellings)

    def masked(self, text: str) -> str:
        """A text with every value masked."""
        return self._pattern.sub(MASK, text) if self.finds(text) else text


def _is_masked(value: str) -> bool:
    return len(value) >= SHORTEST and value.lower() not in _PLAIN and not value.isspace()


def _spellings(value: str) -> Iterator[str]:
    lines = [line.strip() for line in value.splitlines()]
    pieces = [value, value.strip()]
    if len(lines) > 1:
        pieces += [line for line in lines if len(line) >= SHORTEST_LINE]
    for piece in pieces:
        if len(piece) < SHORTEST:
            continue
        yield piece
        yield json.dumps(piece)[1:-1]
        yield json.dumps(piece, ensure_ascii=False)[1:-1]
        yield json.dumps(piece)[1:-1].replace("/", "\\/")  # as PHP has it
        yield quote(piece, safe="", errors="replace")
        yield quote(piece, errors="replace")
        yield quote_plus(piece, errors="replace")
