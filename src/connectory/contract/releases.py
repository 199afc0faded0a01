"""Releases of a Deployment, and what changed between two: an addition to the published contract.

Nothing here changes what a field of the contract means. (docs/decisions/0030-releases.md)
"""

import enum

from msgspec import UNSET, UnsetType

from connectory.contract.connectors import Wire
from connectory.contract.deployments import RetryPolicy
from connectory.contract.scalars import ApplicationName, Id, Key


class ReleaseOutcome(enum.StrEnum):
    """What a deploy has come to."""

    DEPLOYING = "deploying"  #: It is under way, or waits for its turn.
    DEPLOYED = "deployed"  #: It served from then on; it can be rolled back to.
    FAILED = "failed"  #: The release before went on serving.
    CANCELLED = "cancelled"  #: An operator ended it; the release before went on serving.


class ReleaseConnector(Wire, frozen=True, kw_only=True):
    """The Connector that a release has.

    Attributes:
        id: Its id.
        key: Its key.
        version: Its version; of a ConnectorStaged, that one's.
        tag: Tag of its repository.
    """

    id: Id
    key: Key | UnsetType = UNSET
    version: int
    tag: str


class VersionChange(Wire, frozen=True, kw_only=True):
    """Another version of the Connector.

    Attributes:
        before: The version before.
        after: The version of this release.
    """

    before: int
    after: int


class CommitChange(Wire, frozen=True, kw_only=True):
    """Another commit of the repository.

    Attributes:
        before: The commit before.
        after: The commit of this release; none where it did not come that far.
    """

    before: str
    after: str | UnsetType = UNSET


class ChangeKind(enum.StrEnum):
    """How something differs from the release before."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class ApplicationChange(Wire, frozen=True, kw_only=True):
    """An application that came or went.

    Attributes:
        application_name: Its name.
        change: `added` or `removed`.
    """

    application_name: ApplicationName
    change: ChangeKind


class ConfigurationChange(Wire, frozen=True, kw_only=True):
    """A configuration key that has another value.

    Attributes:
        application_name: Name of the application; left out for a key of all applications.
        key: Name of the environment variable.
        change: Whether the value was added, changed or removed.
        secured: Whether it is a secret, now or before: then no value is told.
        before: The value before.
        after: The value of this release.
    """

    application_name: ApplicationName | UnsetType = UNSET
    key: str
    change: ChangeKind
    secured: bool
    before: str | UnsetType = UNSET
    after: str | UnsetType = UNSET


class ScopeChange(Wire, frozen=True, kw_only=True):
    """A scope that the API Client of the Deployment got or lost.

    Attributes:
        scope: The scope, as connect.yaml has it.
        change: `added` or `removed`.
    """

    scope: str
    change: ChangeKind


class ScriptChange(Wire, frozen=True, kw_only=True):
    """Another command of an application's scripts.

    Attributes:
        application_name: Name of the application.
        script: `postDeploy` or `preUndeploy`.
        before: The command before.
        after: The command of this release.
    """

    application_name: ApplicationName
    script: str
    before: str | UnsetType = UNSET
    after: str | UnsetType = UNSET


class ScheduleChange(Wire, frozen=True, kw_only=True):
    """Another schedule of a job, whether connect.yaml or the Deployment says it.

    Attributes:
        application_name: Name of the application.
        before: The schedule before.
        after: The schedule of this release.
    """

    application_name: ApplicationName
    before: str | UnsetType = UNSET
    after: str | UnsetType = UNSET


class RetryPolicyChange(Wire, frozen=True, kw_only=True):
    """Another retry policy of an event application, whether connect.yaml or the Deployment says it.

    Attributes:
        application_name: Name of the application.
        before: The policy before.
        after: The policy of this release.
    """

    application_name: ApplicationName
    before: RetryPolicy | UnsetType = UNSET
    after: RetryPolicy | UnsetType = UNSET


class ReleaseChanges(Wire, frozen=True, kw_only=True):
    """What is different from the latest earlier release that was deployed.

    Attributes:
        since: Number of that release.
        connector_version: Another version of the Connector.
        commit: Another commit.
        applications: Applications that came or went; their values are not told one by one.
        configuration: Configuration keys with other values.
        scopes: Scopes that the API Client got or lost.
        scripts: Other commands.
        schedules: Other schedules of jobs.
        retry_policies: Other retry policies of event applications.
    """

    since: int
    connector_version: VersionChange | UnsetType = UNSET
    commit: CommitChange | UnsetType = UNSET
    applications: tuple[ApplicationChange, ...]
    configuration: tuple[ConfigurationChange, ...]
    scopes: tuple[ScopeChange, ...]
    scripts: tuple[ScriptChange, ...]
    schedules: tuple[ScheduleChange, ...]
    retry_policies: tuple[RetryPolicyChange, ...]


class DeploymentRelease(Wire, frozen=True, kw_only=True):
    """One deploy, redeploy or rollback of a Deployment.

    Attributes:
        number: From 1, without a gap.
        outcome: What has become of it.
        serving: Whether it takes the calls.
        rollback_to: Number of the release that it brought back, where it is a rollback.
        created_at: When it was asked for.
        finished_at: When it ended.
        actor: Who asked for it, as the audit log names them.
        connector: The Connector.
        commit: The commit of its repository; none where it did not come that far.
        changes: What is different from the release before; none where nothing was deployed before.
    """

    number: int
    outcome: ReleaseOutcome
    serving: bool
    rollback_to: int | UnsetType = UNSET
    created_at: str
    finished_at: str | UnsetType = UNSET
    actor: str
    connector: ReleaseConnector
    commit: str | UnsetType = UNSET
    changes: ReleaseChanges | UnsetType = UNSET


class DeploymentReleasePagedQueryResponse(Wire, frozen=True, kw_only=True):
    """A page of releases, the newest first.

    Attributes:
        offset: How many come before this page.
        limit: How many were asked for.
        total: How many there are.
        count: How many are on this page.
        results: Those on this page.
    """

    offset: int
    limit: int
    total: int
    count: int
    results: tuple[DeploymentRelease, ...]
