"""The process that looks for secrets: a child, with limits, that alone sees what it finds.

    python -I -m connectory.staging.checks.secret_scan

It reads a request as JSON from standard input and writes its answer as JSON to standard output. A
secret never leaves it: the answer has the file, the line and the rule.
"""

import contextlib
import fcntl
import json
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from connectory.staging.checks.files import File, NotAllRead, files, read

#: The largest file that is read, in bytes. The scanner is linear; this bounds its memory.
MOST_FILE_BYTES: Final = 5 * 2**20
#: How many findings are told; a tree of more is a dump, and the first ones say so.
MOST_FINDINGS: Final = 500
#: Memory of this process, in bytes: the compiled rules are the most of what it needs.
MOST_MEMORY: Final = 2 * 2**30
#: Locks have thousands of checksums, which look like secrets and are none.
LOCKS: Final = frozenset(
    {
        *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"),
        *("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "Cargo.lock", "go.sum"),
    }
)

#: What lets a line off, in a comment in it or in the line above: ours, and those in common use.
ALLOWING: Final = re.compile(
    rb"connectory:allow-secret|kingfisher:ignore|gitleaks:allow|pragma: allowlist secret"
)

_PLACEHOLDER: Final = re.compile(
    r"[<>{}$%]|\.\.\.|x{4}|\*{3}|0{8}|12345678"
    r"|your|example|sample|placeholder|change[-_]?me|dummy|redacted|insert|replace|todo",
    re.IGNORECASE,
)
_RANK: Final = {"low": 0, "medium": 1, "high": 2}


def main() -> None:
    """Answer one request."""
    # Above what a request asks for, so that the child ends even where its parent has died.
    request = json.load(sys.stdin)
    seconds = request["seconds"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (4 * int(seconds) + 60,) * 2)
    json.dump(scan(Path(request["root"]), Path(request["cache"]), seconds), sys.stdout)


def scan(root: Path, cache: Path, seconds: float) -> dict[str, Any]:
    """Look through a tree: `{"version", "findings": [{path, line, rule, …}], "unread": […]}`."""
    # Loading it takes half a second, and compiling its rules, once for each version, some more:
    # only this process pays for that.
    import kingfisher_sdk  # noqa: PLC0415

    with _compiling_once(cache):
        rules = kingfisher_sdk.Rules(
            [Path(__file__).with_name("secret_rules.yaml")], cache_dir=str(cache)
        )
    names = {rule["id"]: rule["name"] for rule in rules.metadata()}
    # Comments that let a line off are ours to read, so that they are told as such.
    policy = kingfisher_sdk.DetectionPolicy(inline_ignores=False)
    scanner = kingfisher_sdk.Scanner(rules, policy=policy)
    findings: list[dict[str, Any]] = []
    unread: list[str] = []
    deadline = time.monotonic() + seconds
    try:
        for file, text in _texts(root, unread):
            # None left is a TimeoutError as well.
            left = max(deadline - time.monotonic(), 1e-9)
            found = [f for f in scanner.scan(text, timeout=left) if f.visible]
            findings += _told(file.path, text, found, names)
            if len(findings) > MOST_FINDINGS:
                unread.append(f"more than {MOST_FINDINGS} findings: the rest was not looked at")
                break
    except NotAllRead as why:
        unread.append(str(why))
    except TimeoutError:
        unread.append(f"not everything was looked at within {seconds:g} seconds")
    version = f"{kingfisher_sdk.__version__}"
    return {"version": version, "findings": findings[:MOST_FINDINGS], "unread": unread}


@contextlib.contextmanager
def _compiling_once(cache: Path) -> Iterator[None]:
    """Where nothing is compiled yet, one process does it, and the others wait for that."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(cache.glob("*.vscdb")):
        yield
        return
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _texts(root: Path, unread: list[str]) -> Iterator[tuple[File, bytes]]:
    """The files of a tree that are text, with their bytes; what is too large is noted."""
    for file in files(root):
        if file.path.rpartition("/")[2] in LOCKS:
            continue
        text = read(root, file.path, MOST_FILE_BYTES)
        if text is None or _is_binary(text[:8192]):
            continue
        if len(text) > MOST_FILE_BYTES:
            unread.append(f"{file.path} is larger than {MOST_FILE_BYTES // 2**20} MiB")
            continue
        yield file, text


def _is_binary(start: bytes) -> bool:
    return b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff"))


def _told(path: str, text: bytes, found: list[Any], names: dict[str, str]) -> list[dict[str, Any]]:
    """The findings of a file without their secrets: the surest one of each line."""
    best: dict[int, Any] = {}
    for one in sorted(found, key=lambda one: (-_RANK[one.confidence], one.rule_id)):
        if not _PLACEHOLDER.search(one.secret) and len(set(one.secret)) > 3:  # noqa: PLR2004
            best.setdefault(one.location["line"], one)
    lines = text.split(b"\n") if best else []
    return [
        {
            "path": path,
            "line": line,
            "rule": one.rule_id,
            "what": names.get(one.rule_id, one.rule_name),
            "confidence": one.confidence,
            "allowed": any(ALLOWING.search(text) for text in lines[max(line - 2, 0) : line]),
        }
        for line, one in sorted(best.items())
    ]


if __name__ == "__main__":
    main()
