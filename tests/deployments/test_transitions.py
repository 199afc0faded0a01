"""The state machine of a Deployment: every state with every event, and what becomes of it."""

import pytest

from connectory.contract.deployments import DeploymentStatus as S
from connectory.contract.errors import DeploymentInvalidStatusTransition
from connectory.deployments import model
from connectory.deployments.model import Deployment
from connectory.deployments.transitions import STATUS
from connectory.deployments.transitions import DeploymentEvent as E
from connectory.kernel.transitions import NoTransition
from tests.conftest import ROOT
from tests.deployments.examples import deployment

#: What the documentation says, written down once more: all that is not here cannot be.
STEPS = {
    (S.DRAFT, E.DEPLOY_REQUESTED): S.DEPLOYING,
    (S.DEPLOYED, E.DEPLOY_REQUESTED): S.DEPLOYING,
    (S.FAILED, E.DEPLOY_REQUESTED): S.DEPLOYING,
    (S.UNDEPLOY_FAILED, E.DEPLOY_REQUESTED): S.DEPLOYING,
    (S.DRAFT, E.DEPLOY_QUEUED): S.QUEUED,
    (S.DEPLOYED, E.DEPLOY_QUEUED): S.QUEUED,
    (S.FAILED, E.DEPLOY_QUEUED): S.QUEUED,
    (S.UNDEPLOY_FAILED, E.DEPLOY_QUEUED): S.QUEUED,
    (S.QUEUED, E.DEPLOY_ADMITTED): S.DEPLOYING,
    (S.DEPLOYING, E.DEPLOY_SUCCEEDED): S.DEPLOYED,
    (S.DEPLOYING, E.DEPLOY_FAILED): S.FAILED,
    (S.QUEUED, E.DEPLOY_FAILED): S.FAILED,
    (S.DRAFT, E.UNDEPLOY_REQUESTED): S.UNDEPLOYING,
    (S.QUEUED, E.UNDEPLOY_REQUESTED): S.UNDEPLOYING,
    (S.DEPLOYING, E.UNDEPLOY_REQUESTED): S.UNDEPLOYING,
    (S.DEPLOYED, E.UNDEPLOY_REQUESTED): S.UNDEPLOYING,
    (S.FAILED, E.UNDEPLOY_REQUESTED): S.UNDEPLOYING,
    (S.UNDEPLOY_FAILED, E.UNDEPLOY_REQUESTED): S.UNDEPLOYING,
    (S.UNDEPLOYING, E.UNDEPLOY_FAILED): S.UNDEPLOY_FAILED,
}


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("event", E)
def test_every_event_leads_from_every_state_to_where_it_should(state: S, event: E) -> None:
    expected = STEPS.get((state, event))
    assert STATUS.allows(state, event) == (expected is not None)
    if expected is None:
        with pytest.raises(NoTransition):
            STATUS.after(state, event)
    else:
        assert STATUS.after(state, event) is expected


def requested(before: Deployment, *, held: bool = False) -> Deployment:
    return model.requested(before, "r1", 5, actor="client:c", held=held, skip_scripts=False)


def test_a_deploy_is_under_way_from_its_acceptance() -> None:
    found = requested(deployment())
    assert (found.status, found.version, found.releases, found.build) == (S.DEPLOYING, 2, 1, "r1")
    assert found.request is not None
    assert found.request.release == 1


def test_a_deploy_that_a_limit_holds_is_queued_until_it_is_admitted() -> None:
    held = requested(deployment(), held=True)
    assert held.status is S.QUEUED
    assert model.admitted(held, 6).status is S.DEPLOYING
    with pytest.raises(DeploymentInvalidStatusTransition):
        model.admitted(requested(deployment()), 6)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (S.QUEUED, "Invalid status change: Already queued"),
        (S.DEPLOYING, "Invalid status change: Already deploying"),
        (S.UNDEPLOYING, "Invalid status change: Already undeploying"),
    ],
)
def test_a_redeploy_waits_for_what_is_under_way(status: S, said: str) -> None:
    with pytest.raises(DeploymentInvalidStatusTransition) as told:
        requested(deployment(status=status))
    assert told.value.message == said


def test_a_failed_redeploy_leaves_the_release_before_serving() -> None:
    served = model.succeeded(
        model.serving(requested(deployment()), {"shop": "http://shop.example/x"}), 6
    )
    assert (served.status, served.release, served.request) == (S.DEPLOYED, 1, None)
    assert served.applications[0].url == "http://shop.example/x"
    failed = model.failed(requested(served), 7)
    assert (failed.status, failed.release, failed.releases) == (S.FAILED, 1, 2)
    assert failed.applications[0].url == "http://shop.example/x"


def test_a_delete_overtakes_a_deploy() -> None:
    deploying = requested(deployment())
    deleting = model.undeploying(deploying, "r2", 6, actor="client:c")
    assert deleting.status is S.UNDEPLOYING
    assert deleting.request is not None
    assert deleting.request.id == "r2"


def test_an_undeploy_that_failed_can_be_asked_for_again() -> None:
    failed = model.undeploy_failed(
        model.undeploying(deployment(status=S.DEPLOYED), "r2", 6, actor="client:c"), 7
    )
    assert failed.status is S.UNDEPLOY_FAILED
    assert model.undeploying(failed, "r3", 8, actor="client:c").status is S.UNDEPLOYING
    assert requested(failed).status is S.DEPLOYING


def test_report_entries_cost_no_version() -> None:
    before = requested(deployment())
    after = model.entered(before, model.entry("Build succeeded", 6, application="shop"))
    assert after.version == before.version
    assert [each.title for each in after.report] == ["Build succeeded"]


def test_secrets_are_shown_as_a_mask_of_one_length() -> None:
    shown = model.shown(deployment())
    assert [each.value for each in shown.applications[0].secured_configuration] == ["****", "****"]
    assert "sealed" not in repr(shown)


def test_every_state_can_be_reached() -> None:
    reached = {STATUS.initial}
    for _ in STATUS.table:
        reached |= {after for before, _, after in STATUS if before in reached}
    assert reached == set(S)


def test_the_docs_show_the_table() -> None:
    page = (ROOT / "docs/explanation/from-connector-to-deployment.md").read_text()
    assert STATUS.as_markdown() in page
