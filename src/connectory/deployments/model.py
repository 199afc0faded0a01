"""What a Deployment and its releases are, what becomes of them, and how the API shows it.

All pure: what is asked for and what the steps of a deploy find make a new Deployment of the old
one. (docs/decisions/0021-deployments.md)
"""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from connectory.contract import deployments as wire
from connectory.contract.connectors import ConnectorContent, Wire
from connectory.contract.deployments import (
    ConfigurationValue,
    DeploymentConnector,
    DeploymentReportEntry,
    DeploymentStatus,
    DeploymentType,
)
from connectory.contract.errors import (
    DeploymentApplicationDoesNotExist,
    DeploymentInvalidStatusTransition,
)
from connectory.contract.scalars import ApplicationType, Region
from connectory.contract.staged import ReportEntryType
from connectory.deployments.clients import AskedClient, GeneratedClient
from connectory.deployments.configuration import Configured, Values
from connectory.deployments.transitions import STATUS, DeploymentEvent
from connectory.kernel.clock import to_rfc3339
from connectory.kernel.transitions import NoTransition
from connectory.runtime.model import HealthCheck
from connectory.specification.shape import Immediate, RetryPolicy, Scripts

#: What stands for a secret, whatever its length.
MASK = "****"


class Reference(Struct, frozen=True, kw_only=True):
    """A version of a Connector, or a previewable ConnectorStaged, that a Project may deploy.

    Attributes:
        id: Its id.
        version: Its version.
        content: What it says of itself.
        commit: What its tag was when it was checked; none where nothing checked it.
        owner: Whose repository it is, as `region:projectKey`; none where nobody's.
        staged: Whether it is a ConnectorStaged.
    """

    id: str
    version: int
    content: ConnectorContent
    commit: str | None
    owner: str | None
    staged: bool

    @property
    def name(self) -> str:
        """How errors name it: `id=… or key=…`."""
        key = self.content.key
        return f"id={self.id}" + (f" or key={key}" if isinstance(key, str) else "")


class Application(Wire, frozen=True, kw_only=True):
    """One application of a Deployment.

    Attributes:
        id: Stays over redeploys.
        name: Its name.
        type: Its type.
        slug: Its part of a host name, 24 lower-case letters and digits.
        values: Its configuration; secrets are encrypted.
        url: Where it answers; none before it was deployed, and for what is not called.
        schedule: When a job runs, by connect.yaml; known once that was read.
        retry_policy: How messages of an event are sent again, likewise.
    """

    id: str
    name: str
    type: ApplicationType
    slug: str
    values: Values = Values()
    url: str | None = None
    schedule: str | None = None
    retry_policy: RetryPolicy | None = None


def topic_name(application: Application) -> str:
    """The last part of the full name of an event application's topic; it stays over redeploys."""
    return f"event-{application.slug}"


class Request(Wire, frozen=True, kw_only=True):
    """A deploy, redeploy or undeploy under way.

    Attributes:
        id: Of the request, shown as the build's; work carries it, so that what was overtaken is
            known as such.
        release: Number of the release that it makes.
        actor: Who asked for it, as the audit log names them.
        skip_scripts: Whether scripts are left out.
    """

    id: str
    release: int
    actor: str
    skip_scripts: bool = False


class Deployment(Wire, frozen=True, kw_only=True):
    """A Deployment with all that is known of it.

    Attributes:
        project: Whose it is, as `region:projectKey`.
        connector: The Connector as it is deployed.
        staged: Whether that is a ConnectorStaged.
        commit: What is deployed; none until a tag that nothing checked has been looked up.
        source_owner: Whose repository it is, as `region:projectKey`.
        scopes: The scopes of the API Client that it wants; none where it wants none.
        shared: Values that all applications get; secrets are encrypted.
        client: The API Client that was made for it.
        retired_clients: Those that it had before, until they are ended.
        asked_clients: Those that may be there, and that nobody uses.
        build: Id of the latest request.
        report: What happened in it.
        request: The one under way, if one is.
        release: Number of the release that serves; none before the first.
        releases: How many releases there were.
        retired: Ids of applications that the release that serves has and the next one has not.
        created_at: Microseconds since 1970.
        last_modified_at: Microseconds since 1970.
    """

    id: str
    key: str | None = None
    project: str
    version: int
    type: DeploymentType
    region: Region
    connector: DeploymentConnector
    staged: bool
    commit: str | None = None
    source_owner: str | None = None
    scopes: tuple[str, ...] | None = None
    applications: tuple[Application, ...]
    shared: Values = Values()
    client: GeneratedClient | None = None
    retired_clients: tuple[GeneratedClient, ...] = ()
    asked_clients: tuple[AskedClient, ...] = ()
    status: DeploymentStatus = DeploymentStatus.DRAFT
    build: str | None = None
    report: tuple[DeploymentReportEntry, ...] = ()
    request: Request | None = None
    release: int | None = None
    releases: int = 0
    retired: tuple[str, ...] = ()
    created_at: int
    last_modified_at: int

    @property
    def name(self) -> str:
        """How errors name it: `id=… or key=…`."""
        return f"id={self.id}" + (f" or key={self.key}" if self.key else "")

    @property
    def secret_owner(self) -> str:
        """What its secrets are bound to (see `database.secrets`)."""
        return f"deployments:{self.id}"

    @property
    def configured(self) -> Configured:
        """All its values."""
        return Configured(
            applications={each.name: each.values for each in self.applications}, shared=self.shared
        )

    def application(self, name: str) -> Application:
        """The application of a name.

        Raises:
            DeploymentApplicationDoesNotExist: it has none of this name.
        """
        for each in self.applications:
            if each.name == name:
                return each
        raise DeploymentApplicationDoesNotExist(name)

    def later(self, now: int, event: DeploymentEvent | None = None, **changes: Any) -> "Deployment":
        """The same with changes, one version later; never earlier, whatever the clock says.

        Raises:
            DeploymentInvalidStatusTransition: its status does not allow the event.
        """
        if event is not None:
            try:
                changes["status"] = STATUS.after(self.status, event)
            except NoTransition:
                raise DeploymentInvalidStatusTransition(self.status) from None
        moment = max(now, self.last_modified_at)
        return replace(self, version=self.version + 1, last_modified_at=moment, **changes)


class Release(Wire, frozen=True, kw_only=True):
    """One deploy or redeploy, kept with all that it ran with.

    Attributes:
        deployment_id: Whose it is.
        number: From 1, without a gap.
        connector: The Connector.
        commit: What was built; none where it did not come that far.
        artifacts: What was built of it, by name of the application.
        endpoints: Path of each application, by name, as connect.yaml has it.
        health_checks: How the health of applications is told, by name.
        retry_policies: How messages are sent again, by name of the application.
        scripts: The scripts of applications, by name.
        applications: What it runs, with their configuration; secrets are encrypted.
        shared: Values that all applications get; secrets are encrypted.
        client: The API Client that it runs with.
        actor: Who asked for it.
        rollback_to: Number of the release that it brought back, where it is a rollback.
        outcome: `deploying`, `deployed`, `failed` or `cancelled`.
        created_at: Microseconds since 1970.
        finished_at: Microseconds since 1970; none while it is under way.
    """

    deployment_id: str
    number: int
    connector: DeploymentConnector
    commit: str | None = None
    artifacts: Mapping[str, str] = {}
    endpoints: Mapping[str, str] = {}
    health_checks: Mapping[str, HealthCheck] = {}
    retry_policies: Mapping[str, RetryPolicy] = {}
    scripts: Mapping[str, Scripts] = {}
    applications: tuple[Application, ...]
    shared: Values = Values()
    client: GeneratedClient | None = None
    actor: str
    rollback_to: int | None = None
    outcome: str = "deploying"
    created_at: int
    finished_at: int | None = None


def require_at_rest(subject: Deployment) -> None:
    """Make sure that no deploy or undeploy is under way.

    Raises:
        DeploymentInvalidStatusTransition: one is.
    """
    if not STATUS.allows(subject.status, DeploymentEvent.DEPLOY_REQUESTED):
        raise DeploymentInvalidStatusTransition(subject.status)


def requested(
    before: Deployment, request_id: str, now: int, *, actor: str, held: bool, skip_scripts: bool
) -> Deployment:
    """With a deploy under way, or queued where a limit holds it.

    Raises:
        DeploymentInvalidStatusTransition: one is under way already.
    """
    event = DeploymentEvent.DEPLOY_QUEUED if held else DeploymentEvent.DEPLOY_REQUESTED
    request = Request(
        id=request_id, release=before.releases + 1, actor=actor, skip_scripts=skip_scripts
    )
    return before.later(
        now, event, request=request, build=request_id, report=(), releases=request.release
    )


def entered(before: Deployment, entry: DeploymentReportEntry) -> Deployment:
    """With a step that has ended; it costs no version."""
    return replace(before, report=(*before.report, entry))


def admitted(before: Deployment, now: int) -> Deployment:
    """After a limit has let its deploy begin.

    Raises:
        DeploymentInvalidStatusTransition: none held it.
    """
    return before.later(now, DeploymentEvent.DEPLOY_ADMITTED)


def serves_already(subject: Deployment) -> bool:
    """Whether the release of the deploy under way takes the calls: its scripts are left."""
    return subject.request is not None and subject.release == subject.request.release


def serving(before: Deployment, urls: Mapping[str, str]) -> Deployment:
    """With its release serving, which costs no version; `urls` are by name of the application."""
    if before.request is None:
        raise ValueError(f"no deploy of {before.name} is under way")
    found = tuple(replace(each, url=urls.get(each.name)) for each in before.applications)
    return replace(before, applications=found, release=before.request.release, retired=())


def succeeded(before: Deployment, now: int) -> Deployment:
    """After a deploy whose release serves."""
    if not serves_already(before):
        raise ValueError(f"no deploy of {before.name} is under way that serves")
    return before.later(now, DeploymentEvent.DEPLOY_SUCCEEDED, request=None)


def failed(before: Deployment, now: int) -> Deployment:
    """After a step of a deploy failed; the release before goes on serving."""
    return before.later(now, DeploymentEvent.DEPLOY_FAILED, request=None)


def undeploying(
    before: Deployment, id_: str, now: int, *, actor: str, skip_scripts: bool = False
) -> Deployment:
    """With an undeploy under way; a deploy under way is overtaken."""
    request = Request(id=id_, release=before.releases, actor=actor, skip_scripts=skip_scripts)
    return before.later(
        now, DeploymentEvent.UNDEPLOY_REQUESTED, request=request, build=id_, report=()
    )


def undeploy_failed(before: Deployment, now: int) -> Deployment:
    """After an undeploy that could not be ended; it can be asked for again."""
    return before.later(now, DeploymentEvent.UNDEPLOY_FAILED, request=None)


def entry(
    title: str,
    now: int,
    *,
    type_: ReportEntryType = ReportEntryType.INFORMATION,
    message: str = "",
    application: str = "",
) -> DeploymentReportEntry:
    """An entry of a Deployment's report."""
    return DeploymentReportEntry(
        type=type_,
        title=title,
        message=message or UNSET,
        application=application or UNSET,
        created_at=to_rfc3339(now),
    )


def shown(subject: Deployment) -> wire.Deployment:
    """A Deployment as the API shows it: its secrets never come back, only their keys."""
    shared, client = subject.shared, subject.client
    build: wire.DeploymentDetailsBuild | UnsetType = UNSET
    if subject.build is not None:
        report = wire.DeploymentReport(entries=subject.report)
        build = wire.DeploymentDetailsBuild(id=subject.build, report=report)
    return wire.Deployment(
        id=subject.id,
        key=subject.key or UNSET,
        version=subject.version,
        type=subject.type,
        connector=subject.connector,
        global_configuration=wire.DeploymentGlobalConfiguration(
            standard_configuration=shared.standard, secured_configuration=_masked(shared)
        )
        if shared.standard or shared.secured
        else UNSET,
        api_client=UNSET
        if client is None
        else wire.DeploymentApiClient(name=client.id, scopes=client.scopes),
        details=wire.DeploymentDetails(build=build),
        deployed_region=subject.region,
        applications=tuple(_shown_application(each, subject) for each in subject.applications),
        preview=subject.type is DeploymentType.PREVIEW,
        status=subject.status,
    )


def _shown_application(application: Application, subject: Deployment) -> wire.ApplicationDeployment:
    is_event = application.type is ApplicationType.EVENT
    project_key = subject.project.partition(":")[2]
    return wire.ApplicationDeployment(
        id=application.id,
        application_name=application.name,
        standard_configuration=application.values.standard,
        secured_configuration=_masked(application.values),
        url=application.url or UNSET,
        topic=f"projects/{project_key}/topics/{topic_name(application)}" if is_event else UNSET,
        schedule=application.values.schedule or application.schedule or UNSET,
        retry_policy=shown_policy(application.values.retry_policy or application.retry_policy),
    )


def shown_policy(policy: RetryPolicy | None) -> wire.RetryPolicy | UnsetType:
    """A retry policy as the API shows it."""
    if policy is None:
        return UNSET
    if isinstance(policy, Immediate):
        return wire.RetryPolicy(strategy="immediate")
    return wire.RetryPolicy(
        strategy="exponential-backoff",
        min_backoff_seconds=policy.min_backoff_seconds,
        max_backoff_seconds=policy.max_backoff_seconds,
        max_attempts=policy.max_attempts,
    )


def _masked(values: Values) -> tuple[ConfigurationValue, ...]:
    return tuple(ConfigurationValue(key=each.key, value=MASK) for each in values.secured)
