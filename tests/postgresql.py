"""A real PostgreSQL server for the tests: the machine's own binaries, or one reached by URL."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import sqlalchemy

from connectory.database import migration
from connectory.database.engine import open_database


class NotInstalled(Exception):
    """There is no PostgreSQL server on this machine, and no URL of one was given."""


class PostgreSQL:
    """A server that makes databases at the schema of the program."""

    def __init__(self, url: str) -> None:
        self._url = sqlalchemy.make_url(url)
        self._template = f"connectory_template_{uuid.uuid4().hex}"
        self._create(self._template, "template1")
        database = open_database(self.url(self._template), Path())
        migration.migrate(database)
        database.close()

    def url(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def new_database(self, *, migrated: bool = True) -> str:
        """The URL of a new database."""
        name = f"connectory_{uuid.uuid4().hex}"
        self._create(name, self._template if migrated else "template1")
        return self.url(name)

    def drop(self, url: str) -> None:
        name = sqlalchemy.make_url(url).database
        with self._administering() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _create(self, name: str, template: str) -> None:
        with self._administering() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    @contextlib.contextmanager
    def _administering(self) -> Iterator[psycopg.Connection]:
        url = self.url("postgres").replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


@contextlib.contextmanager
def server(*more: str) -> Iterator[PostgreSQL]:
    """A server for the tests of one process; `more` are options of `postgres`.

    Raises:
        NotInstalled: there is none to be had.
    """
    if url := os.environ.get("CONNECTORY_TEST_POSTGRES_URL"):
        yield PostgreSQL(url)
        return
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="connectory-postgresql-", dir="/tmp"))
    try:
        as_user = _ordinary_user(folder)
        data, socket = folder / "data", folder
        subprocess.run(
            [
                *(*as_user, binaries / "initdb", "-D", data, "-U", "tests", "-A", "trust"),
                *("-E", "UTF8", "--no-locale", "--no-sync"),
            ],
            check=True,
            capture_output=True,
        )
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={socket}"]
        options += ["-c", "fsync=off", "-c", "max_connections=200", *more]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*as_user, binaries / "postgres", "-D", data, *options],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            url = f"postgresql://tests@/postgres?host={socket}"
            _wait(url, process, folder / "log")
            yield PostgreSQL(url)
        finally:
            process.send_signal(signal.SIGINT)  # it does not wait for those that are connected
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    found = [Path(path).parent for path in [shutil.which("postgres")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise NotInstalled("no PostgreSQL server on this machine (Debian: postgresql)")


def _ordinary_user(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: then another user runs it."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.05)
        else:
            return
