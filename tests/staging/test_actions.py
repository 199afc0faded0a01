"""Update actions and outcomes on a ConnectorStaged, without database and HTTP."""

from typing import Any

import pytest
from msgspec import UNSET

from connectory.contract import errors, staged
from connectory.contract.connectors import Repository
from connectory.contract.scalars import IntegrationType, Region
from connectory.contract.staged import ConnectorStatus, IsPreviewable, UpdateAction
from connectory.kernel.transitions import NoTransition
from connectory.staging import outcomes
from connectory.staging.actions import repositories
from connectory.staging.model import Staged, shown
from tests.staging.examples import NEXT, REPOSITORY, applied, declared
from tests.staging.examples import staged as example

PUBLISH = staged.Publish(certification=False)
CERTIFY = staged.Publish(certification=True)
PREVIEW = staged.UpdatePreviewable()


def published(subject: Staged, *, certified: bool = False) -> Staged:
    if not certified:
        return outcomes.passed(applied(subject, PUBLISH), "publish", declared(), 3)
    return outcomes.approved(in_certification(subject), 5)


def in_certification(subject: Staged) -> Staged:
    ready = outcomes.passed(applied(subject, CERTIFY), "publish", declared(), 3)
    return outcomes.taken(ready, "operator:ann", 4)


# What is set


@pytest.mark.parametrize(
    ("action", "field", "value"),
    [
        (staged.SetName(name="New"), "name", "New"),
        (staged.SetDescription(description="New"), "description", "New"),
        (
            staged.SetDocumentationUrl(documentation_url="https://a"),
            "documentation_url",
            "https://a",
        ),
        (
            staged.SetIntegrationTypes(integration_types=(IntegrationType.PSP,) * 2),
            "integration_types",
            (IntegrationType.PSP,),
        ),
        (
            staged.SetSupportedRegions(regions=(Region.US_EAST_2_AWS,)),
            "supported_regions",
            (Region.US_EAST_2_AWS,),
        ),
        (staged.SetCreatorName(creator_name="Ann"), "creator.name", "Ann"),
        (staged.SetCreatorTitle(creator_title="Dr"), "creator.title", "Dr"),
        (staged.SetCreatorEmail(creator_email="a@b.example"), "creator.email", "a@b.example"),
        (staged.SetCreatorCompany(creator_company="Acme"), "creator.company", "Acme"),
        (staged.SetCreatorLogo(logo_url="https://l"), "creator.logo_url", "https://l"),
        (
            staged.SetCreatorSupportUrl(creator_support_url="https://s"),
            "creator.support_url",
            "https://s",
        ),
        (
            staged.SetCreatorNoOfContributors(creator_no_of_contributors=7),
            "creator.no_of_contributors",
            7,
        ),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, staged.Action) else "",
)
def test_an_action_sets_its_field_and_nothing_else(
    action: UpdateAction, field: str, value: Any
) -> None:
    before = example()
    after = applied(before, action)
    found: Any = after.data
    for name in field.split("."):
        found = getattr(found, name)
    assert found == value
    changed = [n for n in Staged.__struct_fields__ if getattr(before, n) != getattr(after, n)]
    assert changed == ["version", "data", "last_modified_at"]
    top = field.partition(".")[0]
    names = [n for n in type(after.data).__struct_fields__ if n != top]
    assert all(getattr(before.data, n) == getattr(after.data, n) for n in names)


def test_a_list_of_actions_costs_one_version() -> None:
    after = applied(example(), staged.SetName(name="A"), staged.SetDescription(description="B"))
    assert (after.version, after.data.name, after.data.description) == (2, "A", "B")


def test_time_never_runs_backwards() -> None:
    after = applied(applied(example(), staged.SetName(name="A"), now=10), now=5)
    assert after.last_modified_at == 10


def test_another_repository_brings_its_configuration_and_needs_a_new_preview() -> None:
    previewed = outcomes.passed(applied(example(), PREVIEW), "preview", declared(), 3)
    assert previewed.is_previewable is IsPreviewable.TRUE
    after = applied(previewed, staged.SetRepository(url=NEXT.url, tag=NEXT.tag))
    assert after.data.repository == NEXT
    assert after.data.configurations[0].application_name == "other"
    assert after.commit == "b" * 40
    assert (after.is_previewable, after.previewed) == (IsPreviewable.NONE, None)


def test_a_repository_without_url_keeps_the_one_that_is_set() -> None:
    after = applied(example(), staged.SetRepository(url=UNSET, tag="v2.0.0"))
    assert after.data.repository == NEXT


# Requests


def test_a_preview_is_pending_until_its_checks_have_passed_or_failed() -> None:
    pending = applied(example(), PREVIEW)
    assert shown(pending).is_previewable is IsPreviewable.PENDING
    assert shown(pending).waiting_for != UNSET
    granted = outcomes.passed(pending, "preview", declared(commit="c" * 40), 3)
    assert (granted.is_previewable, granted.version) == (IsPreviewable.TRUE, 3)
    assert granted.previewed is not None
    assert granted.previewed.commit == "c" * 40
    assert outcomes.failed(pending, "preview", 3).is_previewable is IsPreviewable.FALSE
    assert outcomes.cancelled(pending, "preview", 3).is_previewable is IsPreviewable.NONE


def test_a_second_preview_request_is_refused_while_one_is_under_way() -> None:
    with pytest.raises(errors.ConnectorStagedPreviewRequestUnderProcess):
        applied(applied(example(), PREVIEW), PREVIEW)


def test_a_preview_that_was_overtaken_by_another_repository_serves_no_more() -> None:
    pending = applied(example(), PREVIEW)
    assert pending.preview is not None
    after = applied(pending, staged.SetRepository(url=UNSET, tag="v2.0.0"))
    assert outcomes.serves(pending, "preview", pending.preview.id)
    assert not outcomes.serves(after, "preview", pending.preview.id)


def test_a_private_publish_makes_a_connector_and_the_next_one_its_next_version() -> None:
    first = published(example())
    assert (first.status, first.private) == (ConnectorStatus.PUBLISHED, True)
    assert first.connector is not None
    assert (first.connector.version, first.connector.certified) == (1, False)
    assert shown(first).already_listed
    second = published(first)
    assert second.connector is not None
    assert second.connector.version == 2


def test_what_is_published_is_what_the_checks_saw() -> None:
    processing = applied(example(), PUBLISH)
    after = outcomes.passed(processing, "publish", declared("moved", "d" * 40), 3)
    assert after.connector is not None
    assert after.connector.data.configurations[0].application_name == "moved"
    assert after.commit == "d" * 40
    assert not after.has_changes


def test_a_certified_connector_is_public_and_a_private_one_cannot_take_its_place() -> None:
    certified = published(example(), certified=True)
    assert not certified.private
    with pytest.raises(errors.ConnectorStagedNotPrivate):
        applied(certified, staged.AddPrivateProject(private_project="europe-west1.gcp:other"))
    with pytest.raises(errors.CertificationRequired):
        applied(certified, PUBLISH)


def test_there_is_nothing_to_certify_where_nothing_has_changed() -> None:
    certified = published(example(), certified=True)
    with pytest.raises(errors.ConnectorAlreadyCertified):
        applied(certified, CERTIFY)
    changed = applied(certified, staged.SetName(name="New"))
    assert applied(changed, CERTIFY).status is ConnectorStatus.PROCESSING
    unlisted = applied(certified, staged.Unlist())
    assert applied(unlisted, CERTIFY).status is ConnectorStatus.PROCESSING


def test_a_rejected_one_goes_back_with_the_comment_and_can_be_published_again() -> None:
    rejected = outcomes.rejected(in_certification(example()), "operator:ann", "No licence", 5)
    assert rejected.status is ConnectorStatus.FAILED
    assert rejected.comments[-1].comment == "No licence"
    assert rejected.comments[-1].user_id == "operator:ann"
    assert rejected.publish is None
    assert applied(rejected, CERTIFY).status is ConnectorStatus.PROCESSING


def test_the_creator_sees_whose_turn_it_is() -> None:
    processing = applied(example(), CERTIFY, now=2)
    ready = outcomes.passed(processing, "publish", declared(), 3)
    taken = outcomes.taken(ready, "operator:ann", 4)
    told = [shown(each).waiting_for for each in (processing, ready, taken)]
    assert [each.what for each in told if each is not UNSET] == [
        "a worker",
        "a reviewer",
        "operator:ann",
    ]
    assert shown(outcomes.approved(taken, 5)).waiting_for is UNSET


# What is under way is not disturbed

ALL_ACTIONS: list[UpdateAction] = [
    staged.SetName(name="A"),
    staged.SetDescription(description="A"),
    staged.SetDocumentationUrl(documentation_url="A"),
    staged.SetIntegrationTypes(integration_types=()),
    staged.SetSupportedRegions(regions=(Region.US_EAST_2_AWS,)),
    staged.SetCreatorName(creator_name="A"),
    staged.SetCreatorTitle(creator_title="A"),
    staged.SetCreatorEmail(creator_email="A"),
    staged.SetCreatorCompany(creator_company="A"),
    staged.SetCreatorLogo(logo_url="A"),
    staged.SetCreatorSupportUrl(creator_support_url="A"),
    staged.SetCreatorNoOfContributors(creator_no_of_contributors=1),
    staged.SetRepository(url=REPOSITORY.url, tag=REPOSITORY.tag),
    staged.AddPrivateProject(private_project="europe-west1.gcp:other"),
    staged.RemovePrivateProject(private_project="europe-west1.gcp:other"),
    PREVIEW,
    PUBLISH,
    CERTIFY,
    staged.Unlist(),
]


def test_the_list_has_all_actions_but_comments() -> None:
    missing = set(UpdateAction.__args__) - {type(action) for action in ALL_ACTIONS}
    assert missing == {staged.AddCertificationComment}
    assert len(UpdateAction.__args__) == 19


@pytest.mark.parametrize("action", ALL_ACTIONS, ids=lambda each: type(each).__name__)
def test_while_a_publish_or_certification_is_under_way_only_comments_are_taken(
    action: UpdateAction,
) -> None:
    processing = applied(example(), CERTIFY)
    ready = outcomes.passed(processing, "publish", declared(), 3)
    for subject in (processing, ready, outcomes.taken(ready, "operator:ann", 4)):
        expected: type[errors.ApiError] = errors.ConnectorStagedInProcess
        if action == CERTIFY:
            expected = errors.ConnectorStagedInCertification
        with pytest.raises(expected):
            applied(subject, action)
        commented = applied(subject, staged.AddCertificationComment(comment="Please"))
        assert commented.comments[-1].comment == "Please"
        assert commented.status is subject.status


def test_a_list_with_one_impossible_action_changes_nothing() -> None:
    before = example()
    with pytest.raises(errors.ConnectorNotListed):
        applied(before, staged.SetName(name="New"), staged.Unlist())
    assert before == example()


@pytest.mark.parametrize("review", [outcomes.approved, outcomes.taken])
def test_a_review_of_what_is_not_in_review_is_refused(review: Any) -> None:
    with pytest.raises(NoTransition):
        review(example(), *(["ann"] if review is outcomes.taken else []), 3)


def test_has_changes_tells_whether_the_connector_differs() -> None:
    draft = applied(example(), staged.SetName(name="New"))
    assert not draft.has_changes, "there is no Connector to differ from"
    done = published(draft)
    assert not done.has_changes
    changed = applied(done, staged.SetName(name="Newer"))
    assert changed.has_changes
    assert not applied(changed, staged.SetName(name="New")).has_changes


def test_unlisting_ends_the_listing_and_publishing_begins_it_again() -> None:
    done = published(example())
    unlisted = applied(done, staged.Unlist())
    assert not shown(unlisted).already_listed
    with pytest.raises(errors.ConnectorNotListed):
        applied(unlisted, staged.Unlist())
    assert shown(published(unlisted)).already_listed


def test_projects_are_assigned_once_and_taken_away() -> None:
    other = "europe-west1.gcp:other"
    add, remove = (
        staged.AddPrivateProject(private_project=other),
        staged.RemovePrivateProject(private_project=other),
    )
    assert applied(example(), add, add).private_projects == (other,)
    assert applied(example(), add, remove, remove).private_projects == ()


def test_a_repository_is_read_once_however_often_it_is_set() -> None:
    twice = (staged.SetRepository(url=NEXT.url, tag="v2.0.0"), staged.SetRepository(tag="v2.0.0"))
    assert repositories(example(), twice) == (Repository(url=NEXT.url, tag="v2.0.0"),)
