"""Faults of a text that is not the YAML of one document."""

from collections.abc import Mapping
from typing import Any, Final

import yaml

from connectory.specification.characters import lines, shown
from connectory.specification.faults import Position


class DocumentFault(Exception):
    """The text is not the YAML of one document; `rule` names what it breaks."""

    def __init__(
        self, rule: str, position: Position, message: str, official: str = "", hint: str = ""
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.position = position
        self.message = message
        self.official = official
        self.hint = hint


def fault_of(error: yaml.MarkedYAMLError, text: str) -> DocumentFault:
    """What libyaml says of a text that is not YAML."""
    mark: Any = error.problem_mark or error.context_mark
    row, column = (mark.line, mark.column) if mark else (0, 0)
    at = Position(row + 1, column + 1)
    problem = shown(str(error.problem or error.context or "not YAML"))
    all_lines = lines(text)
    line = all_lines[row] if row < len(all_lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip(" \t"))]:
        return DocumentFault(
            "tab-indentation",
            Position(row + 1, line.index("\t") + 1),
            "a tab indents this line",
            f"Tabs are not allowed as indentation at line {row + 1}, column 1",
            hint="indent it with blanks",
        )
    if row >= len(all_lines) - 1 and not line.strip() and error.context_mark:
        # Found at the end of the file: where it began says more.
        context: Any = error.context_mark
        at = Position(context.line + 1, context.column + 1)
    message, hint = _PROBLEMS.get(problem, (problem, ""))
    return DocumentFault("yaml-syntax", at, message, hint=hint)


#: What libyaml says → what a person understands, and what to do.
_PROBLEMS: Final[Mapping[str, tuple[str, str]]] = {
    "mapping values are not allowed in this context": (
        "`:` inside a value, or a key that is not in line with those above it",
        "put a value that has `: ` in it in quotes, or indent the key like the others",
    ),
    "did not find expected key": (
        "a line that is not in line with those above it, or a quote or bracket that is missing",
        "indent the keys of one mapping alike",
    ),
    "did not find expected '-' indicator": (
        "a line that is not in line with the items above it",
        "indent the `-` of all items alike, and the keys of an item as its first",
    ),
    "found character that cannot start any token": (
        "a value cannot begin with this character",
        "put the value in quotes",
    ),
    "could not find expected ':'": ("a key without a `:`", "write `key: value`"),
    "found unexpected end of stream": ("a quote that is never closed", "close it"),
    "did not find expected ',' or ']'": (
        "a `[` that is never closed, or a comma that is missing",
        "close it by `]`",
    ),
    "did not find expected ',' or '}'": (
        "a `{` that is never closed, or a comma that is missing",
        "close it by `}`, or put a text that begins with `{` in quotes",
    ),
    "did not find expected node content": ("a value is missing here", "write it, or `null`"),
    "found undefined tag handle": ("a tag that is not declared", "take it out"),
}
