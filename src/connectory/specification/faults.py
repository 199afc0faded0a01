"""A fault of connect.yaml or of what lies beside it, and how it is told.

As a good compiler tells it: where, which rule, what is wrong, the line itself with the place
marked, and what to do. What the file's author wrote is hostile: nothing of it reaches a terminal
but characters that can be seen.
"""

import enum
import unicodedata
from typing import Any

from msgspec import Struct

#: Of the line that is shown, so much at most.
_SHOWN_COLUMNS = 100


class Severity(enum.StrEnum):
    """Whether a fault makes the file invalid."""

    ERROR = "Error"  #: The official platform refuses it.
    WARNING = "Warning"  #: It takes it, and yet it is hardly what was meant.


class Position(Struct, frozen=True):
    """A place in the file.

    Attributes:
        line: From 1.
        column: From 1, in characters (code points).
        length: Characters from there to the end of what is meant, at least 1; on this line.
    """

    line: int = 1
    column: int = 1
    length: int = 1


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that is wrong.

    Attributes:
        rule: Name of the rule, from `rules.RULES`.
        severity: Whether it makes the file invalid.
        at: What is wrong, as the official validator spells it: `deployAs.0.name`; "" is the whole.
        position: Where that is.
        message: What is wrong, in words; of one line.
        hint: What to do; may be empty.
        official: The line of the official validator, `[deployAs.0.name]: Invalid`. Where one line
            of it tells several faults, the first of them has it; empty where it says nothing.
    """

    rule: str
    severity: Severity
    at: str
    position: Position
    message: str
    hint: str = ""
    official: str = ""

    def as_object(self) -> dict[str, Any]:
        """The fault for machines; texts as they are, however they look in a terminal."""
        shown = {
            "rule": self.rule,
            "severity": self.severity.value,
            "at": self.at,
            "line": self.position.line,
            "column": self.position.column,
            "message": self.message,
            "hint": self.hint,
        }
        return shown | ({"official": self.official} if self.official else {})

    def line_of_text(self) -> str:
        """The fault in one line, for API errors and reports."""
        where = (
            f"{self.at or 'the file'} (line {self.position.line}, column {self.position.column})"
        )
        hint = f"; {self.hint}" if self.hint else ""
        return visible(f"{where}: {self.message}{hint}")


def official_output(faults: tuple[Fault, ...]) -> str:
    """What the official validator prints of a file with these faults."""
    return "\n".join(fault.official for fault in faults if fault.official)


def rendered(fault: Fault, path: str, line: str) -> str:
    """A fault for people: `path:line:column: error[rule]: message`, the line, a caret, the hint.

    Args:
        fault: What is wrong.
        path: Name of the file, as its reader knows it.
        line: The line of the file that the fault is on, without its end.
    """
    at = fault.position
    severity = fault.severity.value.lower()
    shown = [
        f"{visible(path)}:{at.line}:{at.column}: {severity}[{fault.rule}]: {visible(fault.message)}"
    ]
    margin = " " * len(str(at.line))
    if line.strip():
        before, marked, after = _cut(line, at)
        caret = " " * _width(before) + "^" * max(1, _width(marked))
        shown += [
            f" {margin} |",
            f" {at.line} | {before}{marked}{after}",
            f" {margin} | {caret}",
        ]
    if fault.hint:
        shown.append(f" {margin} = help: {visible(fault.hint)}")
    return "\n".join(shown)


def visible(text: str) -> str:
    """A text whose every character can be seen: all others are written as escapes.

    Those are control characters, also those that turn the direction of writing or end lines,
    blanks that are not the ordinary one, and what is private or unassigned.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"  # noqa: PLR2004


def _cut(line: str, at: Position) -> tuple[str, str, str]:
    """The line before, at and after a place, visible, no longer than can be shown."""
    start = at.column - 1
    end = min(start + at.length, start + _SHOWN_COLUMNS // 2)
    first = max(0, start - _SHOWN_COLUMNS // 2)
    last = first + _SHOWN_COLUMNS
    # A tab would shift the caret.
    shown = [
        visible(part.replace("\t", "  "))
        for part in (line[first:start], line[start:end], line[end:last])
    ]
    before = ("…" if first else "") + shown[0]
    return before, shown[1], shown[2] + ("…" if len(line) > last else "")


def _width(text: str) -> int:
    """How many columns of a terminal a visible text takes."""
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF")
        for each in text
    )
