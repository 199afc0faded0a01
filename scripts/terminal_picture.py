"""Draws a recorded terminal session as an SVG: `python -m scripts.terminal_picture FILE.txt`.

FILE.txt holds what a terminal showed, colours too, as `script` or a pseudo-terminal records it. A
line `=== TITLE` begins a window. The picture is written beside it, as FILE.svg. It holds its own
background and letters in the reader's monospaced font, so it reads the same on a light and on a
dark page; every run of letters is told its width, so no font can push the next one out of place.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"
SIZE = 13.0
ADVANCE = SIZE * 0.6  # of one letter
LEADING = 19.0
MARGIN = 16.0
BAR = 30.0
GAP = 14.0

BACKGROUND, FRAME, TITLE, TEXT, TYPED = "#0d1117", "#30363d", "#8b949e", "#c9d1d9", "#7ee787"
#: The colours of SGR 30 to 37, as they read on BACKGROUND.
COLOURS = ("#6e7681", "#ff7b72", "#7ee787", "#f2cc60", "#79c0ff", "#d2a8ff", "#76e3ea", "#c9d1d9")

_SGR = re.compile(r"\x1b\[([0-9;]*)m")


class Window(NamedTuple):
    """What one terminal showed."""

    title: str
    lines: list[str]


class Run(NamedTuple):
    """Letters of one colour."""

    column: int
    text: str
    colour: str
    bold: bool


def picture(recording: str) -> str:
    """The SVG of a recording."""
    windows = list(_windows(recording))
    columns = max(len(_SGR.sub("", line)) for window in windows for line in window.lines)
    width = 2 * MARGIN + columns * ADVANCE
    parts: list[str] = []
    top = 0.0
    for window in windows:
        height = BAR + len(window.lines) * LEADING + MARGIN
        parts += _drawn(window, top, width, height)
        top += height + GAP
    label = escape(" and ".join(window.title for window in windows))
    size = f"{width:g} {top - GAP:g}"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}"'
        f' width="{width:g}" role="img" aria-label="{label}"'
        f' font-family="{FONT}" font-size="{SIZE:g}">'
    )
    return "\n".join([opening, *parts, "</svg>\n"])


def main(arguments: list[str]) -> None:
    """Draw each recording that is named."""
    for name in arguments:
        file = Path(name)
        file.with_suffix(".svg").write_text(picture(file.read_text("utf-8")), "utf-8")


def _windows(recording: str) -> Iterator[Window]:
    for part in re.split(r"^=== ", recording, flags=re.MULTILINE)[1:]:
        title, *lines = part.rstrip("\n").split("\n")
        yield Window(title, lines)


def _drawn(window: Window, top: float, width: float, height: float) -> Iterator[str]:
    yield (
        f'<rect x=".5" y="{top + 0.5:g}" width="{width - 1:g}" height="{height - 1:g}" rx="8"'
        f' fill="{BACKGROUND}" stroke="{FRAME}"/>'
    )
    yield (
        f'<text x="{width / 2:g}" y="{top + 20:g}" fill="{TITLE}" text-anchor="middle">'
        f"{escape(window.title)}</text>"
    )
    for number, line in enumerate(window.lines):
        y = top + BAR + number * LEADING + SIZE
        for run in _runs(line):
            weight = ' font-weight="bold"' if run.bold else ""
            yield (
                f'<text x="{MARGIN + run.column * ADVANCE:g}" y="{y:g}" fill="{run.colour}"{weight}'
                f' textLength="{len(run.text) * ADVANCE:g}">{_kept(run.text)}</text>'
            )


def _kept(text: str) -> str:
    """Text for SVG, in which no blank is lost: not every reader knows `white-space`."""
    return escape(text).replace(" ", "\N{NO-BREAK SPACE}")


def _runs(line: str) -> Iterator[Run]:
    """The letters of a line, by colour; what was typed has one of its own."""
    prompt = re.match(r"[$>] ", line)
    if prompt:
        yield Run(0, line[:1], TITLE, False)
        yield Run(2, line[2:], TYPED, False)
        return
    column, colour, bold = 0, TEXT, False
    for text, codes in zip(*[iter([*_SGR.split(line), ""])] * 2, strict=True):
        if text.strip():
            yield Run(column, text, colour, bold)
        column += len(text)
        for code in map(int, filter(None, codes.split(";"))):
            if code == 0:
                colour, bold = TEXT, False
            elif code == 1:
                bold = True
            elif 30 <= code <= 37:  # noqa: PLR2004 - the eight colours
                colour = COLOURS[code - 30]
            elif code == 39:  # noqa: PLR2004 - the default colour
                colour = TEXT


if __name__ == "__main__":
    main(sys.argv[1:])
