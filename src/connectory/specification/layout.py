"""What YAML 1.2 asks of lines and blanks, and libyaml does not.

Found by comparing both on files that were changed at random: libyaml is lax on how far the lines of
quoted texts and of `[…]` and `{…}` are indented, and on comments without a blank before them; it is
strict on tabs in lines that hold nothing else, and on characters that JSON escapes in two halves.
"""

import re
from collections.abc import Sequence
from typing import Any

from connectory.specification.faults import Position
from connectory.specification.syntax import DocumentFault

_TABS_IN_EMPTY_LINE = re.compile(r"^[ \t]*\t[ \t]*(?=\n|#|\Z)", re.MULTILINE)


def without_empty_tabs(text: str) -> str:
    """The text without the tabs that are alone in their line, or before a comment."""
    return _TABS_IN_EMPTY_LINE.sub("", text)


_HALVES = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)
_HALF = re.compile(r"(?<!\\)((?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def with_whole_escapes(text: str) -> str:
    """The text with a character beyond U+FFFF escaped as one, and half a one as U+FFFD."""

    def joined(found: re.Match[str]) -> str:
        number = 0x10000 + ((int(found[2], 16) & 0x3FF) << 10) + (int(found[3], 16) & 0x3FF)
        return f"{found[1]}\\U{number:08x}"

    return _HALF.sub(r"\1\\ufffd", _HALVES.sub(joined, text))


class Layout:
    """Checks events against the lines that they come from."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        #: The column of each block collection that is open, None for a flow collection.
        self._columns: list[int | None] = []
        #: Whether the column of the innermost one is that of its first key, which is still to come.
        self._awaits_key = False
        self._flow_start: Any = None

    def begin(self, event: Any, *, is_object: bool) -> None:
        """A collection begins.

        Raises:
            DocumentFault: not where it may.
        """
        self._key(event)
        if event.flow_style:
            if self._flow_start is None:
                self._flow_start = event.start_mark
            self._comment(event)
            self._columns.append(None)
            return
        has_properties = event.anchor is not None or event.tag is not None
        self._awaits_key = has_properties and is_object
        known = not has_properties
        self._columns.append(event.start_mark.column if known else self._indentation() - 1)

    def end(self, event: Any) -> None:
        """A collection ends.

        Raises:
            DocumentFault: a line of it is not indented enough.
        """
        self._awaits_key = False
        if self._columns.pop() is not None:
            return
        if self._columns and self._columns[-1] is None:
            self._comment(event)
            return
        start, self._flow_start = self._flow_start, None
        least = self._indentation()
        for number in range(start.line + 1, event.end_mark.line + 1):
            line = self._lines[number]
            bare = line.lstrip(" ")
            closes = number == event.end_mark.line and bare[:1] in ("]", "}")
            found = len(line) - len(bare) + closes
            if bare and not bare.startswith("#") and found < least:
                raise _too_far_left(number, line, start)
        self._comment(event)

    def scalar(self, event: Any) -> None:
        """A scalar.

        Raises:
            DocumentFault: a line of it is not indented enough, or a comment is too close.
        """
        self._key(event)
        if event.style not in ("'", '"'):
            return
        least = self._indentation()
        for number in range(event.start_mark.line + 1, event.end_mark.line + 1):
            line = self._lines[number]
            if line.strip(" ") and len(line) - len(line.lstrip(" ")) < least:
                raise _too_far_left(number, line, event.start_mark)
        self._comment(event)

    def _key(self, event: Any) -> None:
        if self._awaits_key:
            self._columns[-1] = event.start_mark.column
            self._awaits_key = False

    def _indentation(self) -> int:
        """How far a line has to be indented that goes on with a value."""
        return next((each + 1 for each in reversed(self._columns) if each is not None), 0)

    def _comment(self, event: Any) -> None:
        mark = event.end_mark
        # The end of a document may lie behind its last line.
        line = "".join(self._lines[mark.line : mark.line + 1])
        if line[mark.column : mark.column + 1] == "#":
            raise DocumentFault(
                "yaml-syntax",
                Position(mark.line + 1, mark.column + 1),
                "a comment without a blank before it",
                hint="put a blank before the `#`",
            )


def _too_far_left(number: int, line: str, start: Any) -> DocumentFault:
    column = len(line) - len(line.lstrip(" ")) + 1
    return DocumentFault(
        "yaml-syntax",
        Position(number + 1, column),
        f"this line goes on with what began in line {start.line + 1}, and is not indented enough",
        hint="indent it more than the key that it belongs to",
    )
