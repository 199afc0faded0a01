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
    """Who developed the Connector."""

    title: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    email: str
    company: str | UnsetType = UNSET
    no_of_contributors: int | UnsetType = UNSET
    logo_url: str | UnsetType = UNSET
    support_url: str | UnsetType = UNSET


class Repository(Wire, frozen=True, kw_only=True):
    """The git repository that holds the Connect applications."""

    url: str
    tag: str


class StandardConfigurationKey(Wire, frozen=True, kw_only=True):
    """An environment variable whose value is kept in plain text."""

    key: str
    description: str
    required: bool | UnsetType = UNSET
    default: str | UnsetType = UNSET


class SecuredConfigurationKey(Wire, frozen=True, kw_only=True):
    """An environment variable whose value is a secret."""

    key: str
    description: str
    required: bool | UnsetType = UNSET


class ConnectorConfigurationApplication(Wire, frozen=True, kw_only=True):
    """The configuration of one Connect application, as connect.yaml declares it."""

    application_name: ApplicationName
    application_type: ApplicationType
    standard_configuration: tuple[StandardConfigurationKey, ...]
    secured_configuration: tuple[SecuredConfigurationKey, ...]


class ConnectorGlobalConfiguration(Wire, frozen=True, kw_only=True):
    """Configuration that is applied to all applications of a Deployment."""

    standard_configuration: tuple[StandardConfigurationKey, ...] | UnsetType = UNSET
    secured_configuration: tuple[SecuredConfigurationKey, ...] | UnsetType = UNSET


class ConnectorApiClient(Wire, frozen=True, kw_only=True):
    """The API Client that a Deployment generates for itself."""

    scopes: tuple[str, ...]


class ConnectorContent(Wire, frozen=True, kw_only=True):
    """What a Connector says of itself: everything but `id` and `version`.

    This is what a version of a Connector holds for ever.
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
    """A published Connector."""

    id: Id
    version: Annotated[int, Meta(ge=1, description="Current version of the Connector.")]


class ConnectorReference(Wire, frozen=True, kw_only=True):
    """A reference to a Connector or, with `staged`, to a previewable ConnectorStaged.

    Either `id` or `key` is required.
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
    """A page of Connectors; `total` counts all that match, whatever the page."""

    offset: int
    limit: int
    total: int
    count: int
    results: tuple[Connector, ...]
