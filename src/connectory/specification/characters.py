"""The characters of a file as JavaScript and YAML 1.2 see them.

libyaml refuses control characters, and takes some characters for the end of a line that are none in
YAML 1.2. While it reads, private ones stand in for them, one for one, so that places stay right.
"""

import re
from typing import Final

_STAND_IN: Final = 0x10FE00
#: What has a stand-in.
_ODD: Final = (
    *range(0x09),
    0x0B,
    0x0C,
    0x0D,  # only where no line feed follows: alone it ends no line
    *range(0x0E, 0x20),
    *range(0x7F, 0xA0),
    0x2028,
    0x2029,
    0xFEFF,
    0xFFFE,
    0xFFFF,
)
#: A file that has a stand-in itself gets U+FFFD for it.
_HIDDEN: Final = {odd: _STAND_IN + place for place, odd in enumerate(_ODD)} | {
    _STAND_IN + place: 0xFFFD for place in range(len(_ODD))
}
_SHOWN: Final = {_STAND_IN + place: odd for place, odd in enumerate(_ODD)}


def decoded(source: bytes) -> str:
    """The text of a file; what is not UTF-8 in it becomes U+FFFD, and a byte order mark nothing."""
    text = source.decode("utf-8", "replace")
    return text.removeprefix("\ufeff")


def lines(text: str) -> list[str]:
    """The lines of a text: a carriage return alone ends none."""
    return text.replace("\r\n", "\n").split("\n")


def hidden(text: str) -> str:
    """A text as libyaml can read it, with as many lines and columns."""
    if _PRINTABLE.fullmatch(text):
        return text
    # The return of a line end stays away: nothing stands behind it on its line.
    return text.replace("\r\n", "\n").translate(_HIDDEN)


def shown(text: str) -> str:
    """A part of a text that was hidden, as it was."""
    return text if text.isascii() else text.translate(_SHOWN)


_PRINTABLE = re.compile("[\t\n -~]*")
