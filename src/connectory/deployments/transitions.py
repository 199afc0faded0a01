"""The state machine of a Deployment.

Source: the published documentation on DeploymentStatus and DeploymentInvalidStatusTransition; what
it leaves open is decided in docs/decisions/0021-deployments.md. The docs show this table.
"""

import enum
from typing import Final

from connectory.contract.deployments import DeploymentStatus
from connectory.kernel.transitions import Transitions

_S = DeploymentStatus


class DeploymentEvent(enum.StrEnum):
    """What happens to a Deployment."""

    DEPLOY_REQUESTED = "deploy_requested"
    DEPLOY_QUEUED = "deploy_queued"  #: Asked for, while a limit holds it.
    DEPLOY_ADMITTED = "deploy_admitted"  #: The limit holds it no longer.
    DEPLOY_SUCCEEDED = "deploy_succeeded"
    DEPLOY_FAILED = "deploy_failed"  #: A step failed, or an operator cancelled the work.
    UNDEPLOY_REQUESTED = "undeploy_requested"
    UNDEPLOY_FAILED = "undeploy_failed"


#: Where nothing is under way.
_AT_REST = (_S.DRAFT, _S.DEPLOYED, _S.FAILED, _S.UNDEPLOY_FAILED)
_UNDER_WAY = (_S.QUEUED, _S.DEPLOYING)

STATUS: Final = Transitions(
    initial=_S.DRAFT,
    table={
        DeploymentEvent.DEPLOY_REQUESTED: dict.fromkeys(_AT_REST, _S.DEPLOYING),
        DeploymentEvent.DEPLOY_QUEUED: dict.fromkeys(_AT_REST, _S.QUEUED),
        DeploymentEvent.DEPLOY_ADMITTED: {_S.QUEUED: _S.DEPLOYING},
        DeploymentEvent.DEPLOY_SUCCEEDED: {_S.DEPLOYING: _S.DEPLOYED},
        DeploymentEvent.DEPLOY_FAILED: dict.fromkeys(_UNDER_WAY, _S.FAILED),
        # Nobody has to wait for a deploy that is not wanted any more.
        DeploymentEvent.UNDEPLOY_REQUESTED: dict.fromkeys((*_AT_REST, *_UNDER_WAY), _S.UNDEPLOYING),
        DeploymentEvent.UNDEPLOY_FAILED: {_S.UNDEPLOYING: _S.UNDEPLOY_FAILED},
    },
)
