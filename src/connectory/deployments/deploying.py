"""The background work of a deploy: source → API Client → builds → starts → switch → scripts.

A step that fails ends in `Failed` and leaves the release before serving: until the switch, nothing
of the new release takes a call. After it, only scripts are left (docs/decisions/0029-scripts.md).
A step may be made again after a crash, so each begins by taking back what the attempt before has
told of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.building.model import Artifact, Builder, BuildFailed, Plan, Step
from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.staged import ReportEntryType
from connectory.database.engine import Database
from connectory.deployments import model, rolling_back, store
from connectory.deployments.accepting import as_written
from connectory.deployments.api_clients import ApiClientError
from connectory.deployments.client_steps import ClientStep
from connectory.deployments.comparing import compared
from connectory.deployments.ending import Ending
from connectory.deployments.hosting import STATIC, Hosting
from connectory.deployments.listening import Listener
from connectory.deployments.measuring import Outcomes
from connectory.deployments.model import Application, Deployment, Release, serves_already
from connectory.deployments.overtaking import Overtaken, Watch, made_by, served
from connectory.deployments.programs import Programs
from connectory.deployments.scripts import Hook, ScriptFailed, Scripts
from connectory.kernel.clock import Clock
from connectory.runtime.model import StartFailed
from connectory.sources.model import Fetched, SourceError
from connectory.sources.service import Sources
from connectory.specification.model import Specification
from connectory.staging.declaring import SpecificationMissing, read_specification, told
from connectory.work.lease import Lease
from connectory.work.model import Work, WorkDelayed

SOURCE: Final = "source"
CLIENT: Final = "client"

#: Takes a line that a build printed: the Deployment's id, the application's name, the line.
BuildOutput = Callable[[str, str, str], None]


class _Failed(Exception):
    """A step failed; its entry says why."""

    def __init__(self, entry: DeploymentReportEntry) -> None:
        super().__init__(entry.title)
        self.entry = entry


class Deploying:
    """Does the work of deploys and redeploys (`work.lease.Handler`)."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        sources: Sources,
        builder: Builder,
        hosting: Hosting,
        programs: Programs,
        clients: ClientStep,
        scripts: Scripts,
        ending: Ending,
        outcomes: Outcomes,
        listeners: Sequence[Listener],
        output: BuildOutput,
        start_seconds: float,
        refusal: Callable[[str], str],
        strict_scripts: bool,
    ) -> None:
        """Make it; an application that is not healthy in `start_seconds` has failed.

        `refusal` says why the code of a repository is not to be run here; "" where it may be. With
        `strict_scripts` a postDeploy script that fails makes its Deployment fail.
        """
        self._database = database
        self._sources = sources
        self._builder = builder
        self._hosting = hosting
        self._programs = programs
        self._clock = clock
        self._clients = clients
        self._scripts = scripts
        self._ending = ending
        self._outcomes = outcomes
        self._listeners = listeners
        self._output = output
        self._start_seconds = start_seconds
        self._refusal = refusal
        self._strict_scripts = strict_scripts

    def run(self, work: Work, lease: Lease) -> None:
        """Make the steps that are left, and end the request."""
        try:
            deployment = self._deployment(work)
        except Overtaken:
            self._outcomes.count("overtaken")
            return
        try:
            self._attempt(lease)
        except Overtaken:
            self._outcomes.count("overtaken")
            # Only a delete overtakes a deploy. It stops what serves, after its scripts; else it may
            # have looked before the last start.
            if not self._is_served(work):
                self._hosting.remove(each.id for each in deployment.applications)

    def give_up(self, connection: Connection, work: Work, error: str) -> None:
        """Fail the request, which could not be served, or warn where its release serves."""
        self._ending.give_up(connection, work, error)

    def cancelled(self, connection: Connection, work: Work) -> None:
        """End the request as cancelled."""
        self._ending.cancelled(connection, work)

    def _attempt(self, lease: Lease) -> None:
        try:
            self._run(lease)
        except (_Failed, ScriptFailed) as failure:
            self._ending.fail(lease, failure.entry)

    def _run(self, lease: Lease) -> None:
        if not serves_already(self._deployment(lease.work)):
            self._make(lease)
        self._scripts.run(lease, Hook.POST_DEPLOY, ReportEntryType.WARNING)
        self._ending.succeed(lease)

    def _make(self, lease: Lease) -> None:
        """All that is to be done until the release serves."""
        refusal = self._refusal(self._deployment(lease.work).connector.repository.url)
        if refusal:
            raise _Failed(self._error("The deployment was refused", refusal))
        specification: Specification | None = None
        if self._release(lease.work).rollback_to is None:
            fetched, specification = self._source(lease)
        else:
            fetched = self._brought_back(lease)
        self._client(lease)
        artifacts = self._artifacts(lease, fetched)
        release = self._prepared(lease, specification, artifacts)
        self._start(lease, release, artifacts)

    def _source(self, lease: Lease) -> tuple[Fetched, Specification]:
        """The commit and what its connect.yaml says; told once."""
        deployment = self._deployment(lease.work)
        owner = deployment.source_owner or deployment.project
        repository = deployment.connector.repository
        commit = lease.work.progress.get("commit") or deployment.commit
        try:
            fetched = (
                Fetched(repository, commit) if commit else self._sources.fetch(repository, owner)
            )
            read = read_specification(self._sources, fetched, owner)
        except SpecificationMissing as missing:
            raise _Failed(self._error("Source fetch failed", str(missing))) from None
        except SourceError as error:
            if error.transient:
                raise WorkDelayed(error.reason) from None
            raise _Failed(self._error("Source fetch failed", error.reason)) from None
        if read.specification is None:
            raise _Failed(self._error("Source fetch failed", told(read.faults)))
        if lease.work.step is None:
            entry = model.entry(
                "Source fetch succeeded", self._clock(), message=f"commit {fetched.commit}"
            )
            self._advance(
                lease,
                SOURCE,
                lambda each: model.entered(replace(each, commit=fetched.commit, report=()), entry),
                {"commit": fetched.commit},
            )
        return fetched, read.specification

    def _brought_back(self, lease: Lease) -> Fetched:
        """The commit of the release that is brought back; told once, with what is lost of it."""
        deployment, release = self._deployment(lease.work), self._release(lease.work)
        fetched = Fetched(deployment.connector.repository, release.commit or "")
        if lease.work.step is None:
            names = (each.name for each in release.applications)
            gone = [
                each for each in names if not self._builder.use(release.artifacts.get(each, ""))
            ]
            entries = rolling_back.entries(release, gone, self._clock())
            self._advance(lease, SOURCE, lambda each: replace(each, report=entries), {})
        return fetched

    def _client(self, lease: Lease) -> None:
        """See to it that there is the API Client that the Connector wants."""
        if lease.work.step != SOURCE:
            return
        try:
            self._clients.provide(lease, CLIENT)
        except ApiClientError as error:
            if error.transient:
                raise WorkDelayed(error.reason) from None
            raise _Failed(self._error("API Client failed", error.reason)) from None

    def _artifacts(self, lease: Lease, fetched: Fetched) -> dict[str, Artifact]:
        """What the applications are built into, by name."""
        deployment = self._deployment(lease.work)
        known: Mapping[str, str] = {
            **self._release(lease.work).artifacts,
            **lease.work.progress.get("artifacts", {}),
        }
        found = {name: self._builder.use(id_) for name, id_ in known.items()}
        built = {name: each for name, each in found.items() if each is not None}
        missing = [each for each in deployment.applications if each.name not in built]
        if not missing:
            return built
        owner = deployment.source_owner or deployment.project
        try:
            with self._sources.tree(fetched, owner) as tree:
                for application in missing:
                    plan = Plan(
                        tree=tree,
                        source=fetched.commit,
                        origin=fetched.repository.url,
                        application=application.name,
                        type=application.type,
                        environment=self._programs.build_environment(deployment, application),
                    )
                    built[application.name] = self._build(lease, plan)
                    names = {name: each.id for name, each in built.items()}
                    place = deployment.applications.index(application)
                    self._advance(lease, f"build {place}", lambda each: each, {"artifacts": names})
        except SourceError as error:
            if error.transient:
                raise WorkDelayed(error.reason) from None
            raise _Failed(self._error("Source fetch failed", error.reason)) from None
        return built

    def _build(self, lease: Lease, plan: Plan) -> Artifact:
        work, name = lease.work, plan.application
        self._change(work, lambda each: _without(each, name))

        def tell(step: Step) -> None:
            entry = model.entry(
                step.title,
                self._clock(),
                type_=step.type,
                message=step.message,
                application=step.application,
            )
            self._change(work, lambda each: model.entered(each, entry))

        watch = Watch(self._database, lease)
        watch.check()
        try:
            return self._builder.build(
                plan,
                told=tell,
                output=lambda application, line: self._output(work.subject, application, line),
                cancelled=watch.ended,
            )
        except BuildFailed as failure:
            watch.check()
            raise _Failed(self._error("Build failed", str(failure), name)) from None

    def _prepared(
        self, lease: Lease, specification: Specification | None, artifacts: Mapping[str, Artifact]
    ) -> Release:
        """The release with all that it runs with, written before anything of it starts.

        Without a specification it has that already: it is brought back.
        """
        work = lease.work
        with self._database.write() as connection:
            before = self._locked(connection, work)
            release = made_by(connection, before)
            if specification is not None:
                release = as_written(release, before, specification)
            release = replace(
                release,
                client=before.client,
                artifacts={name: each.id for name, each in artifacts.items()},
            )
            before = replace(before, applications=release.applications)
            before = compared(connection, before, release, self._programs, self._clock())
            store.save(connection, before)
            store.put_release(connection, release)
            for listener in self._listeners:
                listener.prepared(connection, before, release)
        return release

    def _start(self, lease: Lease, release: Release, artifacts: Mapping[str, Artifact]) -> None:
        """Start all applications, and let them take the calls once every one is healthy.

        Where scripts are strict, they run before what cannot be taken back: the release before
        takes the calls meanwhile; where there is none, the new one does.
        """
        deployment = self._deployment(lease.work)
        running = [each for each in deployment.applications if each.type not in STATIC]
        try:
            for application in running:
                self._start_one(lease, deployment, release, application)
            if self._strict_scripts:
                if deployment.release is None:
                    self._switch(deployment, release, artifacts)
                self._scripts.run(lease, Hook.POST_DEPLOY, ReportEntryType.ERROR)
            lease.check()
            self._deployment(lease.work)  # a delete that comes later waits for what follows
        except BaseException:
            if self._strict_scripts and deployment.release is None:
                self._hosting.remove(each.id for each in deployment.applications)
            for application in running:
                self._hosting.discard(application.id, release.number)
            raise
        self._switch(deployment, release, artifacts)
        self._ending.serve(lease, release)

    def _switch(
        self, deployment: Deployment, release: Release, artifacts: Mapping[str, Artifact]
    ) -> None:
        """Let a release take the calls; it may be called again."""
        for application in deployment.applications:
            if application.type in STATIC:
                folder = artifacts[application.name].folder
                self._hosting.route(deployment, application, static=folder)
            else:
                self._hosting.switch(application.id, release.number)
                self._hosting.route(deployment, application)

    def _start_one(
        self, lease: Lease, deployment: Deployment, release: Release, application: Application
    ) -> None:
        program = self._programs.program(deployment, release, application)
        name = application.name
        try:
            watch = Watch(self._database, lease)
            self._hosting.start(program, self._start_seconds, watch.check)
        except StartFailed as failure:
            raise _Failed(
                self._error(f"Health check for application {name} failed", str(failure), name)
            ) from None
        entry = model.entry("Application started", self._clock(), application=name)
        self._change(
            lease.work,
            lambda each: model.entered(_without(each, name, title=entry.title), entry),
        )

    def _advance(
        self,
        lease: Lease,
        step: str,
        change: Callable[[Deployment], Deployment],
        found: Mapping[str, Any],
    ) -> None:
        work = lease.work
        lease.advance(step, found, also=lambda connection: self._write(connection, work, change))

    def _change(self, work: Work, change: Callable[[Deployment], Deployment]) -> None:
        with self._database.write() as connection:
            self._write(connection, work, change)

    def _write(
        self, connection: Connection, work: Work, change: Callable[[Deployment], Deployment]
    ) -> None:
        before = self._locked(connection, work)
        after = change(before)
        if after is not before:
            store.save(connection, after)

    def _deployment(self, work: Work) -> Deployment:
        with self._database.read() as connection:
            return served(store.with_id(connection, work.subject), work)

    def _release(self, work: Work) -> Release:
        """The release that the work makes."""
        with self._database.read() as connection:
            return made_by(connection, served(store.with_id(connection, work.subject), work))

    def _is_served(self, work: Work) -> bool:
        with self._database.read() as connection:
            found = store.with_id(connection, work.subject)
        return found is not None and found.release is not None

    def _locked(self, connection: Connection, work: Work) -> Deployment:
        return served(store.lock(connection, work.subject), work)

    def _error(self, title: str, message: str, application: str = "") -> DeploymentReportEntry:
        return model.entry(
            title,
            self._clock(),
            type_=ReportEntryType.ERROR,
            message=message,
            application=application,
        )


def _without(before: Deployment, application: str, *, title: str | None = None) -> Deployment:
    """Without what an attempt before has told of an application."""
    report = tuple(
        each
        for each in before.report
        if each.application != application or (title is not None and each.title != title)
    )
    return before if report == before.report else replace(before, report=report)
