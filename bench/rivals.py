"""The rivals: SQLite FTS5 and PostgreSQL pg_trgm for the text searches, Prism for the reads.

Both databases get every favour: a narrow table of what is searched, only the Connectors that the
benchmark's Project sees, texts in case folding already, rows numbered in the order of the results,
no HTTP and no bodies to fetch. What they are asked for is what Connectory answers: the exact total
and a page.
"""

import contextlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import psycopg
from tests import postgresql
from tests.harness import free_port

from bench.catalogue import Json, is_visible
from bench.load import Lacking
from bench.servers import started

HERE = Path(__file__).parent

#: (number, name, description)
Row = tuple[int, str, str]


def rows(connectors: Iterable[Json]) -> Iterator[Row]:
    """What the rivals search, in case folding, numbered so that a larger number is newer."""
    visible = [
        (each["createdAt"], each["id"], each["name"].casefold(), each["description"].casefold())
        for each in connectors
        if is_visible(each)
    ]
    visible.sort()
    for number, (_, _, name, description) in enumerate(visible, start=1):
        yield number, name, description


class Rival(Protocol):
    """A database that searches texts."""

    name: str

    def search(self, text: str) -> int:
        """Fetch the first page of 20, newest first, and count; the total."""


class FTS5:
    """SQLite with a trigram index; one and two letters have no trigram and are looked for row by
    row, which is what FTS5's own LIKE does."""

    name = "FTS5"

    def __init__(self, file: Path, found: Iterable[Row]) -> None:
        self._connection = sqlite3.connect(file)
        run = self._connection.execute
        run("PRAGMA journal_mode=OFF")
        run("PRAGMA cache_size=-1000000")
        run("PRAGMA mmap_size=4000000000")
        run("CREATE VIRTUAL TABLE found USING fts5(name, description, tokenize='trigram')")
        with self._connection:
            self._connection.executemany(
                "INSERT INTO found (rowid, name, description) VALUES (?, ?, ?)", found
            )
            run("INSERT INTO found (found) VALUES ('optimize')")

    def search(self, text: str) -> int:
        """Fetch the first page of 20, newest first, and count; the total."""
        values: tuple[str, ...]
        if len(text) > 2:
            where, values = "found MATCH ?", ('"' + text.replace('"', '""') + '"',)
        else:
            pattern = f"%{_escaped(text)}%"
            where = r"(name LIKE ? ESCAPE '\' OR description LIKE ? ESCAPE '\')"
            values = (pattern, pattern)
        run = self._connection.execute
        (total,) = run(f"SELECT count(*) FROM found WHERE {where}", values).fetchone()
        run(
            f"SELECT rowid FROM found WHERE {where} ORDER BY rowid DESC LIMIT 20", values
        ).fetchall()
        return int(total)


class PgTrgm:
    """PostgreSQL with a GIN index of trigrams."""

    name = "pg_trgm"

    def __init__(self, url: str, found: Iterable[Row]) -> None:
        self._connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        run = self._connection.execute
        try:
            run("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except psycopg.Error as error:
            raise Lacking(f"pg_trgm: {error} (Debian: postgresql-contrib)") from None
        run("CREATE TABLE found (number int PRIMARY KEY, name text, description text)")
        with self._connection.cursor().copy("COPY found FROM STDIN") as copy:
            for row in found:
                copy.write_row(row)
        run("SET maintenance_work_mem = '1GB'")
        run("SET work_mem = '256MB'")
        run("SET jit = off")
        run("CREATE INDEX ON found USING gin (name gin_trgm_ops, description gin_trgm_ops)")
        run("VACUUM ANALYZE found")

    def search(self, text: str) -> int:
        """Fetch the first page of 20, newest first, and count; the total."""
        values = {"text": f"%{_escaped(text)}%"}
        where = "(name ILIKE %(text)s OR description ILIKE %(text)s)"
        run = self._connection.execute
        counted = run(f"SELECT count(*) FROM found WHERE {where}", values).fetchone()
        run(
            f"SELECT number FROM found WHERE {where} ORDER BY number DESC LIMIT 20", values
        ).fetchall()
        return int(counted[0]) if counted else 0


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


@contextlib.contextmanager
def databases(
    folder: Path, connectors: Iterable[Json], lacking: list[str]
) -> Iterator[list[Rival]]:
    """The rivals that this machine has, loaded; what it lacks is added to `lacking`."""
    found = list(rows(connectors))
    made: list[Rival] = []
    with contextlib.ExitStack() as stack:
        try:
            made.append(FTS5(folder / "fts5.sqlite3", found))
        except sqlite3.OperationalError as why:
            lacking.append(f"FTS5 with trigrams: {why} (SQLite 3.34 or newer has it)")
        try:
            running = stack.enter_context(postgresql.server("-c", "shared_buffers=1GB"))
            url = running.new_database(migrated=False)
            stack.callback(running.drop, url)
            made.append(PgTrgm(url, found))
        except (postgresql.NotInstalled, Lacking) as why:
            lacking.append(str(why))
        del found
        yield made


@contextlib.contextmanager
def prism(openapi: Json, folder: Path) -> Iterator[str]:
    """A Prism mock of an API, from npm by the lock file beside this module; its address.

    Raises:
        Lacking: Node is not there, or the packages cannot be had.
    """
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        raise Lacking("Prism: node and npm are not installed")
    command = HERE / "node_modules" / ".bin" / "prism"
    lock = HERE / "package-lock.json"
    if not command.exists() or command.lstat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts"], cwd=HERE, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Lacking(f"Prism: npm ci failed: {done.stderr.strip()[-300:]}")
        command.touch()
    document = folder / "openapi.json"
    document.write_text(json.dumps(openapi))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["mock", "--host", "127.0.0.1", "--port", str(port), "--verboseLevel", "error"]
    with started(
        [str(command), *arguments, str(document)],
        url,
        ready="",
        log=folder / "prism.log",
        environment=None,
    ):
        yield url
