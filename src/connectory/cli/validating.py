"""`connectory validate`: judges connectors as the official platform does, and says why.

It needs no data folder and no database, and imports neither.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from connectory.specification import FILE_NAME, MAX_BYTES, Reading, read
from connectory.specification.faults import Severity, rendered, visible
from connectory.specification.structure import check_structure, read_folder

if TYPE_CHECKING:  # a file alone is judged without loading what runs the checks
    from connectory.staging.checks import Result


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--all", "all_checks", is_flag=True, help="Run the checks of a publish as well.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines: a line for each.")
def validate(paths: tuple[Path, ...], all_checks: bool, as_json: bool) -> None:
    """Judge the connectors at PATHS (default: this folder), and say what is wrong.

    A path is the folder of a connector, whose applications are looked at as well, or a
    connect.yaml alone. Exit code 1 if one has an Error; Warnings do not count.

    With --all the checks of a publish are run: secrets in the source, known vulnerabilities. They
    have their policy and advisories from the same settings as a server. Of a git work tree they
    see what git does not ignore.
    """
    good = True
    judge = _judging_all() if all_checks else _judged
    for path in paths or (Path(),):
        if all_checks and not path.is_dir():
            raise click.UsageError(f"--all looks at a folder, and {path} is none")
        judged = judge(path)
        good = good and not judged.errors
        show = _for_machines if as_json else _for_people
        sys.stdout.write(show(path, judged) + "\n")
    if not good:
        sys.exit(1)


class _Judged(msgspec.Struct, frozen=True):
    """What was found at a path; `results` is None where the checks were not asked for."""

    reading: Reading
    results: "tuple[Result, ...] | None" = None

    @property
    def kinds(self) -> list[bool]:
        """Of each fault and finding, whether it is an Error."""
        return [each.severity is Severity.ERROR for each in self.reading.faults] + [
            finding.error for result in self._beyond for finding in result.findings
        ]

    @property
    def errors(self) -> int:
        """How many Errors there are."""
        return sum(self.kinds)

    @property
    def _beyond(self) -> "Sequence[Result]":
        # What the structure check finds is among the faults already.
        return [result for result in self.results or () if result.check != "structure"]


def _judging_all() -> Callable[[Path], _Judged]:
    """What judges a folder as a publish does.

    Raises:
        SettingError: a setting cannot be read.
        PolicyError: the policy file cannot be used.
    """
    from connectory.cli import checking  # noqa: PLC0415 - loads what a file alone does not need

    made = checking.made_checks(os.environ)

    def judge(path: Path) -> _Judged:
        with checking.published(path) as root:
            reading = _judged(root).reading
            return _Judged(reading, checking.results_of(made, root, reading))

    return judge


def _judged(path: Path) -> _Judged:
    """What is read at a path, with all that is wrong there."""
    if not path.is_dir():
        with path.open("rb") as file:
            return _Judged(read(file.read(MAX_BYTES + 1)))
    reading = read_folder(path)
    if reading.specification is None:
        return _Judged(reading)
    beside = check_structure(path, reading.specification)
    return _Judged(msgspec.structs.replace(reading, faults=(*reading.faults, *beside)))


def _for_machines(path: Path, judged: _Judged) -> str:
    shown: dict[str, Any] = {
        "path": os.fsencode(path).decode("utf-8", "replace"),
        "valid": not judged.errors,
        "faults": [fault.as_object() for fault in judged.reading.faults],
    }
    if judged.results is not None:
        shown["checks"] = judged.results
    return msgspec.json.encode(shown).decode()


def _for_people(path: Path, judged: _Judged) -> str:
    reading, errors = judged.reading, judged.errors
    name = str(path / FILE_NAME if path.is_dir() else path)
    ordered = sorted(reading.faults, key=lambda each: (each.position.line, each.position.column))
    told = [rendered(each, name, reading.line(each.position.line)) for each in ordered]
    if judged.results is not None:
        told.append(_told(judged.results))
    warnings = len(judged.kinds) - errors
    counted = [
        f"{number} {word}{'' if number == 1 else 's'}"
        for number, word in ((errors, "error"), (warnings, "warning"))
        if number
    ]
    verdict = "not valid" if errors else "valid"
    summary = f"{visible(name)}: {verdict}" + (f", {', '.join(counted)}" if counted else "")
    return "\n\n".join([*told, summary])


def _told(results: "Sequence[Result]") -> str:
    """The checks one by one, with what they found; that of the structure check is told before."""
    if not results:
        return f"the checks were not run: {FILE_NAME} has to be valid first"
    lines = []
    for result in results:
        lines.append(result.entry_title)
        lines += [f"  {line}" for line in (visible(result.reason),) if line]
        if result.check != "structure":
            lines += [f"  {finding.text}" for finding in result.findings]
    return "\n".join(lines)
