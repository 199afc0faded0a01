"""What a scalar of YAML is: text, number, boolean or nothing.

By the core schema of YAML 1.2, as the npm package `yaml` 2.9 resolves it; by the types of YAML 1.1
where the file declares `%YAML 1.1`. Every pattern is linear in its input.
"""

import enum
import math
import re
from collections.abc import Callable, Sequence
from typing import Final

Value = str | int | float | bool | None


class Kind(enum.StrEnum):
    """The type of a value, as the official messages name it."""

    STRING = "string"
    NUMBER = "number"
    NAN = "nan"
    BOOLEAN = "boolean"
    NULL = "null"
    ARRAY = "array"
    OBJECT = "object"
    DATE = "date"
    SET = "set"
    MAP = "map"


Resolved = tuple[Kind, Value]
_Rule = tuple[str, str, Callable[[str], Resolved]]

_TAG = "tag:yaml.org,2002:"


def _number(text: str) -> Resolved:
    cleaned = text.replace("_", "")
    name = cleaned[-3:].lower()
    if name == "nan":
        return Kind.NAN, math.nan
    if name == "inf":
        return Kind.NUMBER, -math.inf if cleaned.startswith("-") else math.inf
    return whole(float(cleaned if cleaned not in (".", "+.", "-.") else "nan"))


def whole(number: float) -> Resolved:
    """A number of JavaScript: all are doubles, and one without a fraction is an integer."""
    if math.isnan(number):
        return Kind.NAN, number
    return Kind.NUMBER, int(number) if math.isfinite(number) and number.is_integer() else number


def _based(base: int, skipped: int) -> Callable[[str], Resolved]:
    def read(text: str) -> Resolved:
        digits = text.replace("_", "")
        sign = -1 if digits.startswith("-") else 1
        digits = digits.lstrip("+-")[skipped:]
        # Beyond that many digits a double is infinite, whatever the base.
        number = math.inf if len(digits.lstrip("0")) > 1_100 else _finite(digits or "0", base)  # noqa: PLR2004
        return whole(sign * number)

    return read


def _finite(digits: str, base: int) -> float:
    try:
        return float(int(digits, base))
    except OverflowError:
        return math.inf


def _loose(text: str) -> Resolved:
    """A float of YAML 1.1, of which JavaScript reads as much as it can."""
    found = re.match(
        r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", text.replace("_", "")
    )
    return whole(float(found[0])) if found else (Kind.NAN, math.nan)


def _constant(kind: Kind, value: Value) -> Callable[[str], Resolved]:
    return lambda _: (kind, value)


def _rule(tag: str, pattern: str, read: Callable[[str], Resolved]) -> _Rule:
    return _TAG + tag, pattern, read


_NULL = _rule("null", r"~|[Nn]ull|NULL|", _constant(Kind.NULL, None))
_INFINITE = _rule("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", _number)

_CORE: Sequence[_Rule] = (
    _NULL,
    _rule("bool", r"[Tt]rue|TRUE", _constant(Kind.BOOLEAN, True)),
    _rule("bool", r"[Ff]alse|FALSE", _constant(Kind.BOOLEAN, False)),
    _rule("int", r"0o[0-7]+", _based(8, 2)),
    _rule("int", r"[-+]?[0-9]+", _based(10, 0)),
    _rule("int", r"0x[0-9a-fA-F]+", _based(16, 2)),
    _INFINITE,
    _rule("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+", _number),
    _rule("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)", _number),
)

_YAML_1_1: Sequence[_Rule] = (
    _NULL,
    _rule("bool", r"Y|y|[Yy]es|YES|[Tt]rue|TRUE|[Oo]n|ON", _constant(Kind.BOOLEAN, True)),
    _rule("bool", r"N|n|[Nn]o|NO|[Ff]alse|FALSE|[Oo]ff|OFF", _constant(Kind.BOOLEAN, False)),
    _rule("int", r"[-+]?0b[01_]+", _based(2, 2)),
    _rule("int", r"[-+]?0[0-7_]+", _based(8, 1)),
    _rule("int", r"[-+]?[0-9][0-9_]*", _based(10, 0)),
    _rule("int", r"[-+]?0x[0-9a-fA-F_]+", _based(16, 2)),
    _INFINITE,
    _rule("float", r"[-+]?(?:[0-9][0-9_]*)?(?:\.[0-9_]*)?[eE][-+]?[0-9]+", _loose),
    _rule("float", r"[-+]?(?:[0-9][0-9_]*)?\.[0-9_]*", _loose),
    # Their values matter nowhere: only that they are numbers, and no texts.
    _rule("int", r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+", _constant(Kind.NUMBER, 0.5)),
    _rule("float", r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*", _constant(Kind.NUMBER, 0.5)),
    _rule(
        "timestamp",
        r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:t|T|[ \t]+)[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}"
        r"(?:\.[0-9]+)?(?:[ \t]*(?:Z|[-+][012]?[0-9](?::[0-9]{2})?))?)?",
        _constant(Kind.DATE, None),
    ),
)

#: Tags that make something else of a scalar or a collection, whatever it holds.
_CONVERTED = {
    _TAG + "binary": Kind.OBJECT,
    _TAG + "timestamp": Kind.DATE,
    _TAG + "set": Kind.SET,
    _TAG + "omap": Kind.MAP,
}
_COLLECTIONS = (_TAG + "set", _TAG + "omap")
#: Tags that change nothing where they are expected.
_KNOWN = {_TAG + name for name in ("str", "map", "seq", "pairs", "merge")} | {"!"}


class Schema:
    """What scalars are in one version of YAML."""

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._rules = [(tag, re.compile(rf"(?:{p})\Z"), read) for tag, p, read in rules]
        # All in one: most texts are none of these, and are asked once.
        self._any = re.compile(
            rf"(?:{'|'.join(f'({pattern})' for _, pattern, _ in rules)})\Z"
        ).match

    def plain(self, text: str) -> Resolved:
        """What a scalar without quotes and without a tag is."""
        found = self._any(text)
        if found is None or found.lastindex is None:
            return Kind.STRING, text
        return self._rules[found.lastindex - 1][2](text)

    def tagged(self, text: str, tag: str) -> Resolved | None:
        """What a scalar with a tag is; None where the tag makes no sense and is passed over."""
        if tag in _KNOWN:
            return Kind.STRING, text
        for name, pattern, read in self._rules:
            if name == tag and pattern.match(text):
                return read(text)
        if tag in _CONVERTED and tag not in _COLLECTIONS:
            return _CONVERTED[tag], None
        return None


CORE: Final = Schema(_CORE)
YAML_1_1: Final = Schema(_YAML_1_1)


def collection(kind: Kind, tag: str) -> tuple[Kind, bool]:
    """What a collection with a tag is, and whether the tag makes sense."""
    if tag in _COLLECTIONS and (tag.endswith("omap")) == (kind is Kind.ARRAY):
        return _CONVERTED[tag], True
    return kind, tag in _KNOWN
