"""What a schedule does that the official validator has let pass.

Its pattern is found anywhere in the text and knows no ranges, so `please @daily now` passes, and
so do `99 99 99 99 99` and 31 February. Some of what passes is published and runs: hence advice.
"""

import re
from collections.abc import Iterator
from typing import Final

_WORD = re.compile(
    r"@(?:annually|yearly|monthly|weekly|daily|hourly|reboot)"
    r"|@every (?:[0-9]+(?:ns|us|\u00b5s|ms|s|m|h))+"
)
_ITEM = re.compile(r"(?:(\*)|([0-9]+)(?:-([0-9]+))?)(?:/([0-9]+))?")
_FIELDS: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
)
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: Numbers of more digits are out of every range.
_DIGITS = 9
_DAY, _MONTH, _WEEKDAY = 2, 3, 4

#: Rule, message, hint.
Advice = tuple[str, str, str]


def advice(schedule: str) -> Iterator[Advice]:
    """What is odd about a schedule that the official validator takes."""
    if _WORD.fullmatch(schedule):
        return
    fields = schedule.split(" ")
    items = [dict.fromkeys(field.split(",")) for field in fields[: len(_FIELDS)]]
    parsed = [[_ITEM.fullmatch(item) for item in field] for field in items]
    if len(fields) != len(_FIELDS) or not all(all(field) for field in parsed):
        hint = "five fields with one blank between, or one of `@daily` and its like"
        yield "schedule-text", "there is more here than a schedule", hint
        return
    values: list[set[int]] = []
    for (name, low, high), matches in zip(_FIELDS, parsed, strict=True):
        found: set[int] = set()
        for item in filter(None, matches):
            yield from _range_advice(name, low, high, item)
            found |= _values(low, high, item)
        values.append(found)
    if fields[_WEEKDAY] == "*" and not any(
        day <= _DAYS[month - 1] for month in values[_MONTH] for day in values[_DAY]
    ):
        yield "schedule-never", "no month that is named has such a day", "it never runs"


def _range_advice(name: str, low: int, high: int, item: re.Match[str]) -> Iterator[Advice]:
    _, first, last, step = item.groups()
    bounds = f"the {name} is from {low} to {high}"
    for number in filter(None, (first, last)):
        if not low <= _number(number) <= high:
            yield "schedule-range", f"{number[:_DIGITS]} is no {name}", bounds
    if first and last and _number(first) > _number(last):
        yield "schedule-range", f"{item[0]} ends before it begins", bounds
    if step and _number(step) == 0:
        yield "schedule-range", f"{item[0]} has steps of nothing", "leave the step out"
    elif step and _number(step) > high - low:
        where = f"it runs at the first {name} only"
        yield "schedule-range", f"the step of {item[0][:_DIGITS]} is longer than the range", where


def _values(low: int, high: int, item: re.Match[str]) -> set[int]:
    everything, first, last, step = item.groups()
    begin = low if everything else _number(first)
    end = _number(last) if last else high if everything or step else begin
    return set(range(max(begin, low), min(end, high) + 1, max(1, _number(step or "1"))))


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS
