"""Reads a connect.yaml: what it says, and what is wrong with it."""

from typing import Final

from msgspec import Struct

from connectory.specification import advice, characters, checking, document, model
from connectory.specification.faults import Fault, Position, Severity
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
    lines = characters.lines(text)
    odd = tuple(advice.of_text(source, lines))
    try:
        composed = document.compose(text)
        faults, valid = checking.check(composed.root)
        if not valid:
            return Reading(None, (*faults, *odd), tuple(lines))
        faults += advice.of_document(composed)
    except DocumentFault as error:
        broken = fault(error.rule, "", error.position, error.message, error.hint, error.official)
        return Reading(None, (broken, *odd), tuple(lines))
    specification = model.from_document(composed.root)
    return Reading(specification, (*faults[: checking.MAX_FAULTS], *odd), tuple(lines))


def unreadable(rule: str, message: str, hint: str = "") -> Reading:
    """What is read where there is no file to read."""
    return Reading(None, (fault(rule, "", Position(), message, hint),))


def has_errors(faults: tuple[Fault, ...]) -> bool:
    """Whether one of the faults is an Error."""
    return any(each.severity is Severity.ERROR for each in faults)
