"""What is answered for a path in a folder of static files (RFC 9110 §13, §14)."""

import functools
import gzip
import hashlib
import mimetypes
import os
import re
import stat
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

from connectory.gateway.requests import Header

#: Larger files are not compressed: it would take too long and too much memory.
_GZIP_MOST_BYTES = 4 * 2**20
_GZIP_LEAST_BYTES = 1_024
_GZIP_LEVEL = 6
_COMPRESSED_KEPT = 64

_COMPRESSIBLE = re.compile(
    r"text/|application/(javascript|json|xml|wasm|manifest\+json|[a-z.+-]+\+(json|xml))"
    r"|image/svg\+xml|font/(ttf|otf)"
).match

#: A part of a file's name that a bundler made of its contents: hexadecimal digits, or the eight
#: characters of Vite; words of people have not both digits and the rest.
_HASHED = re.compile(
    r"[.-](?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,64}\."
    r"|[.-](?=[^.]*[0-9])(?=[^.]*[A-Z])[A-Za-z0-9_-]{8}\."
).search

_RANGE = re.compile(r"bytes=(\d*)-(\d*)").fullmatch

#: The machine's own tables differ from one to the next.
_TYPES = mimetypes.MimeTypes(filenames=())
for _ending, _type in {
    ".avif": "image/avif",
    ".css": "text/css",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}.items():
    _TYPES.add_type(_type, _ending)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a request asks for, besides the path: the values of its headers, or empty."""

    accept: str = ""
    accept_encoding: str = ""
    if_none_match: str = ""
    if_modified_since: str = ""
    if_range: str = ""
    range: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is answered: `body`, or `length` bytes of a file from `start` on."""

    status: int
    headers: list[Header] = field(default_factory=list)
    body: bytes = b""
    file: Path | None = None
    start: int = 0
    length: int = 0


def look_up(folder: Path, target: bytes, wants: Conditions) -> Found:
    """What a folder has for a path; blocks. A status of 404 has no body."""
    path = unquote_to_bytes(target.partition(b"?")[0])
    file = _inside(folder, path)
    if file is not None and file.is_dir():
        if not path.endswith(b"/") and (file / "index.html").is_file():
            quoted = b"/" + target.partition(b"?")[0].lstrip(b"/") + b"/"
            query = target.partition(b"?")[1] + target.partition(b"?")[2]
            return Found(status=301, headers=[(b"Location", quoted + query)])
        file = _inside(folder, path + b"/index.html")
    if file is None or not file.is_file():
        file = _inside(folder, b"/index.html") if "text/html" in wants.accept else None
    if file is None:
        return Found(status=404)
    try:
        return _answer(folder, file, wants)
    except OSError:
        return Found(status=404)


def _inside(folder: Path, path: bytes) -> Path | None:
    """The file of a path, unless it is not there or lies outside, also by a link."""
    if b"\0" in path or b"\\" in path:
        return None
    root = os.path.realpath(folder)
    try:
        relative = path.decode().lstrip("/")
        if any(part == ".." for part in relative.split("/")):
            return None
        resolved = os.path.realpath(os.path.join(root, relative), strict=True)  # noqa: PTH118
    except (OSError, ValueError):
        return None
    return Path(resolved) if resolved == root or resolved.startswith(root + os.sep) else None


def _answer(folder: Path, file: Path, wants: Conditions) -> Found:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        return Found(status=404)
    kind = _TYPES.guess_type(file.name)[0] or "application/octet-stream"
    compressible = (
        _COMPRESSIBLE(kind) is not None and _GZIP_LEAST_BYTES <= status.st_size <= _GZIP_MOST_BYTES
    )
    packed = compressible and _takes_gzip(wants.accept_encoding) and not wants.range
    seed = f"{folder}\0{file}\0{status.st_mtime_ns}\0{status.st_size}".encode()
    tag = f'"{hashlib.blake2b(seed, digest_size=12).hexdigest()}{"-gz" if packed else ""}"'
    headers = _headers(file, kind, tag, status.st_mtime)
    if compressible:
        headers.append((b"Vary", b"Accept-Encoding"))
    if _is_unchanged(tag, status.st_mtime, wants):
        return Found(status=304, headers=headers)
    if packed:
        body = _compressed(file, status.st_mtime_ns, status.st_size)
        return Found(status=200, headers=[*headers, (b"Content-Encoding", b"gzip")], body=body)
    wanted = _range(wants, tag, status.st_mtime, status.st_size)
    if wanted is None:
        return Found(status=200, headers=headers, file=file, length=status.st_size)
    start, end = wanted
    if start >= end:
        headers.append((b"Content-Range", b"bytes */%d" % status.st_size))
        return Found(status=416, headers=headers)
    headers.append((b"Content-Range", b"bytes %d-%d/%d" % (start, end - 1, status.st_size)))
    return Found(status=206, headers=headers, file=file, start=start, length=end - start)


def _headers(file: Path, kind: str, tag: str, changed: float) -> list[Header]:
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    immutable = _HASHED(file.name) is not None and file.suffix != ".html"
    return [
        (b"Content-Type", kind.encode()),
        (b"ETag", tag.encode()),
        (b"Last-Modified", formatdate(int(changed), usegmt=True).encode()),
        (b"Accept-Ranges", b"bytes"),
        (
            b"Cache-Control",
            b"public, max-age=31536000, immutable" if immutable else b"no-cache",
        ),
        (b"X-Content-Type-Options", b"nosniff"),
    ]


def _takes_gzip(accept: str) -> bool:
    for part in accept.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        if coding in ("gzip", "*"):
            weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
            return weight.strip("0.") != ""
    return False


def _is_unchanged(tag: str, changed: float, wants: Conditions) -> bool:
    if wants.if_none_match:
        tags = {each.strip().removeprefix("W/") for each in wants.if_none_match.split(",")}
        return tag in tags or "*" in tags
    since = _instant(wants.if_modified_since)
    return since is not None and int(changed) <= since


def _range(wants: Conditions, tag: str, changed: float, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None for the whole; the same where none is."""
    found = _RANGE(wants.range.strip())
    if found is None or found[0] == "bytes=-":
        return None  # several ranges, other units: the whole is right, too (RFC 9110 §14.2)
    if (
        wants.if_range
        and wants.if_range.strip() != tag
        and _instant(wants.if_range) != int(changed)
    ):
        return None
    first, last = found[1], found[2]
    if not first:
        return max(size - int(last), 0), size
    start, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    return start, max(end, 0)


def _instant(date: str) -> int | None:
    if not date:
        return None
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


@functools.lru_cache(_COMPRESSED_KEPT)
def _compressed(file: Path, _changed: int, _size: int) -> bytes:
    return gzip.compress(file.read_bytes(), _GZIP_LEVEL, mtime=0)
