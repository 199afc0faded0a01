"""After a start of the server: what was deployed is there again, and nothing else."""

import logging
from collections.abc import Callable

from sqlalchemy import Connection

from connectory.building.model import Builder
from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.staged import ReportEntryType
from connectory.database.engine import Database
from connectory.database.secrets import SecretKeysError
from connectory.deployments import model, retention, store
from connectory.deployments.hosting import STATIC, Hosting
from connectory.deployments.model import Deployment, Release
from connectory.deployments.programs import Programs
from connectory.kernel.clock import Clock
from connectory.runtime.model import StartFailed

log = logging.getLogger(__name__)

#: Hears the secured values of a Deployment, by its id, before anything of it runs.
Secrets = Callable[[str, set[str]], None]


def restore(
    database: Database, builder: Builder, hosting: Hosting, programs: Programs, clock: Clock
) -> None:
    """Take over the release of every Deployment that serves; what cannot be is told in it.

    What cannot be read is logged and left as it is: it keeps no other from being taken over. May be
    called in any thread but the event loop's.
    """
    for deployment, release in _serving(database):
        try:
            _restore(deployment, release, builder, hosting, programs)
        except (StartFailed, SecretKeysError) as error:
            log.warning("Deployment %s was not taken over: %s", deployment.id, error)
            entry = model.entry(
                "The Deployment was not taken over after a restart",
                clock(),
                type_=ReportEntryType.ERROR,
                message=str(error),
            )
            tell(database, deployment.id, entry)


def in_use(connection: Connection, kept: int) -> set[str]:
    """The artifacts of releases in use, and of `kept` that can be brought back without a build.

    Of a Deployment that cannot be read, all there are.
    """
    found: set[str] = set()
    for id_, deployment in store.everything(connection):
        releases = store.releases_of(connection, id_)
        if isinstance(deployment, Deployment):
            used = retention.in_use(deployment, releases, kept)
            releases = [each for each in releases if each.number in used]
        found.update(artifact for each in releases for artifact in each.artifacts.values())
    return found


def _serving(database: Database) -> list[tuple[Deployment, Release]]:
    """The Deployments with a release that serves, as far as they can be read."""
    found = []
    with database.read() as connection:
        for id_, deployment in store.everything(connection):
            try:
                if isinstance(deployment, store.Damaged):
                    raise deployment
                number = deployment.release
                release = store.find_release(connection, id_, number) if number else None
            except store.Damaged as damaged:
                log.error("%s: it is left as it is", damaged, extra={"deployment": id_})  # noqa: TRY400 - what is wrong is no fault of the program
                continue
            if release is not None:
                found.append((deployment, release))
    return found


def _restore(
    deployment: Deployment, release: Release, builder: Builder, hosting: Hosting, programs: Programs
) -> None:
    for application in release.applications:
        artifact = builder.use(release.artifacts.get(application.name, ""))
        if artifact is None:
            raise StartFailed(f"what {application.name} was built into is gone: redeploy it")
        if application.type in STATIC:
            hosting.route(deployment, application, static=artifact.folder)
        else:
            hosting.restore(programs.program(deployment, release, application))
            hosting.route(deployment, application)


def tell(
    database: Database,
    id_: str,
    entry: DeploymentReportEntry,
    also: Callable[[Connection, Deployment], None] | None = None,
) -> None:
    """Add an entry to a Deployment's report, unless it is the last one about the same.

    `also` is done in the same transaction, whether or not it is.
    """
    with database.write() as connection:
        subject = store.lock(connection, id_)
        if subject is None:
            return
        same = [
            each
            for each in subject.report
            if (each.title, each.application) == (entry.title, entry.application)
        ]
        if also is not None:
            also(connection, subject)
        if not same or same[-1].message != entry.message:
            store.save(connection, model.entered(subject, entry))
