"""connect.yaml as a tree of nodes, each with its place.

Read as the official validator reads it: by YAML 1.2 as the npm package `yaml` 2.9 has it with its
default options, on top of libyaml's events. No tag runs anything. Size, nodes, depth and aliases
are bounded, whatever the file says.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml._yaml import CParser

from connectory.specification import resolution
from connectory.specification.characters import hidden, shown
from connectory.specification.faults import Position
from connectory.specification.layout import Layout, with_whole_escapes, without_empty_tabs
from connectory.specification.resolution import Kind, Value
from connectory.specification.syntax import DocumentFault, fault_of

#: Collections within collections. The official parser runs out of stack near 900.
MAX_DEPTH: Final = 800
MAX_NODES: Final = 50_000
#: Uses of one anchor, weighed by the uses within it, as the official parser weighs them.
MAX_ALIASES: Final = 100


@dataclass(slots=True, eq=False)
class Node:
    """A value with its place."""

    kind: Kind
    position: Position
    #: Of a scalar. None for a collection.
    value: Value = None
    #: Of an array.
    items: list["Node"] = field(default_factory=list)
    #: Of an object: by key, in the order of JavaScript.
    entries: dict[str, "Entry"] = field(default_factory=dict)

    def get(self, name: str) -> "Node | None":
        """The value of an object's key."""
        found = self.entries.get(name)
        return found.value if found else None

    @property
    def text(self) -> str | None:
        """The value of a text."""
        return self.value if isinstance(self.value, str) else None


@dataclass(slots=True, frozen=True)
class Entry:
    """A pair of an object."""

    key: Node
    value: Node


@dataclass(frozen=True)
class Document:
    """What a text holds."""

    root: Node
    #: Tags that mean nothing here, with their places.
    ignored_tags: tuple[tuple[str, Position], ...]


@dataclass(slots=True)
class _Anchor:
    """How often a node was used, for the weighing of aliases."""

    node: Node
    uses: int = 1
    weight: int = 0
    within: "_Within" = None


#: What weighs within a node: nothing but itself for a scalar, the anchor of an alias, or what is
#: in a collection.
_Within = None | _Anchor | list["_Within"]


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    node: Node
    within: list[_Within]
    is_object: bool
    is_flow: bool
    key: Node | None = None
    #: Whether the key is the `<<` of YAML 1.1.
    merges: bool = False
    seen: set[tuple[Kind, Value]] = field(default_factory=set)
    merged: list[tuple[Node, Position]] = field(default_factory=list)


def compose(text: str) -> Document:
    """Read the one document of a text.

    Raises:
        DocumentFault: it is not YAML, not one document, or beyond a bound.
    """
    readable = hidden(text)
    found = DocumentFault("yaml-syntax", Position(), "not YAML")
    # libyaml refuses a few things that the official parser takes. They are rare: it gets the text
    # as it is first, and mended then.
    attempts = [(readable, readable)]
    if (mended := without_empty_tabs(readable)) != readable:
        attempts.append((mended, readable))
    if (whole := with_whole_escapes(mended)) != mended:
        attempts.append((whole, with_whole_escapes(readable)))
    for attempt, seen in attempts:
        try:
            return _composed(attempt, seen.split("\n"))
        except yaml.MarkedYAMLError as error:
            found = fault_of(error, text)
        except (yaml.YAMLError, ValueError) as error:  # pragma: no cover - nothing known does
            found = DocumentFault("yaml-syntax", Position(), f"not YAML: {error}")
    raise found


def _composed(readable: str, rows: list[str]) -> Document:
    composer = _Composer(rows)
    for event in _events(readable):
        composer.take(event)
    return Document(composer.root, tuple(composer.ignored_tags))


def _events(text: str) -> Iterator[Any]:
    parser: Any = CParser(text)
    while parser.check_event():
        yield parser.get_event()


class _Composer:
    """Makes nodes of events, without recursion."""

    def __init__(self, lines: list[str]) -> None:
        self._layout = Layout(lines)
        self.root = Node(Kind.NULL, Position())
        self.ignored_tags: list[tuple[str, Position]] = []
        self._schema = resolution.CORE
        self._merges = False
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchor] = {}
        self._nodes = 0
        self._documents = 0
        self._weighed = 0

    def take(self, event: Any) -> None:
        """One more event.

        Raises:
            DocumentFault: it is one too many of its kind.
        """
        if isinstance(event, yaml.ScalarEvent):
            self._layout.scalar(event)
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._layout.begin(event, is_object=isinstance(event, yaml.MappingStartEvent))
            self._begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._layout.end(event)
            self._end(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._document(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            at = _position(event)
            raise DocumentFault(
                "one-document",
                at,
                "a second document starts here",
                "Source contains multiple documents; please use YAML.parseAllDocuments()"
                f" at line {at.line}, column {at.column}",
                hint="take out what follows, or the `---` before it",
            )
        if event.version == (1, 1):
            self._schema = resolution.YAML_1_1
            self._merges = True

    def _scalar(self, event: Any) -> None:
        text = shown(event.value)
        position = _position(event)
        kind: Kind = Kind.STRING
        value: Value = text
        if event.tag is not None:
            found = self._schema.tagged(text, event.tag)
            if found is None:
                self.ignored_tags.append((event.tag, position))
            else:
                kind, value = found
        elif not event.style:
            kind, value = self._schema.plain(text)
        node = Node(kind, position, value)
        self._anchored(event.anchor, node)
        merge = self._merges and not event.style and text == "<<"
        self._add(node, None, merge=merge)

    def _begin(self, event: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise DocumentFault(
                "depth", _position(event), f"nested more than {MAX_DEPTH} levels deep"
            )
        kind = Kind.OBJECT if isinstance(event, yaml.MappingStartEvent) else Kind.ARRAY
        node = Node(kind, _position(event))
        if event.tag is not None:
            node.kind, known = resolution.collection(kind, event.tag)
            if not known:
                self.ignored_tags.append((event.tag, node.position))
        within: list[_Within] = []
        self._anchored(event.anchor, node, within)
        self._open.append(
            _Open(node, within, is_object=kind is Kind.OBJECT, is_flow=event.flow_style)
        )

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        start = done.node.position
        if done.is_flow and event.end_mark.line + 1 == start.line:
            length = event.end_mark.column + 1 - start.column
            done.node.position = Position(start.line, start.column, length)
        for source, position in done.merged:
            _merge(done.node, source, position)
        done.node.entries = _in_order_of_javascript(done.node.entries)
        self._add(done.node, done.within)

    def _alias(self, event: Any) -> None:
        position = _position(event)
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            raise DocumentFault(
                "alias",
                position,
                f"the alias `*{event.anchor}` has no anchor before it",
                f"Unresolved alias (the anchor must be set before the alias): {event.anchor}",
                hint=f"put `&{event.anchor}` before what it stands for",
            )
        anchor.uses += 1
        anchor.weight = anchor.weight or self._weight(anchor)
        if anchor.uses * anchor.weight > MAX_ALIASES or self._weighed > MAX_NODES:
            raise DocumentFault(
                "alias-count",
                position,
                f"aliases repeat `&{event.anchor}` more than {MAX_ALIASES} times in all",
                "Excessive alias count indicates a resource exhaustion attack",
            )
        self._add(anchor.node, anchor)

    def _anchored(self, name: str | None, node: Node, within: "_Within" = None) -> None:
        if name is not None:
            self._anchors[name] = _Anchor(node, within=within)

    def _weight(self, anchor: _Anchor) -> int:
        """What one more use of a node costs: the most that is used within it."""
        weight = 0
        waiting = [anchor.within]
        while waiting and self._weighed <= MAX_NODES:
            self._weighed += 1
            within = waiting.pop()
            if isinstance(within, list):
                waiting += within
            else:
                weight = max(weight, 1 if within is None else within.uses * within.weight)
        return weight

    def _add(self, node: Node, within: "_Within", *, merge: bool = False) -> None:
        """Put a node where it belongs: into the innermost collection, as its key or its value."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise DocumentFault("size", node.position, f"more than {MAX_NODES:,} values")
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if self._anchors:
            parent.within.append(within)
        if not parent.is_object:
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = node
            if not isinstance(within, _Anchor) and not merge:
                _refuse_repeated(parent, node)
            parent.merges = merge
        else:
            key, parent.key = parent.key, None
            if parent.merges:
                parent.merged.append((node, key.position))
            else:
                parent.node.entries[_spelled(key)] = Entry(key, node)


def _refuse_repeated(parent: _Open, key: Node) -> None:
    if key.kind in _SCALARS and key.kind is not Kind.NAN:
        identity = (key.kind, key.value)
        if identity in parent.seen:
            at = key.position
            raise DocumentFault(
                "duplicate-yaml-key",
                at,
                f"the key `{_spelled(key)}` is there twice",
                f"Map keys must be unique at line {at.line}, column {at.column}",
                hint="keep one of them",
            )
        parent.seen.add(identity)


_SCALARS = (Kind.STRING, Kind.NUMBER, Kind.NAN, Kind.BOOLEAN, Kind.NULL)


def _merge(target: Node, source: Node, position: Position) -> None:
    """What `<<` does in YAML 1.1: the pairs of other objects, where the key is not there."""
    for each in source.items if source.kind is Kind.ARRAY else [source]:
        if each.kind is not Kind.OBJECT:
            raise DocumentFault(
                "merge",
                position,
                "`<<` merges mappings only",
                "Merge sources must be maps or map aliases",
            )
        for name, entry in list(each.entries.items()):
            target.entries.setdefault(name, entry)


def _in_order_of_javascript(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Keys that are array indexes come first in JavaScript, by size."""
    indexes = [name for name in entries if is_index(name)]
    if not indexes:
        return entries
    indexes.sort(key=int)
    return {name: entries[name] for name in [*indexes, *entries]}


def is_index(name: str) -> bool:
    """Whether JavaScript takes a key for the index of an array."""
    return (
        len(name) <= 10  # noqa: PLR2004 - digits of 2**32
        and name.isascii()
        and name.isdigit()
        and (name == "0" or name[0] != "0")
        and int(name) < 2**32 - 1
    )


def _spelled(key: Node, depth: int = 0) -> str:
    """A key as a text, as JavaScript makes one of it; within bounds for a key of collections."""
    if key.kind is Kind.STRING:
        return str(key.value)
    if key.kind is Kind.NULL:
        return "" if depth == 0 else "null"
    if key.kind is Kind.BOOLEAN:
        return "true" if key.value else "false"
    if key.kind in _SCALARS:
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(
            str(key.value), str(key.value)
        )
    if depth >= _SPELLED_DEPTH:
        return "…"
    parts = [_spelled(item, depth + 1) for item in key.items[:_SPELLED_ITEMS]]
    parts += [
        f"{name}: {_spelled(entry.value, depth + 1)}"
        for name, entry in list(key.entries.items())[:_SPELLED_ITEMS]
    ]
    opened, closed = "[]" if key.kind is Kind.ARRAY else "{}"
    return f"{opened} {', '.join(parts)} {closed}" if parts else opened + closed


_SPELLED_DEPTH = 3
_SPELLED_ITEMS = 5


def _position(event: Any) -> Position:
    start, end = event.start_mark, event.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Position(start.line + 1, start.column + 1, max(1, length))
