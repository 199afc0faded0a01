"""`connectory import` and `connectory export`: the catalogue as JSON lines."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from connectory.catalogue import store
from connectory.catalogue.importing import LineFault, import_connectors
from connectory.catalogue.lines import write_line
from connectory.cli.installation import actor, as_json, opened, replacing, show, with_settings
from connectory.kernel.clock import system_clock
from connectory.settings import Settings


@click.command("import")
@click.argument("file", type=click.File("rb"))
@as_json
@with_settings
def import_(settings: Settings, file: BinaryIO, as_json: bool) -> None:
    """Publish the Connectors of FILE (JSON lines; - for standard input), all or none.

    A line is a Connector as the API shows it, without `version`, named by `id` or `key`; beside it
    may stand `privateProjects`, `owner` (region:projectKey), `createdAt` and `lastModifiedAt`.
    """

    def tell(fault: LineFault) -> None:
        click.echo(f"{file.name}: {fault}", err=True)

    with opened(settings) as database, _with_progress(file) as lines:
        result = import_connectors(database, lines, actor=actor(), now=system_clock(), fault=tell)
    if as_json:
        show(result)
    else:
        click.echo(
            f"imported: {result.created} new, {result.changed} changed,"
            f" {result.unchanged} unchanged"
        )


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@with_settings
def export(settings: Settings, file: Path, *_: object) -> None:
    """Write all Connectors to FILE (JSON lines; - for standard output), as `import` reads them."""
    count = 0
    with (
        opened(settings) as database,
        replacing(file) as target,
        database.read() as connection,
    ):
        for row in store.exported(connection):
            target.write(write_line(row).encode() + b"\n")
            count += 1
    click.echo(f"exported {count} Connectors", err=True)


@contextlib.contextmanager
def _with_progress(file: BinaryIO) -> Iterator[Iterator[bytes]]:
    """The lines of a file, with a bar on a terminal that shows how much of it is read."""
    if not sys.stderr.isatty() or not file.seekable():
        yield iter(file)
        return
    size = os.fstat(file.fileno()).st_size
    with click.progressbar(length=size, label="reading", file=sys.stderr) as bar:

        def lines() -> Iterator[bytes]:
            for line in file:
                yield line
                bar.update(len(line))

        yield lines()
