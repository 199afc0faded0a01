"""The types of an endpoint table as JSON schemas, with what their docstrings say of them.

msgspec knows shapes and constraints. What is added: the meaning of each field from the struct's
docstring (`Attributes:`), the declared order of fields and enumerations, patterns as ECMAScript
has them, and that no text of a request may have U+0000 in it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any, Final

import msgspec
from msgspec import inspect

from connectory.contract.errors import ErrorResponse
from connectory.http.table import Endpoint

Json = dict[str, Any]

#: A text that can be sent: U+0000 is refused wherever it comes, and cannot be in an answer.
TEXT_PATTERN: Final = r"^[^\u0000]*$"

#: Marks an operation, or a type, that the published contract lacks.
ADDITION: Final = "x-connectory-addition"

_COMPONENTS: Final = "#/components/schemas/"
_TAG_MEANING: Final = "Tells this type from the others."


def reference(struct: type[msgspec.Struct]) -> Json:
    """A schema that refers to a struct's."""
    return {"$ref": _COMPONENTS + struct.__name__}


class Schemas:
    """The JSON schemas of all types of a table."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        requests = [each for endpoint in endpoints for each in (endpoint.query, *endpoint.bodies)]
        successes = [endpoint.success[1] for endpoint in endpoints]
        structs = [each for each in (*requests, *successes, ErrorResponse) if each]
        inlined = [kind for endpoint in endpoints for kind in endpoint.parameters.values()]
        inlined += [endpoint.body for endpoint in endpoints if endpoint.body is not None]
        inline, components = msgspec.json.schema_components(
            [*inlined, *dict.fromkeys(structs)], ref_template=_COMPONENTS + "{name}"
        )
        for info in _walk(inspect.multi_type_info(dict.fromkeys(structs)), set()):
            if isinstance(info, inspect.StructType):
                _explain(components[info.cls.__name__], info.cls)
            elif isinstance(info, inspect.EnumType):
                # In the order of declaration; msgspec sorts them.
                values = [each.value for each in info.cls]
                components[info.cls.__name__] |= {"type": "string", "enum": values}
        for name in _reached(components, [each.__name__ for each in requests if each]):
            _refuse_nul(components[name])
        self._by_type = dict(zip(inlined, map(_ecma, inline), strict=False))
        #: A query is not sent as one object: its struct has no name of its own.
        self._queries = {
            each: _ecma(components.pop(each.__name__)["properties"])
            for each in dict.fromkeys(endpoint.query for endpoint in endpoints)
            if each is not None
        }
        self.components: Json = _ecma(components)

    def body(self, endpoint: Endpoint) -> Json:
        """A reference to the type of the body, or to several that a property tells apart."""
        found: Json = self._by_type[endpoint.body]
        return found

    def path_parameters(self, endpoint: Endpoint) -> Iterator[Json]:
        """The parameters of the path, in its order."""
        for name, kind in endpoint.parameters.items():
            yield _parameter(name, "path", self._by_type[kind]) | {"required": True}

    def query_parameters(self, endpoint: Endpoint) -> Iterator[Json]:
        """The parameters of the query; one that can be repeated is an array, exploded."""
        if endpoint.query is None:
            return
        for name, schema in self._queries[endpoint.query].items():
            parameter = _parameter(name, "query", schema)
            if schema.get("type") == "array":
                parameter |= {"style": "form", "explode": True}
            yield parameter


def _parameter(name: str, place: str, schema: Json) -> Json:
    schema = dict(schema)
    description = schema.pop("description", "")
    return {"name": name, "in": place, "description": description, "schema": schema}


def _walk(infos: Iterable[Any], seen: set[type]) -> Iterator[inspect.Type]:
    """Types and all the types that they are made of; each struct and enumeration once."""
    for info in infos:
        if isinstance(info, inspect.StructType | inspect.EnumType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
        if isinstance(info, inspect.Type):
            yield info
        if isinstance(info, inspect.Type | inspect.Field):
            for name in info.__struct_fields__:
                value = getattr(info, name)
                yield from _walk(value if isinstance(value, tuple) else (value,), seen)


def _explain(schema: Json, struct: type[msgspec.Struct]) -> None:
    """Put what a struct's docstring says where a schema says it: on the type, on each field."""
    schema["description"] = _sections(struct)[0]
    if getattr(struct, "addition", False):
        schema[ADDITION] = True
    meanings: dict[str, str] = {}
    for each in reversed(struct.__mro__):
        meanings |= _sections(each)[1]
    fields = msgspec.structs.fields(struct)
    properties = schema["properties"]
    for field in fields:
        if field.name in meanings:
            properties[field.encode_name]["description"] = meanings[field.name]
    # Its own fields come before those that it inherits: `id` is the first of a Connector's.
    names = sorted(fields, key=lambda field: field.name not in struct.__annotations__)
    schema["properties"] = {each.encode_name: properties[each.encode_name] for each in names}
    tag, value = struct.__struct_config__.tag_field, struct.__struct_config__.tag
    if tag is not None:
        told = {"type": "string", "enum": [value], "description": _TAG_MEANING}
        schema["properties"] = {tag: told, **schema["properties"]}


def _sections(documented: type) -> tuple[str, dict[str, str]]:
    """A docstring without its sections, and what its `Attributes:` are."""
    text, _, attributes = cleandoc(documented.__doc__ or "").partition("\n\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.+(?:\n {5,}.+)*)", attributes, re.MULTILINE)
    return text, {name: re.sub(r"\s+", " ", meaning) for name, meaning in found}


def _reached(components: Mapping[str, Json], names: Iterable[str]) -> set[str]:
    """The names of components, and of all that they refer to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            text = msgspec.json.encode(components[name]).decode()
            waiting += re.findall(rf'"{re.escape(_COMPONENTS)}(\w+)"', text)
    return found


def _refuse_nul(schema: Any) -> None:
    """Say of every text in a schema that has no pattern that U+0000 cannot be in it."""
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not {"pattern", "enum"} & schema.keys():
            schema["pattern"] = TEXT_PATTERN
        for value in schema.values():
            _refuse_nul(value)
    elif isinstance(schema, list):
        for value in schema:
            _refuse_nul(value)


def _ecma(schema: Any) -> Any:
    """A schema whose patterns are plain ECMAScript, where `$` is the end and nothing else."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"(?!\n)$", "$")
            if name == "pattern" and isinstance(value, str)
            else _ecma(value)
            for name, value in schema.items()
        }
    if isinstance(schema, list | tuple):
        return [_ecma(value) for value in schema]
    return schema
