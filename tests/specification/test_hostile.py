"""Whatever a file holds: reading ends soon, raises nothing, and harms no terminal."""

import itertools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectory.specification import MAX_BYTES, read
from connectory.specification.faults import Fault, Position, Severity, rendered, visible
from connectory.specification.schedule import advice
from tests.specification import samples

SECONDS = 20.0

_PIECES = st.sampled_from(
    [
        *samples.SERVICE.splitlines(), *samples.MERCHANT_CENTER.splitlines(), "&a", "*a", "<<: *a",
        "? ", ": ", "- ", "[", "]", "{", "}", "'", '"', "|", ">-", "#", "---", "...", "%YAML 1.1",
        "!!set", "!x", "\t", "  ", "\\", "__proto__: 1", "constructor", "0x1f", ".nan", "\r", "\0",
    ]
)  # fmt: skip


def judged(source: bytes) -> None:
    started = time.monotonic()
    reading = read(source)
    assert time.monotonic() - started < SECONDS
    worst = {each.severity for each in reading.faults}
    assert reading.valid == (Severity.ERROR not in worst)
    for fault in reading.faults:
        at = fault.position
        assert 1 <= at.line <= max(1, len(reading.lines))
        assert at.column >= 1
        shown = rendered(fault, "connect.yaml", reading.line(at.line))
        assert all(each.isprintable() or each == "\n" for each in shown)
        assert "\n" not in fault.line_of_text()


def test_a_document_that_ends_within_a_collection_is_judged() -> None:
    judged(b"[? a")


@given(st.binary(max_size=400))
@example(b"\xff\xfe\x00")
def test_any_bytes_are_judged(source: bytes) -> None:
    judged(source)


@given(st.lists(_PIECES, max_size=30), st.lists(st.sampled_from(["\n", "\n  ", " ", "\r\n"])))
@settings(max_examples=150)
def test_anything_that_looks_like_yaml_is_judged(pieces: list[str], between: list[str]) -> None:
    gaps = itertools.chain(between, itertools.repeat("\n"))
    judged("".join(f"{piece}{gap}" for piece, gap in zip(pieces, gaps, strict=False)).encode())


@given(st.text(max_size=60))
def test_any_value_is_judged(value: str) -> None:
    quoted = value.replace("'", "''")
    judged(f"deployAs: [{{name: '{quoted}', applicationType: '{quoted}'}}]".encode())


@pytest.mark.parametrize(
    "source",
    [
        b"[" * MAX_BYTES,
        b"{a: " * (MAX_BYTES // 4),
        b"- " * (MAX_BYTES // 2),
        b"a: &a [*a" + b",*a" * 100_000,
        b"&a [[]" + b",[]" * 20_000 + b"]\n" + b"- *a\n" * 20_000,
        b"a: &a [" + b"[]," * 20_000 + b"]\nb: [" + b"*a," * 20_000 + b"]",
        b"x: '" + b"a" * (MAX_BYTES - 10) + b"'",
        b"x: " + b"a\n  " * 200_000,
        b"".join(b"k%d: 1\n" % number for number in range(70_000)),
        b"? " * 1_000 + b"a",
        b'"' + rb"\ud83d\uded2" * 80_000 + b'"',
        b"\t\n" * (MAX_BYTES // 2),
        b"a: |\n" + b" x\n" * 300_000,
        b"%YAML 1.1\n---\n" + b"a: &a {b: c}\nd: {<<: [" + b"*a," * 98 + b"]}",
        b"a" * (MAX_BYTES + 1),
    ],
    ids=lambda source: source[:12].decode(),
)
def test_a_bomb_is_refused_soon(source: bytes) -> None:
    started = time.monotonic()
    reading = read(source)
    assert time.monotonic() - started < SECONDS
    assert not reading.valid


def test_a_configuration_that_aliases_blow_up_is_refused() -> None:
    entries = "".join(f"      - {{key: K{n}, description: d}}\n" for n in range(2_000))
    text = f"inheritAs:\n  configuration:\n    standardConfiguration: &c\n{entries}deployAs:\n"
    text += "".join(
        f"  - {{name: app{n}, applicationType: event, endpoint: /e,"
        " configuration: {standardConfiguration: *c}}\n"
        for n in range(90)
    )
    started = time.monotonic()
    assert [each.rule for each in read(text.encode()).faults] == ["size"]
    assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize("size", [1_000, 200_000])
@pytest.mark.parametrize(
    ("before", "repeated", "after", "valid"),
    [
        ("endpoint: ", "a", " ", True), ("endpoint: '", "a", " b'", False),
        ("endpoint: ", "a-", "!", False), ("endpoint: ", "/", "x", False),
        ("schedule: '", "1,", "x'", False), ("schedule: '", "1 1 1 1  ", "'", False),
        ("schedule: '", "@every 1", "'", False), ("schedule: '", "*/", "'", False),
        ("schedule: '", "1-1,", "'", False), ("schedule: '", "0 0 * * ", "0'", True),
    ],
)  # fmt: skip
def test_every_pattern_is_linear(
    before: str, repeated: str, after: str, *, valid: bool, size: int
) -> None:
    """The official pattern for endpoints takes two seconds for 26 characters, and doubles."""
    value = before + repeated * (size // len(repeated)) + after
    text = samples.JOB.format(schedule="'@daily'")
    key = before.partition(":")[0]
    lines = [f"{line.partition(key)[0]}{value}" if f"{key}:" in line else line for line in
             text.splitlines()]  # fmt: skip
    started = time.monotonic()
    reading = read("\n".join(lines).encode())
    assert time.monotonic() - started < SECONDS
    assert reading.valid == valid, reading.faults[:1]


def test_advice_on_a_schedule_is_linear() -> None:
    for text in ("1," * 200_000 + "1 * * * *", "* " * 200_000, "1-" * 200_000):
        started = time.monotonic()
        list(advice(text))
        assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize("name", ["constructor", "__proto__", "toString", "hasOwnProperty"])
def test_names_of_javascript_are_names(name: str) -> None:
    text = samples.SERVICE.replace("my-service", name)
    text += f"    configuration: {{standardConfiguration: [{{key: {name}, description: d}}]}}\n"
    assert read(text.encode()).faults == ()
    told = read(f"{text}{name}: 1\n".encode()).faults
    assert [each.official for each in told] == [
        f"[file content]: Unrecognized key(s) in object: '{name}'"
    ]


def test_nothing_of_a_file_reaches_the_terminal_but_what_can_be_seen() -> None:
    evil = "\x1b]0;owned\x07\u202e\u2028\x9b31m"
    fault = Fault(
        rule="name",
        severity=Severity.ERROR,
        at=evil,
        position=Position(1, 9, 3),
        message=evil,
        hint=evil,
    )
    shown = rendered(fault, evil, f"name: {evil}\tx")
    assert all(each.isprintable() or each == "\n" for each in shown)
    assert r"\x1b]0;owned\x07\u202e\u2028\x9b31m" in shown
    assert visible("größe 🛒") == "größe 🛒"


def test_the_caret_stands_under_what_is_meant() -> None:
    fault = Fault(
        rule="name",
        severity=Severity.ERROR,
        at="",
        position=Position(7, 12, 4),
        message="m",
    )
    line = "\t- name: 漢字 x"
    shown = rendered(fault, "f", line).splitlines()
    assert shown[2] == " 7 |   - name: 漢字 x"
    assert shown[3] == "   |               ^^"


def test_a_long_line_is_cut_around_the_place() -> None:
    fault = Fault(
        rule="name",
        severity=Severity.ERROR,
        at="",
        position=Position(1, 50_001, 3),
        message="m",
    )
    shown = rendered(fault, "f", "a" * 50_000 + "bad" + "c" * 50_000).splitlines()
    assert len(shown[2]) < 120
    start = shown[3].index("^")
    assert shown[2][start : start + 3] == "bad"
