"""Background work: previews, publishes and deploys."""

from collections.abc import Callable

from msgspec import Struct

from connectory.app.calling import Calling
from connectory.app.core import Core, Ground
from connectory.database.serving import is_served_by_one
from connectory.deployments.handlers import deploying
from connectory.deployments.measuring import Outcomes, ScriptOutcomes
from connectory.deployments.running import Running
from connectory.deployments.turns import Turns
from connectory.staging.checks import checks
from connectory.staging.model import Kind
from connectory.staging.service import KINDS
from connectory.staging.work import Checking
from connectory.work import service as work
from connectory.work.lease import Handler
from connectory.work.service import Worker


class Working(Struct, frozen=True, kw_only=True):
    """The worker, whose turn it is to deploy, and what deploys came to."""

    worker: Worker
    turns: Turns
    outcomes: Outcomes
    scripts: ScriptOutcomes


def working_of(
    ground: Ground,
    core: Core,
    running: Running,
    calling: Calling,
    *,
    refusal: Callable[[str], str],
    hosts: bool,
) -> Working:
    """The parts, joined; one that does not host applications leaves deploys to those that do."""
    turns = Turns(ground.settings.deploys_per_project)
    outcomes, scripts = Outcomes(), ScriptOutcomes()
    handlers = _checking(ground, core, running, refusal)
    if hosts:
        handlers |= deploying(
            ground.settings,
            running,
            ground.sources,
            ground.key_ring,
            refusal=refusal,
            turns=turns,
            outcomes=outcomes,
            script_outcomes=scripts,
            listeners=(calling.messages, calling.jobs),
        )
    limits = work.Limits(
        concurrency=ground.settings.work_concurrency,
        per_project=ground.settings.work_per_project,
        kept_days=ground.settings.work_kept_days,
    )
    worker = Worker(
        ground.database, ground.clock, handlers, limits=limits, is_alone=is_served_by_one
    )
    return Working(worker=worker, turns=turns, outcomes=outcomes, scripts=scripts)


def _checking(
    ground: Ground, core: Core, running: Running, refusal: Callable[[str], str]
) -> dict[str, Handler]:
    """The work of preview and publish requests."""
    settings, clock = ground.settings, ground.clock
    made = checks(
        settings, clock, settings.data / "checks", builder=running.builds, refusal=refusal
    )

    def checking(kind: Kind) -> Checking:
        return Checking(
            kind,
            ground.database,
            ground.sources,
            made,
            clock,
            catalogue_changed=core.follower.hint,
        )

    return {kind: checking(kind) for kind in KINDS}
