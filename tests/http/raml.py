"""Reads the published RAML: as much of it as its own types and resources use.

Types become JSON schemas, which are closed: a property that the RAML does not have is a fault.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

SCALARS = {
    "string": {"type": "string"},
    "datetime": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "any": {},
}
CONSTRAINTS = ("enum", "pattern", "minLength", "maxLength", "minItems", "minimum", "maximum")


@dataclass(frozen=True)
class Operation:
    """A method of a resource."""

    scopes: frozenset[str]
    #: The query parameters as JSON schemas, with `default` where they have one.
    query: dict[str, Json]
    #: By status, the name of the type of the body.
    bodies: dict[int, str]


class Raml:
    """The API's description, from the folder that has `api.raml`."""

    def __init__(self, folder: Path) -> None:
        self._api = _load(folder / "api.raml")
        common = _load(folder / "types" / "common.raml")["types"]
        self._types: dict[str, Any] = {**common, **self._api["types"]}

    @property
    def type_names(self) -> set[str]:
        return set(self._types)

    @property
    def scopes(self) -> set[str]:
        return set(self._api["securitySchemes"]["oauth_2_0"]["settings"]["scopes"])

    @property
    def errors(self) -> dict[str, str]:
        """By code, the name of the type of such an error."""
        return {
            declared["discriminatorValue"]: name
            for name, declared in self._types.items()
            if "discriminatorValue" in declared
        }

    def description_of(self, type_name: str, field: str) -> str:
        return str(self._types[type_name]["properties"][field].get("description", ""))

    def schema(self, type_name: str) -> Json:
        """The JSON schema of a type, with all that it refers to in it."""
        definitions = {name: self._declared(declared) for name, declared in self._types.items()}
        return {"$ref": f"#/$defs/{type_name}", "$defs": definitions}

    def enumeration(self, type_name: str) -> list[str]:
        return list(self._types[type_name]["enum"])

    def operations(self) -> dict[tuple[str, str], Operation]:
        """By method and path, in which every parameter is in lower case: `{id}`."""
        found: dict[tuple[str, str], Operation] = {}
        self._collect(self._api, "", found)
        return found

    def _collect(self, node: Json, path: str, found: dict[tuple[str, str], Operation]) -> None:
        for name, child in node.items():
            if name.startswith("/"):
                inherited = self._of_resource_type(child.get("type"))
                own = {
                    key: inherited[key] | value if key in inherited else value
                    for key, value in child.items()
                }
                self._collect(inherited | own, path + name.replace("{ID}", "{id}"), found)
            elif name in ("get", "post", "delete"):
                found[name.upper(), path] = Operation(
                    frozenset(
                        scope.partition(":")[0]
                        for trait in child.get("is", ())
                        for scope in self._scopes_of(trait)
                    ),
                    {
                        parameter.removesuffix("?"): self._declared(declared)
                        for parameter, declared in child.get("queryParameters", {}).items()
                    },
                    {
                        status: response["body"]["type"]
                        for status, response in child.get("responses", {}).items()
                        if response and "body" in response
                    },
                )

    def _of_resource_type(self, declared: Any) -> Json:
        """The methods that a resource has because of its type; not those that are optional."""
        (name,) = declared if isinstance(declared, dict) else (declared,)
        methods: Json = self._api["resourceTypes"].get(name, {})
        return {name: each for name, each in methods.items() if name in ("get", "post", "delete")}

    def _scopes_of(self, trait: str) -> list[str]:
        (secured,) = self._api["traits"][trait]["securedBy"]
        return list(secured["oauth_2_0"]["scopes"])

    def _declared(self, declared: Any) -> Json:
        """The schema of a type or a property as it is declared: by a name, or in full."""
        if isinstance(declared, str):
            return self._named(declared)
        if "properties" in declared:
            return self._object(declared)
        named = self._named(declared.get("type", "string"))
        if named.get("type") == "array" and "items" in declared:
            named = {"type": "array", "items": self._named(declared["items"])}
        kept = {name: declared[name] for name in (*CONSTRAINTS, "default") if name in declared}
        return named | kept

    def _object(self, declared: Json) -> Json:
        properties: Json = {}
        required: list[str] = []
        parent = declared.get("type", "object")
        if parent != "object":
            inherited = self._object(self._types[parent])
            properties, required = inherited["properties"], inherited["required"]
        rest = False
        for name, each in declared["properties"].items():
            if name == "//":  # any other property
                rest = True
                continue
            properties[name.removesuffix("?")] = self._declared(each)
            if not name.endswith("?") and name not in required:
                required.append(name)
        if "discriminatorValue" in declared:
            properties["code"] = {"const": declared["discriminatorValue"]}
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": rest,
        }

    def _named(self, name: str) -> Json:
        if name.endswith("[]"):
            return {"type": "array", "items": self._named(name.removesuffix("[]"))}
        if name in SCALARS:
            return dict(SCALARS[name])
        if name in ("array", "object"):
            return {"type": name}
        known = name.removeprefix("common.")
        if known not in self._types:
            raise LookupError(f"the RAML has no type {name}")
        return {"$ref": f"#/$defs/{known}"}


def _load(file: Path) -> Any:
    """A file of RAML, which is YAML whose values can be other files."""

    class Loader(yaml.SafeLoader):
        pass

    def include(_: yaml.SafeLoader, node: yaml.nodes.ScalarNode) -> Any:
        # An example's path starts at a root that only its own tools know; examples are not read.
        included = file.parent / str(node.value).lstrip("/")
        return _load(included) if included.suffix == ".raml" else None

    Loader.add_constructor("!include", include)
    return yaml.load(file.read_text(), Loader)
