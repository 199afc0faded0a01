"""What the report of a redeploy says of the environments that applications had and get.

Changed values are always applied; here is where one sees that they are. No secret is told.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.contract.deployments import DeploymentReportEntry
from connectory.database.documents import Damaged
from connectory.database.secrets import SecretKeysError
from connectory.deployments import model, store
from connectory.deployments.environment import Environment
from connectory.deployments.model import Deployment, Release
from connectory.deployments.programs import Programs

CHANGED: Final = "Environment changed"
UNCHANGED: Final = "Environment unchanged"
_LONGEST: Final = 80
_NONE: Final = Environment(values={}, secured=frozenset())


def compared(
    connection: Connection, deployment: Deployment, release: Release, programs: Programs, now: int
) -> Deployment:
    """With an entry for each application of a release that is about to start.

    It tells what is different from the release that serves; where none does, there is nothing to
    tell. What an attempt before has told is told anew.
    """
    report = [each for each in deployment.report if each.title not in (CHANGED, UNCHANGED)]
    if deployment.release is not None:
        try:
            serving = store.find_release(connection, deployment.id, deployment.release)
            if serving is not None:
                report += _entries(deployment, serving, release, programs, now)
        except (Damaged, SecretKeysError):
            # What it was cannot be read any more, and is no reason not to deploy.
            pass
    return replace(deployment, report=tuple(report))


def _entries(
    deployment: Deployment, serving: Release, release: Release, programs: Programs, now: int
) -> Iterator[DeploymentReportEntry]:
    known = {each.id: each for each in serving.applications}
    for application in release.applications:
        same = known.get(application.id)
        before = programs.environment(deployment, serving, same) if same else _NONE
        message = difference(before, programs.environment(deployment, release, application))
        title = CHANGED if message else UNCHANGED
        yield model.entry(title, now, message=message, application=application.name)


def difference(before: Environment, after: Environment) -> str:
    """How environments differ, for people; empty where they do not.

    The first line has the keys: `2 values changed: GREETING, API_KEY (secured)`. Values in plain
    text follow, one a line.
    """
    keys = dict.fromkeys((*after.values, *before.values))
    changed = [key for key in keys if before.values.get(key) != after.values.get(key)]
    if not changed:
        return ""
    secured = before.secured | after.secured
    names = ", ".join(key + _marks(key, before.values, after.values, secured) for key in changed)
    count = f"{len(changed)} value{'s' if len(changed) > 1 else ''} changed: {names}"
    plain = [key for key in changed if key not in secured]
    lines = (f"{key}: {_said(before, key)} → {_said(after, key)}" for key in plain)
    return "\n".join((count, *lines))


def _marks(
    key: str, before: Mapping[str, str], after: Mapping[str, str], secured: Collection[str]
) -> str:
    marks = [
        mark
        for mark, holds in (
            ("secured", key in secured),
            ("added", key not in before),
            ("removed", key not in after),
        )
        if holds
    ]
    return f" ({', '.join(marks)})" if marks else ""


def _said(environment: Environment, key: str) -> str:
    value = environment.values.get(key)
    if value is None:
        return "none"
    return f"'{value}'" if len(value) <= _LONGEST else f"'{value[:_LONGEST]}…'"
