"""Checks a document along the types of `shape`, as the official validator (zod) goes.

What zod does decides which faults are seen together: a value of the wrong type ends what is asked
of all that contains it; everything else leaves the rest to be judged. Rules that compare values
(`relations`) that zod does not come to are told as Warnings: the file is invalid anyway.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

import msgspec
from msgspec import inspect

from connectory.specification import relations, shape, texts
from connectory.specification.document import MAX_NODES, Node
from connectory.specification.faults import Fault, Position, Severity
from connectory.specification.nearest import listed, nearest
from connectory.specification.relations import Path
from connectory.specification.resolution import Kind
from connectory.specification.rules import fault, official
from connectory.specification.syntax import DocumentFault

#: A file can have as many faults as values. Nobody reads more than this.
MAX_FAULTS: Final = 1_000

_JSON_TYPES: Final[Mapping[type, tuple[Kind, str]]] = {
    inspect.StructType: (Kind.OBJECT, "a mapping"),
    inspect.UnionType: (Kind.OBJECT, "a mapping"),
    inspect.VarTupleType: (Kind.ARRAY, "a list"),
    inspect.StrType: (Kind.STRING, "a text"),
    inspect.IntType: (Kind.NUMBER, "a whole number"),
    inspect.BoolType: (Kind.BOOLEAN, "true or false"),
}
_WORDS: Final[Mapping[Kind, str]] = {
    Kind.OBJECT: "a mapping",
    Kind.ARRAY: "a list",
    Kind.STRING: "a text",
    Kind.NUMBER: "a number",
    Kind.NAN: "not a number",
    Kind.BOOLEAN: "true or false",
    Kind.NULL: "nothing",
    Kind.DATE: "a date",
    Kind.SET: "a set",
    Kind.MAP: "an ordered map",
}
#: What is often written where it does not belong, and what to do.
_MISPLACED: Final[Mapping[tuple[str, str], str]] = {
    ("StandardEntry", "value"): "a value that is there from the start is called `default`",
    ("SecuredEntry", "value"): "a secret is given by the Deployment, never by the file",
    ("SecuredEntry", "default"): "a secret has no default: the Deployment gives it",
}


class Status(IntEnum):
    """How a part came out, the worst last."""

    VALID = 0
    DIRTY = 1  #: Faulty, and still of the right type throughout.
    ABORTED = 2  #: Something in it is missing or of the wrong type.


def check(root: Node) -> tuple[list[Fault], bool]:
    """The faults of a document in the order of the official validator, and whether it is valid.

    Raises:
        DocumentFault: it is too large when aliases are followed.
    """
    checker = _Checker()
    status = checker.check(_file(), root, (), root.position)
    return checker.faults, status is Status.VALID


@functools.cache
def _file() -> inspect.Type:
    return shape.description_of(shape.File)


class _Checker:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._visited = 0
        self._walks: Mapping[type, Callable[[Any, Node, Path], Status]] = {
            inspect.StructType: self._object,
            inspect.UnionType: self._union,
            inspect.VarTupleType: self._array,
            inspect.IntType: self._number,
        }

    def check(
        self, schema: inspect.Type, node: Node | None, path: Path, within: Position
    ) -> Status:
        """One value; `within` is where it would stand if it were there."""
        check = ""
        while isinstance(schema, inspect.Metadata):
            check = (schema.extra or {}).get("check", check)
            schema = schema.type
        if node is None:
            return self._missing(path, within)
        self._visited += 1
        if self._visited > MAX_NODES:
            raise DocumentFault("size", node.position, f"more than {MAX_NODES:,} values")
        kind, words = _JSON_TYPES[type(schema)]
        if node.kind is not kind:
            return self._wrong_type(kind, words, node, path)
        if isinstance(schema, inspect.StrType):
            return self._tell(path, node.position, texts.CHECKS[check](str(node.value)))
        walk = self._walks.get(type(schema))
        return walk(schema, node, path) if walk else Status.VALID

    def _object(self, schema: inspect.StructType, node: Node, path: Path) -> Status:
        status = Status.VALID
        known = {field.encode_name: field for field in schema.fields}
        for name, field in known.items():
            value = node.get(name)
            if value is not None or field.required:
                entry = node.entries.get(name)
                where = entry.key.position if entry else node.position
                status = max(status, self.check(field.type, value, (*path, name), where))
        allowed = [*known, *([schema.tag_field] if schema.tag_field else [])]
        unknown = [name for name in node.entries if name not in allowed]
        if unknown:
            status = max(status, Status.DIRTY)
            self._unknown(schema, node, path, unknown, allowed)
        return self._related(schema.cls, node, path, status)

    def _union(self, schema: inspect.UnionType, node: Node, path: Path) -> Status:
        members = [each for each in schema.types if isinstance(each, inspect.StructType)]
        by_tag = {str(each.tag): each for each in members}
        field = str(members[0].tag_field)
        chosen = node.get(field)
        member = by_tag.get(chosen.text) if chosen and chosen.text is not None else None
        if member is not None:
            return self._object(member, node, path)
        expected = " | ".join(f"'{tag}'" for tag in by_tag)
        message = f"`{field}` is missing"
        if chosen is not None:
            shown = f"`{chosen.text}`" if chosen.text is not None else _WORDS[chosen.kind]
            message = f"{shown} is no `{field}`"
        meant = nearest((chosen.text or "") if chosen else "", by_tag)
        hint = f"did you mean `{meant}`?" if meant else f"it is {listed(by_tag)}"
        at = ".".join(map(str, (*path, field)))
        self._add(
            fault(
                "application-type" if field == "applicationType" else "retry-strategy",
                at,
                (chosen or node).position,
                message,
                hint,
                official(at, f"Invalid discriminator value. Expected {expected}"),
            )
        )
        return Status.ABORTED

    def _array(self, schema: inspect.VarTupleType, node: Node, path: Path) -> Status:
        status = Status.VALID
        if path[-1] == "scopes" and not node.items:
            message = "Array must contain at least 1 element(s)"
            told = ("empty-list", "the list is empty", "name a scope, or leave it out", message)
            status = self._tell(path, node.position, [told])
        for place, item in enumerate(node.items):
            inner = self.check(schema.item_type, item, (*path, place), item.position)
            status = max(status, inner)
        return status

    def _number(self, schema: inspect.IntType, node: Node, path: Path) -> Status:
        number = node.value
        found: list[texts.Told] = []
        if not isinstance(number, int | float) or schema.ge is None or schema.le is None:
            raise TypeError(f"{path}: not a number with bounds")  # pragma: no cover
        bounds = f"from {schema.ge} to {schema.le}"
        if not isinstance(number, int):
            official_message = "Expected integer, received float"
            found.append(
                (
                    "whole-number",
                    f"{number} is no whole number",
                    f"it is {bounds}",
                    official_message,
                )
            )
        for outside, word, bound in (
            (number < schema.ge, "greater than", schema.ge),
            (number > schema.le, "less than", schema.le),
        ):
            if outside:
                shown = f"{number}" if abs(number) < 1e16 else "the number"  # noqa: PLR2004
                found.append(
                    (
                        "number-range",
                        f"{shown} is out of bounds",
                        f"it is {bounds}",
                        f"Number must be {word} or equal to {bound}",
                    )
                )
        return self._tell(path, node.position, found)

    def _related(self, part: type, node: Node, path: Path, status: Status) -> Status:
        """What the values of a part have to do with each other."""
        compare = _RELATIONS.get(part)
        for found in compare(node, path) if compare else ():
            if status is Status.ABORTED:
                self._add(
                    msgspec.structs.replace(
                        found,
                        severity=Severity.WARNING,
                        official="",
                        hint="; ".join(filter(None, (found.hint, _LATER))),
                    )
                )
            else:
                status = Status.DIRTY
                self._add(found)
        return status

    def _unknown(
        self,
        schema: inspect.StructType,
        node: Node,
        path: Path,
        unknown: Sequence[str],
        allowed: Sequence[str],
    ) -> None:
        """Keys that are not known: the official validator has one line for all of an object."""
        at = ".".join(map(str, path))
        names = ", ".join(f"'{name}'" for name in unknown)
        line = official(at, f"Unrecognized key(s) in object: {names}")
        owner = _owner(schema)
        free = [name for name in allowed if name not in node.entries]
        for name in unknown:
            meant = nearest(name, free)
            hint = _MISPLACED.get((schema.cls.__name__, name), "") or _belongs(schema, name)
            if not hint and name == "<<":
                hint = "YAML 1.2 merges nothing; repeat the keys, or declare `%YAML 1.1`"
            if meant and not hint:
                hint = f"did you mean `{meant}`?"
            where = node.entries[name].key.position
            message = f"`{_short(name)}` is not known in {owner}"
            self._add(
                fault(
                    "unknown-key",
                    at,
                    where,
                    message,
                    hint or f"known here: {', '.join(f'`{each}`' for each in allowed)}",
                    line,
                )
            )
            line = ""

    def _missing(self, path: Path, within: Position) -> Status:
        at = ".".join(map(str, path))
        told = f"`{path[-1]}` is missing"
        self._add(fault("missing", at, within, told, "add it here", official(at, "Required")))
        return Status.ABORTED

    def _wrong_type(self, kind: Kind, words: str, node: Node, path: Path) -> Status:
        at = ".".join(map(str, path))
        name = f"`{path[-1]}`" if path and isinstance(path[-1], str) else "this"
        if not path:
            name = "the file"
        self._add(
            fault(
                "wrong-type",
                at,
                node.position,
                f"{name} is {words}, not {_WORDS[node.kind]}",
                _type_hint(kind, node),
                official(at, f"Expected {kind}, received {node.kind}"),
            )
        )
        return Status.ABORTED

    def _tell(self, path: Path, where: Position, found: Sequence["texts.Told"]) -> Status:
        at = ".".join(map(str, path))
        for rule, message, hint, official_message in found:
            self._add(fault(rule, at, where, message, hint, official(at, official_message)))
        return Status.DIRTY if found else Status.VALID

    def _add(self, found: Fault) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(found)


_LATER: Final = "the official validator sees this when the other faults are mended"
_RELATIONS: Final[Mapping[type, Callable[[Node, Path], Sequence[Fault]]]] = {
    shape.Configuration: relations.of_configuration,
    shape.ExponentialBackoff: relations.of_backoff,
    shape.MerchantCenterCustomApplication: relations.of_merchant_center,
    shape.McApp: relations.of_merchant_center,
    shape.MerchantCenterCustomView: relations.of_merchant_center,
    shape.File: relations.of_file,
}


def _owner(schema: inspect.StructType) -> str:
    """What an object is, for a person."""
    names = {
        "File": "connect.yaml",
        "StandardEntry": "a standard configuration key",
        "SecuredEntry": "a secured configuration key",
        "ApiClient": "`apiClient`",
        "InheritAs": "`inheritAs`",
    }
    if schema.tag_field == "applicationType":
        return f"an application of type `{schema.tag}`"
    if schema.tag_field:
        return f"a retry policy with strategy `{schema.tag}`"
    name = schema.cls.__name__
    return names.get(name, f"`{name[0].lower()}{name[1:]}`")


def _belongs(schema: inspect.StructType, name: str) -> str:
    """Which types of application have a key that this one has not."""
    if schema.tag_field != "applicationType":
        return ""
    owners = [tag for tag, names in _keys_by_type().items() if name in names]
    return f"only applications of type {listed(owners)} have it" if owners else ""


@functools.cache
def _keys_by_type() -> Mapping[str, frozenset[str]]:
    types = inspect.multi_type_info(shape.Application.__args__)
    return {
        str(each.tag): frozenset(field.encode_name for field in each.fields)
        for each in types
        if isinstance(each, inspect.StructType) and each.tag != "unknown"
    }


def _type_hint(kind: Kind, node: Node) -> str:
    if node.kind is Kind.NULL:
        return "give it a value, or leave the key out"
    if kind is Kind.STRING and node.kind in (Kind.NUMBER, Kind.BOOLEAN, Kind.DATE, Kind.NAN):
        return "put it in quotes"
    if kind is Kind.STRING and node.kind is Kind.OBJECT:
        return "put a text with `: ` or braces in quotes"
    if kind in (Kind.NUMBER, Kind.BOOLEAN) and node.kind is Kind.STRING:
        return "write true or false" if kind is Kind.BOOLEAN else "write the number without quotes"
    if kind is Kind.ARRAY:
        return "begin each item with `- `"
    return ""


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:79] + "…"  # noqa: PLR2004
