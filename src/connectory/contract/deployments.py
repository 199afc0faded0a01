"""Deployment, its draft, its update actions, its report.

Source: RAML `types/deployment/*.raml` and `types/common.raml`. `globalConfiguration` of a redeploy
holds values, as the official CLI sends them, not keys with descriptions, as the RAML has it.
Fields that the contract does not know are ignored, as the hosted platform does.
"""

import enum
from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, UnsetType

from connectory.contract.connectors import (
    ConnectorConfigurationApplication,
    ConnectorGlobalConfiguration,
    ConnectorReference,
    Creator,
    Repository,
    Wire,
)
from connectory.contract.scalars import ApplicationName, Id, IntegrationType, Key, Region
from connectory.contract.staged import ReportEntryType


class DeploymentType(enum.StrEnum):
    """What a Deployment is for."""

    PREVIEW = "preview"  #: Of a previewable ConnectorStaged; sleeps when idle.
    SANDBOX = "sandbox"  #: Of a Connector, to try it; sleeps when idle.
    PRODUCTION = "production"  #: Of a Connector, for customers; stays up.


class DeploymentStatus(enum.StrEnum):
    """Where a Deployment is."""

    DRAFT = "Draft"
    QUEUED = "Queued"
    DEPLOYING = "Deploying"
    DEPLOYED = "Deployed"
    FAILED = "Failed"
    UNDEPLOYING = "Undeploying"
    UNDEPLOY_FAILED = "UndeployFailed"


class ConfigurationValue(Wire, frozen=True, kw_only=True):
    """The value of an environment variable.

    Attributes:
        key: Name of the environment variable.
        value: Its value; of a secret, a mask.
    """

    key: str
    value: str


class RetryPolicy(Wire, frozen=True, kw_only=True):
    """How messages that an event application does not acknowledge are sent again.

    The fields and their bounds are those of connect.yaml.

    Attributes:
        strategy: `immediate` or `exponential-backoff`.
        min_backoff_seconds: The first wait, 1 to 600.
        max_backoff_seconds: The longest, 1 to 600.
        max_attempts: After how many attempts a message is a dead letter, 5 to 100.
    """

    strategy: str
    min_backoff_seconds: int | UnsetType = UNSET
    max_backoff_seconds: int | UnsetType = UNSET
    max_attempts: int | UnsetType = UNSET


class DeploymentConfigurationApplication(Wire, frozen=True, kw_only=True):
    """The values of one application's configuration.

    Attributes:
        application_name: Name of the application, as connect.yaml has it.
        standard_configuration: Values in plain text.
        secured_configuration: Values that are secrets.
        schedule: When a job runs, instead of what connect.yaml says.
        retry_policy: How messages of an event application are sent again, instead of what
            connect.yaml says.
    """

    application_name: ApplicationName
    standard_configuration: tuple[ConfigurationValue, ...] = ()
    secured_configuration: tuple[ConfigurationValue, ...] = ()
    schedule: str | UnsetType = UNSET
    retry_policy: RetryPolicy | UnsetType = UNSET


class DeploymentGlobalConfiguration(Wire, frozen=True, kw_only=True):
    """Values that all applications of a Deployment get.

    Attributes:
        standard_configuration: Values in plain text.
        secured_configuration: Values that are secrets.
    """

    standard_configuration: tuple[ConfigurationValue, ...] | UnsetType = UNSET
    secured_configuration: tuple[ConfigurationValue, ...] | UnsetType = UNSET


class DeploymentDraft(Wire, frozen=True, kw_only=True):
    """A Deployment that is wanted.

    Attributes:
        key: User-defined unique identifier.
        type: Left out, `preview` for a ConnectorStaged and `sandbox` for a Connector.
        connector: What is deployed.
        configurations: Values of the applications' configuration.
        global_configuration: Values that all applications get.
        region: Where it is deployed.
    """

    key: Key | UnsetType = UNSET
    type: DeploymentType | UnsetType = UNSET
    connector: ConnectorReference
    configurations: tuple[DeploymentConfigurationApplication, ...]
    global_configuration: DeploymentGlobalConfiguration | UnsetType = UNSET
    region: Region


class DeploymentConnector(Wire, frozen=True, kw_only=True):
    """The Connector as it was when it was deployed.

    Attributes:
        id: Its id.
        key: Its key.
        version: Its version; of a ConnectorStaged, that one's.
        name: Its name.
        description: What it does.
        integration_types: What it integrates.
        creator: Who developed it.
        repository: Where its source is.
        configurations: What its applications are configured by.
        global_configuration: What all its applications are configured by together.
        certified: Whether it is certified.
        supported_regions: Regions in which it can be deployed; if there are none, in every one.
        documentation_url: Address of its documentation.
    """

    id: Id
    key: Key | UnsetType = UNSET
    version: int
    name: str
    description: str | UnsetType = UNSET
    integration_types: tuple[IntegrationType, ...]
    creator: Creator
    repository: Repository
    configurations: tuple[ConnectorConfigurationApplication, ...] | UnsetType = UNSET
    global_configuration: ConnectorGlobalConfiguration | UnsetType = UNSET
    certified: bool
    supported_regions: tuple[Region, ...] | UnsetType = UNSET
    documentation_url: str | UnsetType = UNSET


class ApplicationDeployment(Wire, frozen=True, kw_only=True):
    """One application of a Deployment.

    Attributes:
        id: Unique identifier; it stays over redeploys.
        application_name: Its name.
        standard_configuration: Its values in plain text, defaults among them.
        secured_configuration: The keys of its secrets, each with a mask.
        url: Where it answers, its endpoint included; there once it was deployed.
        topic: Where an event application gets its messages from.
        schedule: When a job runs.
        retry_policy: How messages of an event application are sent again, where that is said.
    """

    id: Id
    application_name: ApplicationName
    standard_configuration: tuple[ConfigurationValue, ...]
    secured_configuration: tuple[ConfigurationValue, ...]
    url: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    schedule: str | UnsetType = UNSET
    retry_policy: RetryPolicy | UnsetType = UNSET


class DeploymentApiClient(Wire, frozen=True, kw_only=True):
    """The API Client that was made for a Deployment.

    Attributes:
        name: Its Client ID.
        scopes: What it may do.
    """

    name: str
    scopes: tuple[str, ...]


class DeploymentReportEntry(Wire, frozen=True, kw_only=True):
    """A step of a deployment that has ended.

    Attributes:
        type: How serious it is.
        title: What has ended, and how.
        message: More about it; of a failure the reason, the exit code and the last lines of output.
        application: Name of the application that it is about.
        created_at: When it ended.
    """

    type: ReportEntryType
    title: str
    message: str | UnsetType = UNSET
    application: str | UnsetType = UNSET
    created_at: str


class DeploymentReport(Wire, frozen=True, kw_only=True):
    """What happened in a deployment.

    Attributes:
        entries: One for each step, in the order in which they ended.
    """

    entries: tuple[DeploymentReportEntry, ...]


class DeploymentDetailsBuild(Wire, frozen=True, kw_only=True):
    """The latest deploy or redeploy.

    Attributes:
        id: Of this deploy.
        report: What happened in it.
    """

    id: Id
    report: DeploymentReport | UnsetType = UNSET


class DeploymentDetails(Wire, frozen=True, kw_only=True):
    """More about a Deployment.

    Attributes:
        build: The latest deploy or redeploy.
    """

    build: DeploymentDetailsBuild | UnsetType = UNSET


class Deployment(Wire, frozen=True, kw_only=True):
    """A Connector that is deployed.

    Attributes:
        id: Unique identifier: a UUID.
        key: User-defined unique identifier.
        version: Grows with every change.
        type: What it is for.
        connector: What is deployed.
        global_configuration: Values that all applications get; of secrets, masks.
        api_client: The API Client that was made for it.
        details: Its latest deploy, step by step.
        deployed_region: Where it is deployed.
        applications: Its applications.
        preview: Whether it is a preview.
        status: Where it is.
    """

    id: Id
    key: Key | UnsetType = UNSET
    version: int
    type: DeploymentType
    connector: DeploymentConnector
    global_configuration: DeploymentGlobalConfiguration | UnsetType = UNSET
    api_client: DeploymentApiClient | UnsetType = UNSET
    details: DeploymentDetails
    deployed_region: Region
    applications: tuple[ApplicationDeployment, ...]
    preview: bool
    status: DeploymentStatus


class DeploymentPagedQueryResponse(Wire, frozen=True, kw_only=True):
    """A page of Deployments.

    Attributes:
        offset: How many of those that match come before this page.
        limit: How many were asked for.
        total: How many match, whatever the page.
        count: How many are on this page.
        results: Those on this page.
    """

    offset: int
    limit: int
    total: int
    count: int
    results: tuple[Deployment, ...]


class Redeploy(Wire, frozen=True, kw_only=True, tag_field="action", tag="redeploy"):
    """Deploy again, with other values or another version of the Connector.

    Attributes:
        skip_scripts: Whether scripts are left out.
        configuration_values: New values; what is left out keeps its value.
        global_configuration: New values for all applications; what is left out keeps its value.
        update_connector: Whether the latest version of the Connector is taken.
    """

    skip_scripts: bool = False
    configuration_values: tuple[DeploymentConfigurationApplication, ...] = ()
    global_configuration: DeploymentGlobalConfiguration | UnsetType = UNSET
    update_connector: bool = False


class Rollback(Wire, frozen=True, kw_only=True, tag_field="action", tag="rollback"):
    """Bring an earlier release back, with everything that it had, without building.

    Attributes:
        release: Its number; it must have been deployed.
        skip_scripts: Whether scripts are left out.
    """

    #: The published contract lacks it.
    addition: ClassVar[bool] = True

    release: Annotated[int, Meta(ge=1)]
    skip_scripts: bool = False


class DeploymentUpdate(Wire, frozen=True, kw_only=True):
    """Update actions.

    Attributes:
        version: The version of the Deployment that they are meant for.
        actions: What to do: one redeploy, or one rollback.
    """

    version: int
    actions: tuple[Redeploy | Rollback, ...]
