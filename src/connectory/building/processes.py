"""One confined program at a time, listened to and watched until it has ended."""

import collections
import os
import select
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from connectory.containment.model import Confinement, Containment

#: How often a program is watched, in seconds.
_WATCH_SECONDS: Final = 0.1
_CHUNK: Final = 2**16
_LONGEST_LINE: Final = 4_000
#: Lines that are handed on; a program that prints more is told to be cut off.
_MOST_LINES: Final = 20_000
_LAST_LINES: Final = 40
#: Characters that are kept for finding out why it failed.
_MOST_TEXT: Final = 2**18


class Ended(Struct, frozen=True):
    """How a program ended, and what it said.

    Attributes:
        code: Its exit code; negative for a signal.
        text: What it printed, its beginning where that was much.
        last: Its last lines.
    """

    code: int
    text: str
    last: tuple[str, ...]


def run(
    containment: Containment,
    confinement: Confinement,
    *,
    output: Callable[[str], None],
    watch: Callable[[], None],
) -> Ended:
    """Run a program to its end; nothing that it started is left then.

    `output` gets its lines, without escapes; `watch` is called several times a second, and may
    raise to end it.

    Raises:
        OSError: it could not be started.
    """
    reading, writing = os.pipe()
    try:
        try:
            contained = containment.start(confinement, stdout=writing, stderr=writing)
        finally:
            os.close(writing)
        lines = _Lines(output)
        try:
            while contained.poll() is None:
                watch()
                if not _read(reading, lines, _WATCH_SECONDS):
                    break  # it closed its output; what is left is to wait
            while contained.poll() is None:
                watch()
                try:
                    contained.wait(_WATCH_SECONDS)
                except TimeoutError:
                    continue
            code = contained.wait(0)
        finally:
            contained.kill()
        while _read(reading, lines, 0):
            pass
        return lines.ended(code)
    finally:
        os.close(reading)


def _read(descriptor: int, lines: "_Lines", seconds: float) -> bool:
    """Take what there is; False at the end, and where there is nothing and no time to wait."""
    poll = select.poll()  # select() knows no descriptor above 1,023
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(seconds * 1000):
        return seconds > 0
    piece = os.read(descriptor, _CHUNK)
    lines.take(piece)
    return bool(piece)


class _Lines:
    def __init__(self, output: Callable[[str], None]) -> None:
        self._output = output
        self._held = b""
        self._told = 0
        self._kept = 0
        self._text: list[str] = []
        self._last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)

    def take(self, piece: bytes) -> None:
        *whole, self._held = (self._held + piece).split(b"\n")
        for line in whole:
            self._line(line)
        while len(self._held) > _LONGEST_LINE:
            self._line(self._held[:_LONGEST_LINE])
            self._held = self._held[_LONGEST_LINE:]

    def ended(self, code: int) -> Ended:
        if self._held:
            self._line(self._held)
        return Ended(code, "\n".join(self._text), tuple(self._last))

    def _line(self, line: bytes) -> None:
        text = plain(line[:_LONGEST_LINE].decode(errors="replace"))
        self._told += 1
        if self._told <= _MOST_LINES:
            self._output(text)
        elif self._told == _MOST_LINES + 1:
            self._output(f"(more than {_MOST_LINES} lines; the rest is not kept)")
        if not text:
            return
        self._last.append(text)
        if self._kept < _MOST_TEXT:
            self._text.append(text)
            self._kept += len(text)


def plain(line: str) -> str:
    """A line as it can be shown: without colours, and of characters that can be seen."""
    out: list[str] = []
    at = 0
    line = line.rstrip("\r").rpartition("\r")[2]
    while at < len(line):
        character = line[at]
        if character == "\x1b":
            at += 1
            if at < len(line) and line[at] == "[":
                at += 1
                while at < len(line) and not "@" <= line[at] <= "~":
                    at += 1
            at += 1
            continue
        if character == "\t" or character.isprintable():
            out.append(character)
        at += 1
    return "".join(out).rstrip()
