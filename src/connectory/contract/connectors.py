"""Connector, ConnectorReference and ConnectorSearchPagedQueryResponse, and what they contain.

Source: RAML `types/connector/*.raml` and `types/common.raml`. Where the documentation page and
the RAML disagree (`required` and `default` on keys, `globalConfiguration`, `apiClient`), these
are the superset, with the RAML as judge (docs/decisions/0002-superset-of-page-and-raml.md).
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from connectory.contract.scalars import (
    ApplicationName,
    ApplicationType,
    Id,
    IntegrationType,
    Key,
    Region,
)


class Wire(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of everything on the wire: camelCase names, unset fields left out."""


class Creator(Wire, frozen=True, kw_only=True):
    """Who developed the Connector.

    Attributes:
        title: Title of the person who owns the Connector.
        name: Name of the person who owns the Connector.
        email: Contact e-mail address.
        company: Company that owns the Connector; search can filter by it.
        no_of_contributors: How many people work on it for the company.
        logo_url: Address of a logo.
        support_url: Address of the support website.
    """

    title: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    email: str
    company: str | UnsetType = UNSET
    no_of_contributors: int | UnsetType = UNSET
    logo_url: str | UnsetType = UNSET
    support_url: str | UnsetType = UNSET


class Repository(Wire, frozen=True, kw_only=True):
    """The git repository that holds the Connect applications.

    Attributes:
        url: HTTPS or SSH address; a private repository has an SSH address.
        tag: Git tag of the release.
    """

    url: str
    tag: str


class StandardConfigurationKey(Wire, frozen=True, kw_only=True):
    """An environment variable whose value is kept in plain text.

    Attributes:
        key: Name of the environment variable.
        description: What it is for.
        required: Whether a Deployment must give it a value; left out, it need not.
        default: The value where a Deployment gives none.
    """

    key: str
    description: str
    required: bool | UnsetType = UNSET
    default: str | UnsetType = UNSET


class SecuredConfigurationKey(Wire, frozen=True, kw_only=True):
    """An environment variable whose value is a secret.

    Attributes:
        key: Name of the environment variable.
        description: What it is for.
        required: Whether a Deployment must give it a value; left out, it need not.
    """

    key: str
    description: str
    required: bool | UnsetType = UNSET


class ConnectorConfigurationApplication(Wire, frozen=True, kw_only=True):
    """The configuration of one Connect application, as connect.yaml declares it.

    Attributes:
        application_name: Name of the application.
        application_type: Kind of the application.
        standard_configuration: Environment variables in plain text.
        secured_configuration: Environment variables that are secrets.
    """

    application_name: ApplicationName
    application_type: ApplicationType
    standard_configuration: tuple[StandardConfigurationKey, ...]
    secured_configuration: tuple[SecuredConfigurationKey, ...]


class ConnectorGlobalConfiguration(Wire, frozen=True, kw_only=True):
    """Configuration that is applied to all applications of a Deployment.

    Attributes:
        standard_configuration: Environment variables in plain text.
        secured_configuration: Environment variables that are secrets.
    """

    standard_configuration: tuple[StandardConfigurationKey, ...] | UnsetType = UNSET
    secured_configuration: tuple[SecuredConfigurationKey, ...] | UnsetType = UNSET


class ConnectorApiClient(Wire, frozen=True, kw_only=True):
    """The API Client that a Deployment generates for itself.

    Attributes:
        scopes: The scopes that it gets.
    """

    scopes: tuple[str, ...]


class ConnectorContent(Wire, frozen=True, kw_only=True):
    """What a Connector says of itself: everything but `id` and `version`.

    This is what a version of a Connector holds for ever.

    Attributes:
        key: User-defined unique identifier.
        name: Name of the Connector.
        description: What it does.
        integration_types: What it integrates; search can filter by it.
        creator: Who developed it.
        repository: Where its source is.
        configurations: What its applications are configured by.
        global_configuration: What all its applications are configured by together.
        api_client: The API Client that a Deployment generates for itself.
        private: Whether it exists only for the Project that created it and for those that it is
            assigned to.
        supported_regions: Regions in which it can be deployed; if there are none, in every one.
        certified: Whether it is certified.
        documentation_url: Address of its documentation.
    """

    key: Key | UnsetType = UNSET
    name: str
    description: str | UnsetType = UNSET
    integration_types: tuple[IntegrationType, ...]
    creator: Creator
    repository: Repository
    configurations: tuple[ConnectorConfigurationApplication, ...] | UnsetType = UNSET
    global_configuration: ConnectorGlobalConfiguration | UnsetType = UNSET
    api_client: ConnectorApiClient | UnsetType = UNSET
    private: bool
    supported_regions: tuple[Region, ...]
    certified: bool
    documentation_url: str | UnsetType = UNSET


class Connector(ConnectorContent, frozen=True, kw_only=True):
    """A published Connector.

    Attributes:
        id: Unique identifier: a UUID.
        version: Current version; every publish makes a new one.
    """

    id: Id
    version: Annotated[int, Meta(ge=1)]


class ConnectorReference(Wire, frozen=True, kw_only=True):
    """A reference to a Connector or, with `staged`, to a previewable ConnectorStaged.

    Either `id` or `key` is required.

    Attributes:
        id: Unique identifier of the Connector.
        key: User-defined unique identifier of the Connector.
        version: Version of the Connector.
        staged: Whether the ConnectorStaged is meant, not the published Connector.
    """

    id: Id | UnsetType = UNSET
    key: Key | UnsetType = UNSET
    version: int | UnsetType = UNSET
    staged: bool = False

    def __post_init__(self) -> None:
        """Refuse a reference to nothing.

        Raises:
            ValueError: neither `id` nor `key` is given.
        """
        if self.id is UNSET and self.key is UNSET:
            raise ValueError("a ConnectorReference needs `id` or `key`")


class ConnectorSearchPagedQueryResponse(Wire, frozen=True, kw_only=True):
    """A page of Connectors.

    Attributes:
        offset: How many of those that match come before this page.
        limit: How many were asked for.
        total: How many match, whatever the page.
        count: How many are on this page.
        results: The Connectors of this page.
    """

    offset: int
    limit: int
    total: int
    count: int
    results: tuple[Connector, ...]
