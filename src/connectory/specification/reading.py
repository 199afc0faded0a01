"""Reads a connect.yaml: what it says, and what is wrong with it."""

from typing import Final

import msgspec
from msgspec import Struct

from connectory.specification import advice, characters, checking, document, model
from connectory.specification.faults import Fault, Position
from connectory.specification.rules import fault
from connectory.specification.syntax import DocumentFault

#: The official platform looks for this name and for no other.
FILE_NAME: Final = "connect.yaml"
MAX_BYTES: Final = 2**20


class Reading(Struct, frozen=True):
    """What came of reading a file.

    Attributes:
        specification: What it says; None where there is an Error.
        faults: Errors in the order of the official validator, then Warnings.
        lines: The lines of the file, to show faults with; empty where it is too large.
    """

    specification: model.Specification | None
    faults: tuple[Fault, ...]
    lines: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the official platform takes the file."""
        return self.specification is not None

    def line(self, number: int) -> str:
        """A line of the file, from 1; empty beyond its end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


def read(source: bytes) -> Reading:
    """Read the bytes of a connect.yaml. Whatever they are, this ends soon and raises nothing."""
    if len(source) > MAX_BYTES:
        told = f"the file has {len(source):,} bytes, more than {MAX_BYTES:,}"
        return Reading(None, (fault("size", "", Position(), told),))
    text = characters.decoded(source)
    lines = tuple(characters.lines(text))
    specification, faults = _judged(text)
    found = (*faults[: checking.MAX_FAULTS], *advice.of_text(source, lines))
    return Reading(specification, tuple(_within(each, len(lines)) for each in found), lines)


def _judged(text: str) -> tuple[model.Specification | None, list[Fault]]:
    try:
        composed = document.compose(text)
        faults, valid = checking.check(composed.root)
    except DocumentFault as error:
        at = error.position
        return None, [fault(error.rule, "", at, error.message, error.hint, error.official)]
    if not valid:
        return None, faults
    return model.from_document(composed.root), [*faults, *advice.of_document(composed)]


def _within(told: Fault, lines: int) -> Fault:
    """A fault at the end of the file, where libyaml sees one more line, on its last line."""
    if told.position.line <= lines:
        return told
    return msgspec.structs.replace(told, position=Position(lines, 1))


def unreadable(rule: str, message: str, hint: str = "") -> Reading:
    """What is read where there is no file to read."""
    return Reading(None, (fault(rule, "", Position(), message, hint),))
