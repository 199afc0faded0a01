"""ConnectorStaged, its draft, its 19 update actions, its reports.

Source: RAML `types/connector/ConnectorStaged*.raml`, `types/connector/updates/*.raml` and
`types/common.raml`. Fields that the contract does not know are ignored, as the hosted platform
does; an unknown action is a fault.
"""

import enum
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from connectory.contract.connectors import (
    ConnectorApiClient,
    ConnectorConfigurationApplication,
    ConnectorGlobalConfiguration,
    Creator,
    Repository,
    Wire,
)
from connectory.contract.scalars import Id, IntegrationType, Key, ProjectIdentifier, Region


class ConnectorStatus(enum.StrEnum):
    """Where a ConnectorStaged is on its way to a Connector."""

    DRAFT = "Draft"
    PROCESSING = "Processing"
    READY_FOR_CERTIFICATION = "ReadyForCertification"
    IN_CERTIFICATION = "InCertification"
    PUBLISHED = "Published"
    FAILED = "Failed"


class IsPreviewable(enum.StrEnum):
    """Whether a ConnectorStaged can be deployed for a preview."""

    NONE = "none"
    PENDING = "pending"
    TRUE = "true"
    FALSE = "false"


class ReportEntryType(enum.StrEnum):
    """How serious a report entry is."""

    INFORMATION = "Information"
    WARNING = "Warning"
    ERROR = "Error"


class ConnectorReportEntry(Wire, frozen=True, kw_only=True):
    """What one check found.

    Attributes:
        type: How serious it is; an Error ends the request that the report is of.
        title: Which check it is of, and how that ended.
        message: What was found, where, and what to do.
        created_at: When the check ended.
    """

    type: ReportEntryType
    title: str
    message: str | UnsetType = UNSET
    created_at: str


class ConnectorReport(Wire, frozen=True, kw_only=True):
    """What the checks of a preview or publish request found.

    Attributes:
        entries: One for each check that has ended, in order.
    """

    entries: tuple[ConnectorReportEntry, ...]


class CertificationInfoComment(Wire, frozen=True, kw_only=True):
    """A comment of the certification.

    Attributes:
        user_id: Key of the Project whose member wrote it; of a reviewer, `operator:{name}` or
            `command:{login name}`.
        datetime: When it was written (UTC).
        comment: What it says.
    """

    user_id: str
    datetime: str
    comment: str


class CertificationInfo(Wire, frozen=True, kw_only=True):
    """What was said during the certification.

    Attributes:
        comments: The comments, oldest first.
    """

    comments: tuple[CertificationInfoComment, ...]


class WaitingFor(Wire, frozen=True, kw_only=True):
    """What a request under way waits for.

    Attributes:
        what: The check that runs or is queued, or the person whose turn it is.
        since: Since when.
    """

    what: str
    since: str


class ConnectorStagedDraft(Wire, frozen=True, kw_only=True):
    """What a ConnectorStaged is created from.

    Attributes:
        key: User-defined unique identifier, for the Connector too.
        name: Name of the Connector.
        description: What it does.
        integration_types: What it integrates; left out, `other`.
        creator: Who develops it.
        repository: Where its source is.
        supported_regions: Regions in which it can be deployed; if there are none, in every one.
        private_projects: Projects for which the Connector exists while it is private.
        documentation_url: Address of its documentation.
    """

    key: Key | UnsetType = UNSET
    name: str
    description: str | UnsetType = UNSET
    integration_types: tuple[IntegrationType, ...] | UnsetType = UNSET
    creator: Creator
    repository: Repository
    supported_regions: tuple[Region, ...] = ()
    private_projects: tuple[ProjectIdentifier, ...] = ()
    documentation_url: str | UnsetType = UNSET


class ConnectorStaged(Wire, frozen=True, kw_only=True):
    """A Connector in the making, and what becomes of it.

    Attributes:
        id: Unique identifier: a UUID, the same as that of the Connector published from it.
        key: User-defined unique identifier, the same as that of the Connector.
        version: Current version: of the ConnectorStaged, not of the Connector.
        name: Name of the Connector.
        description: What it does.
        integration_types: What it integrates.
        creator: Who develops it.
        repository: Where its source is.
        configurations: What its applications are configured by, as connect.yaml has it.
        global_configuration: What all of them are configured by together.
        api_client: The API Client that a Deployment generates for itself.
        private: Whether the Connector exists only for its owner and `privateProjects`.
        private_projects: Projects for which the Connector exists while it is private.
        supported_regions: Regions in which it can be deployed; if there are none, in every one.
        certification_info: What was said during the certification.
        status: Where it is on its way.
        publishing_report: What the checks of the newest publish request found.
        already_listed: Whether the Connector is published and ready for use.
        has_changes: Whether it differs from the Connector published from it.
        is_previewable: Whether it can be deployed for a preview.
        previewable_report: What the checks of the newest preview request found.
        documentation_url: Address of its documentation.
        waiting_for: Not in the published contract: what a request under way waits for.
    """

    id: Id
    key: Key | UnsetType = UNSET
    version: Annotated[int, Meta(ge=1)]
    name: str
    description: str
    integration_types: tuple[IntegrationType, ...]
    creator: Creator
    repository: Repository
    configurations: tuple[ConnectorConfigurationApplication, ...]
    global_configuration: ConnectorGlobalConfiguration | UnsetType = UNSET
    api_client: ConnectorApiClient | UnsetType = UNSET
    private: bool
    private_projects: tuple[ProjectIdentifier, ...]
    supported_regions: tuple[Region, ...]
    certification_info: CertificationInfo | UnsetType = UNSET
    status: ConnectorStatus
    publishing_report: ConnectorReport | UnsetType = UNSET
    already_listed: bool
    has_changes: bool
    is_previewable: IsPreviewable
    previewable_report: ConnectorReport | UnsetType = UNSET
    documentation_url: str | UnsetType = UNSET
    waiting_for: WaitingFor | UnsetType = UNSET


class ConnectorStagedPagedQueryResponse(Wire, frozen=True, kw_only=True):
    """A page of ConnectorStaged.

    Attributes:
        offset: How many of those that match come before this page.
        limit: How many were asked for.
        total: How many match, whatever the page.
        count: How many are on this page.
        results: The ConnectorStaged of this page.
    """

    offset: int
    limit: int
    total: int
    count: int
    results: tuple[ConnectorStaged, ...]


class Action(Wire, frozen=True, kw_only=True, tag_field="action"):
    """Base of the update actions, told apart by `action`."""


class SetName(Action, frozen=True, kw_only=True, tag="setName"):
    """Sets the name of the Connector.

    Attributes:
        name: The new name.
    """

    name: str


class SetDescription(Action, frozen=True, kw_only=True, tag="setDescription"):
    """Sets the description of the Connector.

    Attributes:
        description: The new description.
    """

    description: str


class SetDocumentationUrl(Action, frozen=True, kw_only=True, tag="setDocumentationUrl"):
    """Sets the address of the documentation.

    Attributes:
        documentation_url: The new address.
    """

    documentation_url: str


class SetIntegrationTypes(Action, frozen=True, kw_only=True, tag="setIntegrationTypes"):
    """Sets what the Connector integrates.

    Attributes:
        integration_types: What it integrates; search can filter by it.
    """

    integration_types: tuple[IntegrationType, ...]


class SetSupportedRegions(Action, frozen=True, kw_only=True, tag="setSupportedRegions"):
    """Sets the regions in which the Connector can be deployed.

    Attributes:
        regions: The new Regions, at least one.
    """

    regions: Annotated[tuple[Region, ...], Meta(min_length=1)]


class SetCreatorName(Action, frozen=True, kw_only=True, tag="setCreatorName"):
    """Sets the name of the creator.

    Attributes:
        creator_name: The new name.
    """

    creator_name: str


class SetCreatorTitle(Action, frozen=True, kw_only=True, tag="setCreatorTitle"):
    """Sets the title of the creator.

    Attributes:
        creator_title: The new title.
    """

    creator_title: str


class SetCreatorEmail(Action, frozen=True, kw_only=True, tag="setCreatorEmail"):
    """Sets the e-mail address of the creator.

    Attributes:
        creator_email: The new e-mail address.
    """

    creator_email: str


class SetCreatorCompany(Action, frozen=True, kw_only=True, tag="setCreatorCompany"):
    """Sets the company of the creator.

    Attributes:
        creator_company: The new company.
    """

    creator_company: str


class SetCreatorLogo(Action, frozen=True, kw_only=True, tag="setCreatorLogo"):
    """Sets the address of the creator's logo.

    Attributes:
        logo_url: The new address.
    """

    logo_url: str


class SetCreatorSupportUrl(Action, frozen=True, kw_only=True, tag="setCreatorSupportUrl"):
    """Sets the address of the creator's support website.

    Attributes:
        creator_support_url: The new address.
    """

    creator_support_url: str


class SetCreatorNoOfContributors(
    Action, frozen=True, kw_only=True, tag="setCreatorNoOfContributors"
):
    """Sets how many people work on the Connector.

    Attributes:
        creator_no_of_contributors: The new number, at least 1.
    """

    creator_no_of_contributors: Annotated[int, Meta(ge=1)]


class SetRepository(Action, frozen=True, kw_only=True, tag="setRepository"):
    """Sets where the source is, and reads connect.yaml anew.

    The contract requires `url`; the official CLI leaves it out, which keeps the one that is set.

    Attributes:
        url: HTTPS or SSH address; left out, the one that is set.
        tag: Git tag of the release.
    """

    url: str | UnsetType = UNSET
    tag: str


class AddPrivateProject(Action, frozen=True, kw_only=True, tag="addPrivateProject"):
    """Lets the private Connector exist for one more Project.

    Attributes:
        private_project: The Project, as `{region}:{projectKey}`.
    """

    private_project: ProjectIdentifier


class RemovePrivateProject(Action, frozen=True, kw_only=True, tag="removePrivateProject"):
    """Lets the private Connector no longer exist for a Project.

    Attributes:
        private_project: The Project, as `{region}:{projectKey}`.
    """

    private_project: ProjectIdentifier


class UpdatePreviewable(Action, frozen=True, kw_only=True, tag="updatePreviewable"):
    """Requests that the ConnectorStaged can be deployed for a preview.

    Attributes:
        certification: Whether the Connector is to be certified and public; else it is private.
    """


class Publish(Action, frozen=True, kw_only=True, tag="publish"):
    """Starts the publishing: for the public after a certification, or privately without one.

    Attributes:
        certification: Whether the Connector is to be certified and public; else it is private.
    """

    certification: bool


class AddCertificationComment(Action, frozen=True, kw_only=True, tag="addCertificationComment"):
    """Adds a comment to the certification.

    Attributes:
        comment: What it says.
    """

    comment: str


class Unlist(Action, frozen=True, kw_only=True, tag="unlist"):
    """Takes the Connector out of search and of new Deployments; those that run go on."""


UpdateAction = (
    SetName
    | SetDescription
    | SetDocumentationUrl
    | SetIntegrationTypes
    | SetSupportedRegions
    | SetCreatorName
    | SetCreatorTitle
    | SetCreatorEmail
    | SetCreatorCompany
    | SetCreatorLogo
    | SetCreatorSupportUrl
    | SetCreatorNoOfContributors
    | SetRepository
    | AddPrivateProject
    | RemovePrivateProject
    | UpdatePreviewable
    | Publish
    | AddCertificationComment
    | Unlist
)


class ConnectorUpdate(Wire, frozen=True, kw_only=True):
    """Update actions, to be applied all or none.

    Attributes:
        version: The version of the ConnectorStaged that they are meant for.
        actions: What to do, in order.
    """

    version: int
    actions: tuple[UpdateAction, ...]
