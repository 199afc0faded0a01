"""JSON and plain texts into the contract's types, with faults that say where and what.

msgspec does the work; what it lets pass and a PostgreSQL text cannot hold (U+0000) is refused
here, so that both databases take and refuse the same.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
# An escape is a NUL's only if an even number of backslashes stands before it.
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class DecodingError(ValueError):
    """A text that is not JSON, or not of the expected shape."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}" if path else what)
        #: Where the fault is, as `creator.email` or `configurations[0].applicationName`; "" is
        #: the whole.
        self.path = path
        #: What is wrong there.
        self.what = what


def decode_json(text: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode JSON into the decoder's type.

    Raises:
        DecodingError: with the path of the fault.
    """
    try:
        if b"\\u0000" in text and _NUL_ESCAPE.search(text):
            raise DecodingError("", "a text has the character U+0000 in it")
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise located(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodingError("", f"not JSON: {error}") from None
    except RecursionError:
        raise DecodingError("", "not JSON: nested too deeply") from None


#: The fields of an object, or the shape of an array's elements under "[]"; None has none.
Shape = Mapping[str, "Shape | None"]


def shape_of(schema: msgspec.inspect.Type) -> Shape | None:
    """The names of all fields of a type, those of the types within it too."""
    if isinstance(schema, msgspec.inspect.Metadata):
        return shape_of(schema.type)
    if isinstance(schema, msgspec.inspect.StructType):
        return {field.encode_name: shape_of(field.type) for field in schema.fields}
    if isinstance(schema, msgspec.inspect.VarTupleType):
        return {"[]": shape_of(schema.item_type)}
    return None


def refuse_unknown(value: Any, shape: Shape | None, path: str = "") -> None:
    """Refuse a field that decoding passes over, where one is more likely a slip than news.

    Raises:
        DecodingError: with the path of the object that has it.
    """
    if shape is None:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in shape:
                raise DecodingError(path, f"Object contains unknown field `{name}`")
            refuse_unknown(inner, shape[name], f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            refuse_unknown(inner, shape.get("[]"), f"{path}[{place}]")


def located(error: msgspec.ValidationError) -> DecodingError:
    """A fault of msgspec's, taken apart into path and sentence."""
    found = _PATH.match(str(error))
    if found is None:  # pragma: no cover - the pattern matches any text
        return DecodingError("", str(error))
    # The look-ahead of our patterns (`scalars`) says nothing to a person; msgspec shows it escaped.
    what = found["what"].replace(r"(?!\\n)", "")
    return DecodingError((found["path"] or "").lstrip("."), what)


def bounds(schema: Any) -> str:
    """What a type of msgspec's takes, in words: `a whole number from 0 to 500`."""
    if isinstance(schema, msgspec.inspect.IntType):
        if schema.ge is not None and schema.le is not None:
            return f"a whole number from {schema.ge} to {schema.le}"
        return "a whole number" + (f" of at least {schema.ge}" if schema.ge is not None else "")
    if isinstance(schema, msgspec.inspect.BoolType):
        return "true or false"
    if isinstance(schema, msgspec.inspect.EnumType):
        return "one of " + ", ".join(each.value for each in schema.cls)
    return "a text"
