"""What the values of connect.yaml have to do with each other.

Each function takes a part that may be faulty in any way, and looks at what is sound of it. The
first fault of one official message has it; those that follow belong to it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from connectory.specification.document import Node, is_index
from connectory.specification.faults import Fault
from connectory.specification.resolution import Kind
from connectory.specification.rules import fault, official
from connectory.specification.shape import MERCHANT_CENTER_KEYS

Path = tuple[str | int, ...]

#: The names that every object of JavaScript has. The official validator counts names in an object
#: and miscounts these.
INHERITED = frozenset(
    {
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    }
)
_LISTS = ("standardConfiguration", "securedConfiguration")


def applications(root: Node) -> Iterator[tuple[int, Node]]:
    """The applications that are mappings, with their places in the list."""
    listed = root.get("deployAs")
    if listed is not None:
        for place, each in enumerate(listed.items):
            if each.kind is Kind.OBJECT:
                yield place, each


def keys(configuration: Node | None, lists: Sequence[str] = _LISTS) -> Iterator[tuple[Path, Node]]:
    """The keys of a configuration that are texts, with their paths within it."""
    for name in lists:
        entries = configuration.get(name) if configuration else None
        for place, entry in enumerate(entries.items if entries else ()):
            key = entry.get("key")
            if key is not None and key.text is not None:
                yield (name, place, "key"), key


def of_configuration(node: Node, path: Path) -> list[Fault]:
    """A key stands once in a configuration."""
    repeated = _repeated(keys(node))
    names = ", ".join(dict.fromkeys(str(key.text) for _, key in repeated))
    line = official(_at(path), f"Duplicate key found {names}")
    told = []
    for within, key in repeated:
        message = f"the key `{key.text}` stands twice in this configuration"
        at = _at((*path, *within))
        told.append(fault("duplicate-key", at, key.position, message, _ONE, line))
        line = ""
    return told


def of_backoff(node: Node, path: Path) -> list[Fault]:
    """The least wait is not above the longest."""
    least, most = node.get("minBackoffSeconds"), node.get("maxBackoffSeconds")
    if least is None or most is None or not _numbers(least, most) or _value(least) <= _value(most):
        return []
    at = _at((*path, "minBackoffSeconds"))
    message = "minBackoffSeconds must be less than or equal to maxBackoffSeconds"
    told = f"`minBackoffSeconds` is {least.value}, above `maxBackoffSeconds` with {most.value}"
    return [fault("backoff-order", at, least.position, told, "swap them", official(at, message))]


def of_merchant_center(node: Node, path: Path) -> list[Fault]:
    """An application of the Merchant Center has the keys of its kind, required."""
    kind = node.get("applicationType")
    beginning, names = MERCHANT_CENTER_KEYS[str(kind.text if kind else "")]
    told = []
    for name in names:
        entry = _entry(node, name)
        if entry is None or not _is_true(entry.get("required")):
            where = entry or node.get("configuration") or kind or node
            message = f"the key `{name}` must be in `standardConfiguration`, with `required: true`"
            hint = "add `required: true`" if entry else "add the key"
            line = official(_at(path), f"{beginning} must have {name}")
            told.append(
                fault("merchant-center-key", _at(path), where.position, message, hint, line)
            )
    return told


def of_file(root: Node, _: Path) -> list[Fault]:
    """What applications and `inheritAs` have to do with each other."""
    return [
        *_names(root),
        *_global_keys(root),
        *_cloud_identifiers(root),
        *_secured_in_merchant_center(root),
    ]


def hidden_duplicates(root: Node) -> list[Fault]:
    """Repetitions that the official validator miscounts."""
    told = []
    for path, name in _repeated(_named(root)):
        if name.text in INHERITED:
            message = f"the name `{name.text}` is there twice"
            told.append(fault("hidden-duplicate", _at(path), name.position, message, _ANOTHER))
    shared = {key.text for _, key in keys(_inherited(root)) if key.text in INHERITED}
    for place, application in applications(root):
        for within, key in keys(application.get("configuration")):
            if key.text in shared:
                at = _at(("deployAs", place, "configuration", *within))
                message = f"the key `{key.text}` stands under `inheritAs` as well"
                told.append(fault("hidden-duplicate", at, key.position, message, _ONE))
    return told


def _names(root: Node) -> list[Fault]:
    named = list(_named(root))
    repeated = [(path, name) for path, name in _repeated(named) if name.text not in INHERITED]
    again = {name.text for _, name in repeated}
    names = dict.fromkeys(str(name.text) for _, name in named if name.text in again)
    # In the order of JavaScript: what looks like an index of an array comes first.
    ordered = sorted(filter(is_index, names), key=int)
    ordered += [name for name in names if not is_index(name)]
    line = official("", f"Duplicate application name found: {','.join(ordered)}")
    told = []
    for path, name in repeated:
        message = f"the name `{name.text}` is there twice"
        told.append(fault("duplicate-name", _at(path), name.position, message, _ANOTHER, line))
        line = ""
    return told


def _global_keys(root: Node) -> list[Fault]:
    shared = list(keys(_inherited(root)))
    counted = Counter(key.text for _, key in shared)
    elsewhere = [
        (("deployAs", place, "configuration", *within), key)
        for place, application in applications(root)
        for within, key in keys(application.get("configuration"))
    ]
    counted.update(key.text for _, key in elsewhere)
    names = dict.fromkeys(
        str(key.text) for _, key in shared if counted[key.text] > 1 and key.text not in INHERITED
    )
    line = official("", f"Duplicate global key found {', '.join(names)}")
    again = [(("inheritAs", "configuration", *within), key) for within, key in _repeated(shared)]
    told = []
    for path, key in [*elsewhere, *again]:
        if key.text in names:
            message = f"the key `{key.text}` stands under `inheritAs` as well"
            hint = "every application has it from there; take it out here"
            told.append(fault("duplicate-global-key", _at(path), key.position, message, hint, line))
            line = ""
    return told


def _cloud_identifiers(root: Node) -> Iterator[Fault]:
    shared = _inherited(root)
    if shared is not None and any(
        _text(entry.get("key")) == "CLOUD_IDENTIFIER" and _is_true(entry.get("required"))
        for entry in _entries(shared, _LISTS)
    ):
        return
    for place, application in _merchant_center(root):
        if any(
            _text(entry.get("key")) == "CLOUD_IDENTIFIER"
            and (_is_true(entry.get("required")) or _text(entry.get("default")))
            for entry in _entries(application.get("configuration"), _LISTS[:1])
        ):
            continue
        name = application.get("name")
        shown = _text(name)
        yield fault(
            "cloud-identifier",
            _at(("deployAs", place)),
            (name or application).position,
            f"the application `{shown}` lacks the key `CLOUD_IDENTIFIER`",
            "add it to its `standardConfiguration`, with `required: true` or a `default`",
            official("", f"Application {shown} is missing CLOUD_IDENTIFIER configuration."),
        )


def _secured_in_merchant_center(root: Node) -> Iterator[Fault]:
    for place, application in _merchant_center(root):
        configuration = application.get("configuration")
        secured = configuration.get("securedConfiguration") if configuration else None
        if secured is not None and secured.items:
            view = _text(application.get("applicationType")) == "merchant-center-custom-view"
            kind = f"merchant center custom {'view' if view else 'application'}"
            yield fault(
                "merchant-center-secured",
                _at(("deployAs", place, "configuration", "securedConfiguration")),
                secured.position,
                f"a {kind} has no secured configuration",
                "it runs in the browser, which would know the secret",
                official("", f"Secured configuration is not allowed in {kind}."),
            )


_ONE = "keep one of them"
_ANOTHER = "give one of them another name"


def _inherited(root: Node) -> Node | None:
    shared = root.get("inheritAs")
    return shared.get("configuration") if shared else None


def _named(root: Node) -> Iterator[tuple[Path, Node]]:
    for place, application in applications(root):
        name = application.get("name")
        if name is not None and name.text is not None:
            yield ("deployAs", place, "name"), name


def _merchant_center(root: Node) -> Iterator[tuple[int, Node]]:
    for place, application in applications(root):
        if _text(application.get("applicationType")) in MERCHANT_CENTER_KEYS:
            yield place, application


def _entries(configuration: Node | None, lists: Sequence[str]) -> Iterator[Node]:
    for name in lists:
        found = configuration.get(name) if configuration else None
        yield from found.items if found else ()


def _entry(application: Node, key: str) -> Node | None:
    """The first standard entry with a key: the official validator looks no further."""
    for entry in _entries(application.get("configuration"), _LISTS[:1]):
        if _text(entry.get("key")) == key:
            return entry
    return None


def _repeated(nodes: Iterable[tuple[Path, Node]]) -> list[tuple[Path, Node]]:
    """Those whose text an earlier one has."""
    seen: set[str | None] = set()
    repeated = []
    for path, node in nodes:
        if node.text in seen:
            repeated.append((path, node))
        seen.add(node.text)
    return repeated


def _text(node: Node | None) -> str:
    return (node.text or "") if node else ""


def _is_true(node: Node | None) -> bool:
    return node is not None and node.value is True


def _numbers(*nodes: Node) -> bool:
    return all(node.kind is Kind.NUMBER for node in nodes)


def _value(node: Node) -> float:
    return node.value if isinstance(node.value, int | float) else 0


def _at(path: Path) -> str:
    return ".".join(map(str, path))
