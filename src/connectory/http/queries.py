"""Query strings into structs, with every fault of every parameter told at once.

A parameter is a field of the endpoint's query struct, by its wire name. A field that is a tuple
may be repeated, any other may not. Parameters that the struct does not know are ignored.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import inspect

from connectory.contract.decoding import bounds
from connectory.contract.errors import ApiErrors, InvalidQueryParam

Decode = Callable[[bytes], msgspec.Struct]

#: More repetitions than any list of ids of a sensible request; a longer target is refused anyway.
MAX_PARAMETERS = 1_000


def query_decoder(struct: type[msgspec.Struct]) -> Decode:
    """A function that decodes query strings into `struct`.

    It raises `ApiErrors` of `InvalidQueryParam`, one for each fault, which name parameter, value
    and what is expected.
    """
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{struct} is not a struct")
    parameters = {field.encode_name: _Parameter(field.type) for field in info.fields}
    names = {field.encode_name: field.name for field in info.fields}

    def decode(query_string: bytes) -> msgspec.Struct:
        faults: list[str] = []
        given: dict[str, list[str]] = {}
        for name, value in _pairs(query_string, faults):
            if name in parameters:
                given.setdefault(name, []).append(value)
        values = {}
        for name, texts in given.items():
            try:
                values[names[name]] = parameters[name].read(texts)
            except ValueError as fault:
                faults.append(f"{name}: {fault}")
        if faults:
            raise ApiErrors([InvalidQueryParam(fault) for fault in faults])
        return struct(**values)

    return decode


def _pairs(query_string: bytes, faults: list[str]) -> list[tuple[str, str]]:
    pairs = []
    pieces = query_string.split(b"&")
    if len(pieces) > MAX_PARAMETERS:
        faults.append(f"the query has {len(pieces)} parameters; {MAX_PARAMETERS} are taken")
        return []
    for piece in filter(None, pieces):
        name, _, value = piece.replace(b"+", b" ").partition(b"=")
        try:
            pair = (unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode())
        except UnicodeDecodeError:
            faults.append(f"{piece.decode('ascii', 'replace')}: not UTF-8, percent-encoded")
            continue
        if "\0" in pair[1]:
            faults.append(f"{pair[0]}: the value has the character U+0000 in it")
            continue
        pairs.append(pair)
    return pairs


class _Parameter:
    """Reads the values of one parameter."""

    def __init__(self, schema: inspect.Type) -> None:
        schema, _ = _unwrapped(schema)
        self._repeats = isinstance(schema, inspect.VarTupleType)
        if isinstance(schema, inspect.VarTupleType):
            schema = schema.item_type
        self._schema, extra = _unwrapped(schema)
        #: What is taken, in words: the type's own, as `Meta(extra={"expected": …})`, or derived.
        self._expected = extra.get("expected") or bounds(self._schema)
        pattern = self._schema.pattern if isinstance(self._schema, inspect.StrType) else None
        self._matches = re.compile(pattern or "").search

    def read(self, texts: list[str]) -> Any:
        """The value.

        Raises:
            ValueError: with what is expected and what was given.
        """
        if self._repeats:
            return tuple(self._one(text) for text in texts)
        if len(texts) > 1:
            raise ValueError(f"given {len(texts)} times; it can be given once")
        return self._one(texts[0])

    def _one(self, text: str) -> Any:
        value = self._parsed(text)
        if value is None:
            raise ValueError(f"expected {self._expected}, got '{text}'")
        return value

    def _parsed(self, text: str) -> Any:
        schema = self._schema
        if isinstance(schema, inspect.IntType):
            return _whole_number(text, schema)
        if isinstance(schema, inspect.BoolType):
            return {"true": True, "false": False}.get(text)
        if isinstance(schema, inspect.EnumType):
            return next((each for each in schema.cls if each.value == text), None)
        return text if self._matches(text) else None


def _unwrapped(schema: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """A type and its extra metadata."""
    if isinstance(schema, inspect.Metadata):
        return schema.type, schema.extra or {}
    return schema, {}


def _whole_number(text: str, schema: inspect.IntType) -> int | None:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:  # noqa: PLR2004 - 64 bits
        return None
    number = int(text)
    if (schema.ge is not None and number < schema.ge) or (
        schema.le is not None and number > schema.le
    ):
        return None
    return number
