"""YAML as the official parser reads it."""

from typing import Any

import pytest

from connectory.specification import characters, document
from connectory.specification.document import Node
from connectory.specification.resolution import Kind
from connectory.specification.syntax import DocumentFault


def values(node: Node) -> Any:
    if node.kind is Kind.OBJECT:
        return {name: values(entry.value) for name, entry in node.entries.items()}
    if node.kind is Kind.ARRAY:
        return [values(item) for item in node.items]
    return node.value


def load(text: str) -> Any:
    return values(document.compose(text).root)


def refused(text: str) -> str:
    with pytest.raises(DocumentFault) as caught:
        document.compose(text)
    return caught.value.rule


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("on", "on"), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("~", None), ("", None), ("Null", None), ("nULL", "nULL"),
        ("012", 12), ("0o14", 12), ("0x1F", 31), ("0b1", "0b1"), ("1_000", "1_000"),
        ("1.0", 1), ("1e3", 1000), (".5", 0.5), ("5.", 5), ("1e999", float("inf")),
        ("-.inf", float("-inf")), ("2024-01-01", "2024-01-01"), ("1:30", "1:30"), (".", "."),
        ("'5'", "5"), ('"\\x41"', "A"), ("!!str 5", "5"), ("! 5", "5"), ("!!int '7'", 7),
        ("!!int x", "x"), ("a#b", "a#b"), ("a b", "a b"), ("http://a.b:80/c", "http://a.b:80/c"),
        ("|\n a\n b\n", "a\nb\n"), (">-\n a\n b\n", "a b"), ("9" * 400, float("inf")),
    ],
)  # fmt: skip
def test_a_scalar_is_resolved_by_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    found = load(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", True), ("n", False), ("014", 12), ("0b11", 3), ("1_000", 1000), ("1.5_0", 1.5)],
)
def test_yaml_1_1_has_its_own_types_where_the_file_declares_it(text: str, value: Any) -> None:
    assert load(f"%YAML 1.1\n---\n{text}\n") == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("!!binary aGk=", Kind.OBJECT), ("!!set {a}", Kind.SET), ("!!omap [a: 1]", Kind.MAP),
        ("!!timestamp 2024-01-01", Kind.DATE), (".nan", Kind.NAN),
        ("!!python/name:x y", Kind.STRING),
        ("%YAML 1.1\n---\n2024-01-01", Kind.DATE),
    ],
)  # fmt: skip
def test_a_tag_changes_the_type_and_runs_nothing(text: str, kind: Kind) -> None:
    assert document.compose(text).root.kind is kind


def test_a_tag_that_means_nothing_is_passed_over_and_told() -> None:
    found = document.compose("a: !!python/object/apply:os.system [echo]\n")
    assert values(found.root) == {"a": ["echo"]}
    assert [tag for tag, _ in found.ignored_tags] == [
        "tag:yaml.org,2002:python/object/apply:os.system"
    ]


def test_merge_keys_merge_in_yaml_1_1_only() -> None:
    text = "a: &a {x: 1, w: 2}\nb:\n  <<: *a\n  x: 3\nc: {<<: [*a, {z: 4}]}\n"
    assert load(text)["b"] == {"<<": {"x": 1, "w": 2}, "x": 3}
    merged = load(f"%YAML 1.1\n---\n{text}")
    assert merged["b"] == {"x": 3, "w": 2}
    assert merged["c"] == {"x": 1, "w": 2, "z": 4}


def test_keys_are_texts() -> None:
    assert load("1: a\ntrue: b\n~: c\n[x]: d\n? {a: 1}\n: e\n") == {
        "1": "a", "true": "b", "": "c", "[ x ]": "d", "{ a: 1 }": "e",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{a: 1, a: 2}", "1: a\n1.0: b", "~: a\nnull: b"])
def test_a_key_stands_once(text: str) -> None:
    assert refused(text) == "duplicate-yaml-key"


@pytest.mark.parametrize("text", ["1: a\n'1': b\n", "&a k: 1\n*a : 2\n", ".nan: 1\n.NaN: 2\n"])
def test_keys_of_different_types_are_different(text: str) -> None:
    load(text)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffa: b",
        "a: b\r\n",
        "---\na: b\n...\n",
        '{"a": "b"}',
        "a:\tb",
        "a: b # c",
        "a: b\n \t\n",
    ],
)
def test_what_is_no_difference(text: str) -> None:
    assert load(characters.decoded(text.encode())) == {"a": "b"}


def test_a_carriage_return_alone_ends_no_line() -> None:
    assert refused("a:\r  b: c\r  d: e\r") == "yaml-syntax"
    assert load("a: b\rc") == {"a": "b\rc"}
    assert characters.lines("a\rb\r\nc\nd") == ["a\rb", "c", "d"]


@pytest.mark.parametrize("odd", ["\0", "\x07", "\x85", "\u2028", "\ufeff", "\x9f", "\x7f"])
def test_odd_characters_are_part_of_a_text(odd: str) -> None:
    assert load(f"a: x{odd}y\n") == {"a": f"x{odd}y"}


def test_a_character_that_json_escapes_in_two_halves() -> None:
    assert load(r'{"a": "\ud83d\uded2", "b": "\ud83d", "c": "\\ud83d"}') == {
        "a": "\U0001f6d2", "b": "\ufffd", "c": "\\ud83d",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "a:\n  b: 'x\n y'\n", "a:\n  b: [x,\n  y]\n", "a: {b: c,\nd: e}\n", "a: 'x'#c\n",
        "a: [x]#c\n", "a: [#c\n  x]\n", "a: [b\n", "a: @b\n", "a: `b\n", "a: 'b\n", "a: b: c\n",
        "a: *\n", "- a\nb: c\n", "a:\n\t- b\n",
    ],
)  # fmt: skip
def test_what_is_no_yaml(text: str) -> None:
    assert refused(text) in ("yaml-syntax", "tab-indentation")


@pytest.mark.parametrize(
    "text", ["a: [b,\n  c\n]\n", "a: 'b\n  c'\n", "a: {\n  b: c\n}\n", "[a,\nb]\n"]
)
def test_lines_that_are_indented_enough(text: str) -> None:
    load(text)


def test_aliases_share_what_their_anchor_names() -> None:
    assert load("a: &x {k: v}\nb: *x\nc: &x 5\nd: *x\n") == {
        "a": {"k": "v"}, "b": {"k": "v"}, "c": 5, "d": 5,
    }  # fmt: skip


def test_an_anchor_is_used_at_most_a_hundred_times_itself_included() -> None:
    text = "x: &x y\nz: [{}]\n"
    assert len(load(text.format(", ".join(["*x"] * 99)))["z"]) == 99
    assert refused(text.format(", ".join(["*x"] * 100))) == "alias-count"


def test_aliases_within_aliases_multiply() -> None:
    levels = "".join(f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 4)}]\n" for n in range(4))
    assert refused(f"l0: &l0 [x]\n{levels}") == "alias-count"


def test_an_alias_within_its_own_anchor_ends() -> None:
    root = document.compose("&a [*a]").root
    assert root.items[0] is root


def test_places_are_counted_in_characters() -> None:
    root = document.compose("ä: {ö: '\U0001f6d2', x: y}\n").root
    inner = root.entries["ä"].value
    assert inner.entries["x"].key.position.column == 13
    assert inner.position.line == 1
