"""The 19 update actions of a ConnectorStaged, as pure functions.

Source: RAML `types/connector/updates/*.raml`. What is under way is not disturbed: while a publish
request or a certification is, only comments are taken.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from connectory.contract import errors, staged
from connectory.contract.connectors import Repository
from connectory.contract.staged import UpdateAction
from connectory.kernel.transitions import NoTransition
from connectory.staging.model import Data, Declared, Request, Staged, unique
from connectory.staging.outcomes import commented
from connectory.staging.transitions import PREVIEWABLE, STATUS, PreviewEvent, StatusEvent

#: What a request waits for before its first check begins.
QUEUED: Final = "a worker"


class Acting(Struct, frozen=True, kw_only=True):
    """Who applies update actions, when, and with what knowledge.

    Attributes:
        actor: Who acts, for the audit log.
        project_key: Of whoever acts: comments are theirs.
        now: Microseconds since 1970.
        new_id: Makes the id of a request.
        declared: What connect.yaml declares in each of `repositories`.
    """

    actor: str
    project_key: str
    now: int
    new_id: Callable[[], str]
    declared: Mapping[Repository, Declared]


def repositories(subject: Staged, actions: Sequence[UpdateAction]) -> tuple[Repository, ...]:
    """The repositories whose connect.yaml `apply` needs to know."""
    found = []
    url = subject.data.repository.url
    for action in actions:
        if isinstance(action, staged.SetRepository):
            url = url if action.url is UNSET else action.url
            found.append(Repository(url=url, tag=action.tag))
    return unique(found)


def apply(subject: Staged, actions: Sequence[UpdateAction], acting: Acting) -> Staged:
    """A ConnectorStaged after all actions, one version later.

    Raises:
        ApiError: an action is not possible; the contract's error of it.
    """
    after = subject
    for action in actions:
        after = _after(after, action, acting)
    return after.later(acting.now)


def _after(subject: Staged, action: UpdateAction, acting: Acting) -> Staged:
    if isinstance(action, staged.AddCertificationComment):
        return commented(subject, acting.project_key, action.comment, acting.now)
    if isinstance(action, staged.Publish):
        return _publish_requested(subject, action, acting)
    if not STATUS.allows(subject.status, StatusEvent.EDITED):
        raise errors.ConnectorStagedInProcess(subject.name, subject.status)
    return _changed(subject, action, acting)


def _changed(subject: Staged, action: UpdateAction, acting: Acting) -> Staged:
    if isinstance(action, staged.SetRepository):
        return _repository_set(subject, action, acting)
    if isinstance(action, staged.UpdatePreviewable):
        return _preview_requested(subject, acting)
    if isinstance(action, staged.Unlist):
        return _unlisted(subject)
    if isinstance(action, staged.AddPrivateProject | staged.RemovePrivateProject):
        return _assigned(subject, action)
    return replace(subject, data=_edited(subject.data, action))


def _edited(data: Data, action: UpdateAction) -> Data:
    """The data after an action that sets one of its fields."""
    fields = {name: _value(getattr(action, name)) for name in action.__struct_fields__}
    of_creator = {_OF_CREATOR[name]: value for name, value in fields.items() if name in _OF_CREATOR}
    if of_creator:
        return replace(data, creator=replace(data.creator, **of_creator))
    return replace(data, **{_OF_DATA.get(name, name): value for name, value in fields.items()})


#: The field of an action → the field of the creator that it sets.
_OF_CREATOR: Final[Mapping[str, str]] = {
    "creator_name": "name",
    "creator_title": "title",
    "creator_email": "email",
    "creator_company": "company",
    "logo_url": "logo_url",
    "creator_support_url": "support_url",
    "creator_no_of_contributors": "no_of_contributors",
}
#: The field of an action → the field of the data that it sets, where their names differ.
_OF_DATA: Final[Mapping[str, str]] = {"regions": "supported_regions"}


def _value(given: Any) -> Any:
    return unique(given) if isinstance(given, tuple) else given


def _repository_set(subject: Staged, action: staged.SetRepository, acting: Acting) -> Staged:
    url = subject.data.repository.url if action.url is UNSET else action.url
    repository = Repository(url=url, tag=action.tag)
    declared = acting.declared[repository]
    return replace(
        subject,
        data=replace(subject.data, repository=repository).declaring(declared),
        commit=declared.commit,
        is_previewable=PREVIEWABLE.after(subject.is_previewable, PreviewEvent.REPOSITORY_SET),
        previewed=None,
        preview=None,
    )


def _preview_requested(subject: Staged, acting: Acting) -> Staged:
    try:
        state = PREVIEWABLE.after(subject.is_previewable, PreviewEvent.PREVIEW_REQUESTED)
    except NoTransition:
        raise errors.ConnectorStagedPreviewRequestUnderProcess from None
    return replace(
        subject,
        is_previewable=state,
        previewed=None,
        preview=_new_request(subject, acting),
        previewable_report=(),
    )


def _publish_requested(subject: Staged, action: staged.Publish, acting: Acting) -> Staged:
    under_way, connector = subject.publish, subject.connector
    if under_way is not None:
        if action.certification and under_way.certification:
            raise errors.ConnectorStagedInCertification
        raise errors.ConnectorStagedInProcess(subject.name, subject.status)
    if connector is not None and connector.certified:
        if not action.certification:
            raise errors.CertificationRequired
        if connector.listed and not subject.has_changes:
            raise errors.ConnectorAlreadyCertified
    return replace(
        subject,
        status=STATUS.after(subject.status, StatusEvent.PUBLISH_REQUESTED),
        publish=_new_request(subject, acting, certification=action.certification),
        publishing_report=(),
    )


def _new_request(subject: Staged, acting: Acting, *, certification: bool = False) -> Request:
    return Request(
        id=acting.new_id(),
        repository=subject.data.repository,
        certification=certification,
        waiting_for=QUEUED,
        since=acting.now,
    )


def _unlisted(subject: Staged) -> Staged:
    if subject.connector is None or not subject.connector.listed:
        raise errors.ConnectorNotListed(subject.name)
    return replace(subject, connector=replace(subject.connector, listed=False))


def _assigned(
    subject: Staged, action: staged.AddPrivateProject | staged.RemovePrivateProject
) -> Staged:
    if not subject.private:
        raise errors.ConnectorStagedNotPrivate(subject.name)
    projects: Iterable[str] = (*subject.private_projects, action.private_project)
    if isinstance(action, staged.RemovePrivateProject):
        projects = (each for each in projects if each != action.private_project)
    return replace(subject, private_projects=unique(projects))
