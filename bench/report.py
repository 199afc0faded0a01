"""What a run found: verdicts on targets and tables of numbers, for a terminal and for the docs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: The rows of a table; the first is its head.
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Verdict:
    """One target and what was measured; `met` is None where a measure could not be taken."""

    what: str
    target: str
    measured: str
    met: bool | None

    @property
    def word(self) -> str:
        """The verdict in one word."""
        return {True: "met", False: "MISSED", None: "not measured"}[self.met]


@dataclass
class Section:
    """One part of a run: verdicts, tables with their titles, and what is to be said of them."""

    title: str
    verdicts: list[Verdict] = field(default_factory=list)
    tables: list[tuple[str, Rows]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def judge(self, what: str, target: str, measured: str, met: bool | None) -> None:
        """Add a verdict."""
        self.verdicts.append(Verdict(what, target, measured, met))

    def lack(self, what: str, target: str, why: str) -> None:
        """Say that a target could not be measured here."""
        self.judge(what, target, why, None)


def markdown(sections: Sequence[Section], preface: str) -> str:
    """All sections as Markdown whose tables are aligned, so that it reads well as plain text."""
    parts = [preface]
    for section in sections:
        parts.append(f"### {section.title}")
        if section.verdicts:
            head = ("", "target", "measured", "verdict")
            judged = [
                (each.what, each.target, each.measured, each.word) for each in section.verdicts
            ]
            parts.append(_table([head, *judged]))
        for title, rows in section.tables:
            parts += [f"{title}:", _table(rows)]
        parts += section.notes
    return "\n\n".join(parts) + "\n"


def write_block(file: Path, name: str, text: str) -> None:
    """Put a text in place of the block of a name in a file.

    A block lies between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.

    Raises:
        ValueError: the file has no such block.
    """
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    whole = file.read_text(encoding="utf-8")
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    if not pattern.search(whole):
        raise ValueError(f"{file} has no block {begin} … {end}")
    replaced = pattern.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", whole)
    file.write_text(replaced, encoding="utf-8")


def _table(rows: Rows) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"| {' | '.join(map(_padded, row, widths))} |"  # rows are as long as the head
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _padded(cell: str, width: int) -> str:
    return cell.ljust(width)


def milliseconds(seconds: float) -> str:
    """A short time, as `1.23 ms`."""
    return f"{seconds * 1_000:.2f} ms"


def megabytes(size: float) -> str:
    """A size, as `12.3 MB` of a million bytes."""
    return f"{size / 1e6:.1f} MB"


def times(ratio: float) -> str:
    """A ratio, as `25x` or `1.3x`."""
    return f"{ratio:.0f}x" if ratio >= 20 else f"{ratio:.1f}x"
