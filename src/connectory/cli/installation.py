"""What every command shares: which installation it is about, and how it says what it did."""

import contextlib
import functools
import getpass
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click
import msgspec

from connectory.database import migration, serving
from connectory.database.engine import Database, open_database
from connectory.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def with_settings(command: F) -> F:
    """Give a command `settings`, from the environment, `--data` and `--database-url`."""

    @click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of everything that is kept.  [env: CONNECTORY_DATA]",
    )
    @click.option(
        "--database-url", help="PostgreSQL instead of SQLite.  [env: CONNECTORY_DATABASE_URL]"
    )
    @functools.wraps(command)
    def wrapped(*args: Any, data: Path | None, database_url: str | None, **kwargs: Any) -> Any:
        settings = Settings.load(os.environ, data=data, database_url=database_url)
        return command(*args, settings=settings, **kwargs)

    return wrapped  # type: ignore[return-value]


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The installation's database, at the schema of this program.

    The embedded database is brought there; a PostgreSQL database wants `connectory migrate`.

    Raises:
        SchemaMismatch: it is not there, or a newer program was.
        DatabaseUnavailable: it cannot be reached.
    """
    with unprepared(settings) as database:
        if database.is_sqlite:
            migrate_embedded(database, settings)
        else:
            migration.require_current(database)
        yield database


@contextlib.contextmanager
def unprepared(settings: Settings) -> Iterator[Database]:
    """The installation's database, whatever its schema."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = open_database(
        settings.database_url, settings.data, pool_size=settings.database_pool_size
    )
    try:
        yield database
    finally:
        database.close()


def migrate_embedded(database: Database, settings: Settings) -> bool:
    """Migrate the embedded database, unless an older program is serving it.

    Raises:
        AlreadyServed: one is, and there is something to migrate.
    """
    if migration.is_current(database):
        return False
    with serving.one_by_one(settings.data):
        if migration.is_current(database):  # another command did it in this moment
            return False
        with serving.served_by_nobody(database, settings.data):
            return migration.migrate(database)


@contextlib.contextmanager
def replacing(file: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Write beside a file and take its place at the end, so that it is never half there.

    `-` is standard output. A device or a pipe cannot be replaced: it is written to. Of a symbolic
    link it is the file behind it that is replaced. `mode` is what the umask leaves of it.
    """
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if file.exists() and not file.is_file():
        with file.open("wb") as target:
            yield target
        return
    file = file.resolve()
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names of its files durable, where the file system lets us."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def actor() -> str:
    """Who runs this command, for the audit log."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"command:{os.getuid()}"


def show(value: Any) -> None:
    """Print a result as one line of JSON, spelled as the API spells it."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def table(rows: list[tuple[str, ...]]) -> None:
    """Print rows with aligned columns; the first is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())
