"""The scripts of a release, where the work of a Deployment comes to them.

A script may run more than once: what the server dies in is run again. One that has ended, well or
not, is not run again by the same work. (docs/decisions/0029-scripts.md)
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection

from connectory.building.model import Ran, Script, ScriptRunner
from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.scalars import ApplicationType
from connectory.contract.staged import ReportEntryType
from connectory.database.engine import Database
from connectory.database.secrets import SecretKeysError
from connectory.deployments import model, store
from connectory.deployments.measuring import ScriptOutcomes
from connectory.deployments.model import Application, Deployment, Release, topic_name
from connectory.deployments.overtaking import Watch, served
from connectory.deployments.programs import Programs
from connectory.kernel.clock import Clock
from connectory.sources.model import Fetched, SourceError
from connectory.sources.service import Sources
from connectory.work.lease import Lease
from connectory.work.model import Work, WorkDelayed

#: Takes a line that a script printed: the Deployment's id, the application's name, the line.
Output = Callable[[str, str, str], None]
#: Where the work's progress has the names of applications whose script has ended.
_PROGRESS: Final = "scripts"


class Hook(enum.StrEnum):
    """When a script runs, by its name in connect.yaml."""

    POST_DEPLOY = "postDeploy"  #: When a release serves.
    PRE_UNDEPLOY = "preUndeploy"  #: Before anything of it is stopped.

    def command(self, release: Release, application: Application) -> str:
        """The command line of an application; empty where it has none."""
        written = release.scripts.get(application.name)
        if written is None:
            return ""
        found = written.post_deploy if self is Hook.POST_DEPLOY else written.pre_undeploy
        return found or ""


_SUCCEEDED: Final = {
    Hook.POST_DEPLOY: "Post-deployment setup succeeded",
    Hook.PRE_UNDEPLOY: "Pre-undeployment cleanup succeeded",
}


class ScriptFailed(Exception):
    """A script failed where that is an Error; its entry, which was not told yet, says why."""

    def __init__(self, entry: DeploymentReportEntry) -> None:
        super().__init__(entry.title)
        self.entry = entry


def failure_title(hook: Hook) -> str:
    """The title of an entry about a script that failed."""
    return f"Failed during the execution of '{hook}' script"


class _Task(Struct, frozen=True, kw_only=True):
    """Which scripts of which release are run, and what it is if one fails."""

    hook: Hook
    failed: ReportEntryType
    deployment: Deployment
    release: Release

    def entry(self, application: Application, failure: str, now: int) -> DeploymentReportEntry:
        """What is told of a script that ended; `failure` is empty where it went well."""
        return model.entry(
            failure_title(self.hook) if failure else _SUCCEEDED[self.hook],
            now,
            type_=self.failed if failure else ReportEntryType.INFORMATION,
            message=failure,
            application=application.name,
        )

    def undefined(self, now: int) -> list[DeploymentReportEntry]:
        """What is told of applications that could have a postDeploy script and have none."""
        if self.hook is not Hook.POST_DEPLOY:
            return []
        return [
            model.entry(f'Script for "{self.hook}" not defined', now, application=each.name)
            for each in self.release.applications
            if each.type is not ApplicationType.ASSETS and not self.hook.command(self.release, each)
        ]


class Scripts:
    """Runs the scripts of releases, in threads of work."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        sources: Sources,
        runner: ScriptRunner,
        programs: Programs,
        outcomes: ScriptOutcomes,
        output: Output,
        refusal: Callable[[str], str],
    ) -> None:
        """Make it; `refusal` says why the code of a repository is not to be run here, or ""."""
        self._database = database
        self._clock = clock
        self._sources = sources
        self._runner = runner
        self._programs = programs
        self._outcomes = outcomes
        self._output = output
        self._refusal = refusal

    def run(self, lease: Lease, hook: Hook, failed: ReportEntryType) -> None:
        """Run those that this work has not run yet, one after the other, as connect.yaml has them.

        PostDeploy scripts are those of the release that a deploy makes, preUndeploy scripts those
        of the one that serves. Each end is recorded; one that fails is told as `failed`.

        Raises:
            ScriptFailed: one failed, and that is an Error; the others were not run.
            WorkDelayed: the source cannot be had now.
            LeaseLost, Cancelled, Overtaken: it is not wanted any more.
        """
        task = self._task(lease, hook, failed)
        if task is None:
            return
        self._tell_undefined(lease, task)
        done = lease.work.progress.get(_PROGRESS, ())
        left = [
            each
            for each in task.release.applications
            if hook.command(task.release, each) and each.name not in done
        ]
        refusal = self._refusal(task.release.connector.repository.url) if left else ""
        try:
            if left and not refusal:
                self._run(lease, task, left)
        except SourceError as error:
            if error.transient:
                raise WorkDelayed(error.reason) from None
            refusal = f"its source cannot be had: {error.reason}"
        if refusal:
            done = lease.work.progress.get(_PROGRESS, ())
            for each in left:
                if each.name not in done:
                    self._end(lease, task, each, refusal)

    def _task(self, lease: Lease, hook: Hook, failed: ReportEntryType) -> _Task | None:
        """What there is to run; None where no release serves, or scripts are left out."""
        with self._database.read() as connection:
            subject = served(store.with_id(connection, lease.work.subject), lease.work)
            request = subject.request
            if request is None or request.skip_scripts:
                return None
            number = request.release if hook is Hook.POST_DEPLOY else subject.release
            release = store.find_release(connection, subject.id, number) if number else None
        if release is None:
            return None
        return _Task(hook=hook, failed=failed, deployment=subject, release=release)

    def _tell_undefined(self, lease: Lease, task: _Task) -> None:
        known = {(each.title, each.application) for each in task.deployment.report}
        entries = [
            each
            for each in task.undefined(self._clock())
            if (each.title, each.application) not in known
        ]
        if entries:
            with self._database.write() as connection:
                _tell(connection, lease.work, entries)

    def _end(self, lease: Lease, task: _Task, application: Application, failure: str) -> None:
        """Count and record how a script ended."""
        self._outcomes.count(task.hook, "failed" if failure else "succeeded")
        entry = task.entry(application, failure, self._clock())
        if entry.type is ReportEntryType.ERROR:
            raise ScriptFailed(entry)
        done = (*lease.work.progress.get(_PROGRESS, ()), application.name)
        lease.advance(
            f"{task.hook} {len(done)}",
            {_PROGRESS: done},
            also=lambda connection: _tell(connection, lease.work, [entry]),
        )

    def _run(self, lease: Lease, task: _Task, left: Sequence[Application]) -> None:
        watch = Watch(self._database, lease)
        deployment, release = task.deployment, task.release
        fetched = Fetched(release.connector.repository, release.commit or "")
        owner = deployment.source_owner or deployment.project
        with self._sources.tree(fetched, owner) as tree:
            for each in left:
                try:
                    values = self._programs.script(deployment, release, each)
                except SecretKeysError as error:
                    self._end(lease, task, each, str(error))
                    continue
                script = Script(
                    tree=tree,
                    origin=fetched.repository.url,
                    tenant=deployment.project,
                    application=each.name,
                    type=each.type,
                    command=task.hook.command(release, each),
                    environment={**values.environment, **_subscription(deployment, each)},
                )
                ran = self._ran(watch, task, script)
                self._end(lease, task, each, values.masker.masked(_failure(ran)))

    def _ran(self, watch: Watch, task: _Task, script: Script) -> Ran:
        """Run one, with its beginning and end in the log."""

        def output(line: str) -> None:
            self._output(task.deployment.id, script.application, line)

        watch.check()
        output(f"{task.hook}: {script.command}")
        ran = self._runner.run_script(script, output=output, cancelled=watch.ended)
        output(f"{task.hook}: {ran.reason}")
        if watch.ended():
            self._outcomes.count(task.hook, "interrupted")
        watch.check()
        return ran


def _tell(connection: Connection, work: Work, entries: Sequence[DeploymentReportEntry]) -> None:
    subject = served(store.lock(connection, work.subject), work)
    for each in entries:
        subject = model.entered(subject, each)
    store.save(connection, subject)


def _failure(ran: Ran) -> str:
    return "" if ran.code == 0 else "\n".join((ran.reason, *ran.last))


def _subscription(deployment: Deployment, application: Application) -> Mapping[str, str]:
    """What tells a script of an event application where its messages are to be sent to."""
    if application.type is not ApplicationType.EVENT:
        return {}
    return {
        "CONNECT_SUBSCRIPTION_DESTINATION": "GoogleCloudPubSub",
        "CONNECT_GCP_TOPIC_NAME": topic_name(application),
        "CONNECT_GCP_PROJECT_ID": deployment.project.partition(":")[2],
        "CONNECT_PROVIDER": "GCP",
    }
