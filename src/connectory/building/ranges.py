"""Ranges of versions as npm writes them, such as `^18.12 || >=20`, for what `engines` asks for.

Pre-releases are not told apart: the versions of Node that machines have are releases.
"""

import re
from typing import Final

from msgspec import Struct

#: Major, minor and patch.
Version = tuple[int, int, int]

_FIRST: Final[Version] = (0, 0, 0)
_LAST: Final[Version] = (10**9, 0, 0)
_HYPHEN: Final = re.compile(r"(\S+)\s+-\s+(\S+)")
_OPERATOR: Final = re.compile(r"(<=|>=|~>|<|>|=|~|\^)\s*")
_PARTIAL: Final = re.compile(
    r"v?(\d{1,8}|[xX*])(?:\.(\d{1,8}|[xX*]))?(?:\.(\d{1,8}|[xX*]))?(?:[-+][\w.+-]*)?"
)
#: Names of the lines of Node that `.nvmrc` may have, and their numbers.
_LINES: Final = {
    "argon": 4,
    "boron": 6,
    "carbon": 8,
    "dubnium": 10,
    "erbium": 12,
    "fermium": 14,
    "gallium": 16,
    "hydrogen": 18,
    "iron": 20,
    "jod": 22,
    "krypton": 24,
}


class Range(Struct, frozen=True):
    """Some versions: those from the first of a pair up to, and without, the second."""

    pairs: tuple[tuple[Version, Version], ...]

    def holds(self, version: Version) -> bool:
        """Whether a version is one of them."""
        return any(low <= version < high for low, high in self.pairs)

    def distance(self, version: Version) -> tuple[int, ...]:
        """How far a version is from the nearest of them; the least distance is the nearest."""
        nearest = min(
            (low if version < low else high for low, high in self.pairs),
            key=lambda edge: abs(edge[0] - version[0]),
            default=_FIRST,
        )
        # Of two that are as far, the newer one: code is written for what comes after, too.
        return (abs(nearest[0] - version[0]), *(-number for number in version))


def parse_version(text: str) -> Version | None:
    """The version that a program or a folder is called by; None where it is none."""
    found = re.fullmatch(r"v?(\d{1,8})\.(\d{1,8})\.(\d{1,8})", text.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def parse_range(text: str) -> Range:
    """The range that a text is.

    Raises:
        ValueError: it is none.
    """
    pairs = (_intersection(part.strip()) for part in text.split("||"))
    return Range(tuple(pair for pair in pairs if pair[0] < pair[1]))


def parse_nvmrc(text: str) -> Range:
    """The range that the first line of an `.nvmrc` is, which also knows `lts/*` and `lts/iron`.

    Raises:
        ValueError: it is none.
    """
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    word = line.removeprefix("lts/").lower()
    if word in _LINES:
        return parse_range(str(_LINES[word]))
    if line.startswith("lts/"):
        return Range(tuple(((line, 0, 0), (line + 1, 0, 0)) for line in range(4, 1000, 2)))
    return parse_range("*" if word in ("node", "stable", "latest", "current") else line)


def _intersection(part: str) -> tuple[Version, Version]:
    low, high = _FIRST, _LAST
    hyphen = _HYPHEN.fullmatch(part)
    if hyphen:
        return _pair("", hyphen[1])[0], _pair("<=", hyphen[2])[1]
    for word in _OPERATOR.sub(r" \1", part).split():
        found = _OPERATOR.match(word)
        operator = found[1] if found else ""
        below, above = _pair(operator, word[len(operator) :])
        low, high = max(low, below), min(high, above)
    return low, high


def _pair(operator: str, text: str) -> tuple[Version, Version]:
    found = _PARTIAL.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no version")
    numbers: list[int] = []
    for each in found.groups():
        if each is None or not each.isdigit():
            break
        numbers.append(int(each))
    low = _padded(numbers)
    past = _past(numbers)
    if operator == "^":
        zeros = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        return low, _past(numbers[: zeros + 1])
    return {
        ">=": (low, _LAST),
        ">": (past, _LAST),
        "<": (_FIRST, low),
        "<=": (_FIRST, past),
        "~": (low, _past(numbers[:2])),
        "~>": (low, _past(numbers[:2])),
    }.get(operator, (low, past))


def _padded(numbers: list[int]) -> Version:
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch


def _past(numbers: list[int]) -> Version:
    """The first version after all that begin with some numbers."""
    return _padded([*numbers[:-1], numbers[-1] + 1]) if numbers else _LAST
