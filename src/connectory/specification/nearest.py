"""What somebody may have meant who wrote a name that is not known."""

import difflib
from collections.abc import Iterable

#: Longer names resemble nothing, and comparing costs the product of both lengths.
_LONGEST = 64


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one; "" where none is."""
    by_lower = {each.lower(): each for each in known}
    if len(name) > _LONGEST:
        return ""
    bare = name.lower().replace("_", "").replace("-", "")
    for lower, each in by_lower.items():
        if lower.replace("-", "") == bare:
            return each
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else ""


def listed(names: Iterable[str]) -> str:
    """Names in a row: `` `a`, `b` or `c` ``."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
