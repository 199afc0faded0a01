"""`connectory validate`: judges connectors as the official platform does, and says why.

It needs no data folder and no database, and imports neither.
"""

import os
import sys
from pathlib import Path

import click
import msgspec

from connectory.specification import FILE_NAME, MAX_BYTES, Reading, read
from connectory.specification.faults import Severity, rendered, visible
from connectory.specification.structure import check_structure, read_folder


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines: a line for each.")
def validate(paths: tuple[Path, ...], as_json: bool) -> None:
    """Judge the connectors at PATHS (default: this folder), and say what is wrong.

    A path is the folder of a connector, whose applications are looked at as well, or a
    connect.yaml alone. Exit code 1 if one has an Error; Warnings do not count.
    """
    good = True
    for path in paths or (Path(),):
        reading = _judged(path)
        errors = sum(each.severity is Severity.ERROR for each in reading.faults)
        good = good and not errors
        show = _for_machines if as_json else _for_people
        sys.stdout.write(show(path, reading, errors) + "\n")
    if not good:
        sys.exit(1)


def _judged(path: Path) -> Reading:
    """What is read at a path, with all that is wrong there."""
    if not path.is_dir():
        with path.open("rb") as file:
            return read(file.read(MAX_BYTES + 1))
    reading = read_folder(path)
    if reading.specification is None:
        return reading
    beside = check_structure(path, reading.specification)
    return msgspec.structs.replace(reading, faults=(*reading.faults, *beside))


def _for_machines(path: Path, reading: Reading, errors: int) -> str:
    shown = {
        "path": os.fsencode(path).decode("utf-8", "replace"),
        "valid": not errors,
        "faults": [fault.as_object() for fault in reading.faults],
    }
    return msgspec.json.encode(shown).decode()


def _for_people(path: Path, reading: Reading, errors: int) -> str:
    name = str(path / FILE_NAME if path.is_dir() else path)
    ordered = sorted(reading.faults, key=lambda each: (each.position.line, each.position.column))
    told = [rendered(each, name, reading.line(each.position.line)) for each in ordered]
    warnings = len(ordered) - errors
    counted = [
        f"{number} {word}{'' if number == 1 else 's'}"
        for number, word in ((errors, "error"), (warnings, "warning"))
        if number
    ]
    verdict = "not valid" if errors else "valid"
    summary = f"{visible(name)}: {verdict}" + (f", {', '.join(counted)}" if counted else "")
    return "\n\n".join([*told, summary])
