"""What a ConnectorStaged is, and how the API shows it.

It is changed by update actions (`actions`), by what the checks find, and by reviewers (`outcomes`).
(docs/decisions/0015-from-connectorstaged-to-connector.md)
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from connectory.contract import staged
from connectory.contract.connectors import (
    ConnectorApiClient,
    ConnectorConfigurationApplication,
    ConnectorContent,
    ConnectorGlobalConfiguration,
    Creator,
    Repository,
    Wire,
)
from connectory.contract.scalars import IntegrationType, Key, Region
from connectory.contract.staged import (
    ConnectorReportEntry,
    ConnectorStagedDraft,
    ConnectorStatus,
    IsPreviewable,
)
from connectory.kernel.clock import to_rfc3339

T = TypeVar("T")

Kind = Literal["preview", "publish"]


class Declared(Struct, frozen=True, kw_only=True):
    """What connect.yaml declares at a commit."""

    commit: str
    configurations: tuple[ConnectorConfigurationApplication, ...] = ()
    global_configuration: ConnectorGlobalConfiguration | UnsetType = UNSET
    api_client: ConnectorApiClient | UnsetType = UNSET


class Data(Wire, frozen=True, kw_only=True):
    """What of a ConnectorStaged becomes the Connector's when it is published."""

    key: Key | UnsetType = UNSET
    name: str
    description: str | UnsetType = UNSET
    integration_types: tuple[IntegrationType, ...]
    creator: Creator
    repository: Repository
    configurations: tuple[ConnectorConfigurationApplication, ...] = ()
    global_configuration: ConnectorGlobalConfiguration | UnsetType = UNSET
    api_client: ConnectorApiClient | UnsetType = UNSET
    supported_regions: tuple[Region, ...]
    documentation_url: str | UnsetType = UNSET

    def declaring(self, declared: Declared) -> "Data":
        """The same with what connect.yaml declares."""
        return replace(
            self,
            configurations=declared.configurations,
            global_configuration=declared.global_configuration,
            api_client=declared.api_client,
        )

    def connector(self, *, private: bool, certified: bool) -> ConnectorContent:
        """The Connector that this is published as."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return ConnectorContent(**fields, private=private, certified=certified)


class Request(Wire, frozen=True, kw_only=True):
    """A preview or publish request under way.

    Attributes:
        id: Of the request; the work that serves it carries it, so that the result of work that
            was overtaken is known as such.
        repository: What is to be checked.
        certification: Whether a publish is to be certified.
        waiting_for: The check or person whose turn it is.
        since: Since when: microseconds since 1970.
    """

    id: str
    repository: Repository
    certification: bool = False
    waiting_for: str
    since: int


class Listing(Wire, frozen=True, kw_only=True):
    """The Connector that was published.

    Attributes:
        version: Its version.
        data: What it was published with.
        certified: Whether this version is certified.
        listed: Whether it is found by search and can be deployed anew.
    """

    version: int
    data: Data
    certified: bool
    listed: bool


class Staged(Wire, frozen=True, kw_only=True):
    """A ConnectorStaged with all that is known of it.

    Attributes:
        project: The Project that it belongs to, as `region:projectKey`.
        commit: What the tag was when connect.yaml was last read.
        previewed: What a preview may run; none where it is not previewable.
        connector: What was published of it; none before.
        preview: The preview request under way, if one is.
        publish: The publish request under way, certification included, if one is.
        created_at: Microseconds since 1970.
        last_modified_at: Microseconds since 1970.
    """

    id: str
    project: str
    version: int
    data: Data
    commit: str
    private_projects: tuple[str, ...] = ()
    status: ConnectorStatus = ConnectorStatus.DRAFT
    is_previewable: IsPreviewable = IsPreviewable.NONE
    previewed: Declared | None = None
    connector: Listing | None = None
    preview: Request | None = None
    publish: Request | None = None
    publishing_report: tuple[ConnectorReportEntry, ...] | None = None
    previewable_report: tuple[ConnectorReportEntry, ...] | None = None
    comments: tuple[staged.CertificationInfoComment, ...] = ()
    created_at: int
    last_modified_at: int

    @property
    def key(self) -> str | None:
        """Its key, if it has one."""
        return None if self.data.key is UNSET else self.data.key

    @property
    def name(self) -> str:
        """How errors name it: `id=… or key=…`."""
        return f"id={self.id}" + (f" or key={self.key}" if self.key else "")

    @property
    def private(self) -> bool:
        """Whether it exists only for its Project and those that it is assigned to.

        It stops to be when a certified version of it is published.
        """
        return self.connector is None or not self.connector.certified

    @property
    def has_changes(self) -> bool:
        """Whether it differs from the Connector published from it."""
        return self.connector is not None and self.connector.data != self.data

    def later(self, now: int, **changes: Any) -> "Staged":
        """The same with changes, one version later; never earlier, whatever the clock says."""
        moment = max(now, self.last_modified_at)
        return replace(self, version=self.version + 1, last_modified_at=moment, **changes)


def created(
    draft: ConnectorStagedDraft, declared: Declared, *, id_: str, project: str, now: int
) -> Staged:
    """The ConnectorStaged of a draft, with what connect.yaml declares."""
    kinds = draft.integration_types
    data = Data(
        key=draft.key,
        name=draft.name,
        description=draft.description,
        integration_types=unique(kinds) if kinds else (IntegrationType.OTHER,),
        creator=draft.creator,
        repository=draft.repository,
        supported_regions=unique(draft.supported_regions),
        documentation_url=draft.documentation_url,
    )
    return Staged(
        id=id_,
        project=project,
        version=1,
        data=data.declaring(declared),
        commit=declared.commit,
        private_projects=unique(draft.private_projects),
        created_at=now,
        last_modified_at=now,
    )


def shown(subject: Staged) -> staged.ConnectorStaged:
    """A ConnectorStaged as the API shows it."""
    data = {name: getattr(subject.data, name) for name in Data.__struct_fields__}
    data["description"] = "" if subject.data.description is UNSET else subject.data.description
    request = subject.publish or subject.preview
    return staged.ConnectorStaged(
        id=subject.id,
        version=subject.version,
        **data,
        private=subject.private,
        private_projects=subject.private_projects,
        certification_info=staged.CertificationInfo(comments=subject.comments)
        if subject.comments
        else UNSET,
        status=subject.status,
        publishing_report=_report(subject.publishing_report),
        already_listed=subject.connector is not None and subject.connector.listed,
        has_changes=subject.has_changes,
        is_previewable=subject.is_previewable,
        previewable_report=_report(subject.previewable_report),
        waiting_for=UNSET
        if request is None
        else staged.WaitingFor(what=request.waiting_for, since=to_rfc3339(request.since)),
    )


def unique(values: Iterable[T]) -> tuple[T, ...]:
    """Each value once, in the order of their first appearance."""
    return tuple(dict.fromkeys(values))


def _report(
    entries: tuple[ConnectorReportEntry, ...] | None,
) -> staged.ConnectorReport | UnsetType:
    return UNSET if entries is None else staged.ConnectorReport(entries=entries)
