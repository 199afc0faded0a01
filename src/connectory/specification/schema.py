"""The JSON Schema of connect.yaml, for editors: draft 2020-12, made of the types of `shape`.

It accepts every valid file, and refuses what a schema can see. What it cannot: whether names and
keys repeat, and what one part asks of another.
"""

from typing import Any

import msgspec

from connectory.specification import shape

Json = dict[str, Any]

#: Where a server has it.
PATH = "/schemas/connect.yaml.json"


def document() -> Json:
    """The schema."""
    made = msgspec.json.schema(shape.File)
    definitions: Json = made["$defs"]
    for part in shape.Application.__args__:
        tag = part.__struct_config__.tag
        if tag in shape.MERCHANT_CENTER_KEYS:
            definitions[part.__name__] |= _merchant_center(shape.MERCHANT_CENTER_KEYS[tag][1])
    named = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "connect.yaml",
        "description": "The specification of a Connector: its applications and what they share.",
    }
    file = definitions.pop("File")
    result: Json = _for_editors({**file, **named, "$defs": definitions})
    return result


def _merchant_center(keys: tuple[str, ...]) -> Json:
    """What is asked of the configuration of a Merchant Center application."""
    contained = [
        {
            "contains": {
                "properties": {"key": {"const": key}, "required": {"const": True}},
                "required": ["key", "required"],
            }
        }
        for key in keys
    ]
    return {
        "required": ["applicationType", "name", "configuration"],
        "allOf": [
            {
                "properties": {
                    "configuration": {
                        "properties": {
                            "standardConfiguration": {"allOf": contained},
                            "securedConfiguration": {"maxItems": 0},
                        },
                        "required": ["standardConfiguration"],
                    }
                }
            }
        ],
    }


def _for_editors(schema: Any) -> Any:
    """Patterns as ECMAScript has them, and nothing that is not of JSON Schema."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"(?!\n)$", "$")
            if name == "pattern" and isinstance(value, str)
            else _for_editors(value)
            for name, value in schema.items()
            if not (name == "discriminator" and "propertyName" in value)
        }
    return [_for_editors(each) for each in schema] if isinstance(schema, list) else schema
