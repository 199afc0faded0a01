"""The handlers of the work that serves Deployments, joined to what a node hosts them with."""

from collections.abc import Callable, Sequence

from connectory.database.secrets import KeyRing
from connectory.deployments.api_clients import END_CLIENTS, Places
from connectory.deployments.client_steps import ClientStep, EndingClients
from connectory.deployments.commerce import read_commerce_projects
from connectory.deployments.commerce_clients import CommerceClients
from connectory.deployments.deploying import Deploying
from connectory.deployments.ending import Ending
from connectory.deployments.listening import Listener
from connectory.deployments.measuring import Outcomes, ScriptOutcomes
from connectory.deployments.running import Running
from connectory.deployments.scripts import Scripts
from connectory.deployments.turns import DEPLOY, UNDEPLOY, Turns
from connectory.deployments.undeploying import Undeploying
from connectory.settings import Settings
from connectory.sources.service import Sources
from connectory.work.lease import Handler


def deploying(
    settings: Settings,
    running: Running,
    sources: Sources,
    key_ring: Callable[[], KeyRing],
    *,
    refusal: Callable[[str], str],
    turns: Turns,
    outcomes: Outcomes,
    script_outcomes: ScriptOutcomes,
    listeners: Sequence[Listener],
) -> dict[str, Handler]:
    """The work of deploys and undeploys, and what they leave behind, by kind.

    Raises:
        CommerceFileError: the file of commerce projects cannot be used.
    """
    database, clock = running.database, running.clock

    def forget(deployment_id: str) -> None:
        for listener in listeners:
            listener.forget(deployment_id)
        running.forget(deployment_id)

    commerce = read_commerce_projects(settings.commerce_projects_file)
    places = Places({name: CommerceClients(each) for name, each in commerce.items()})
    scripts = Scripts(
        database,
        clock,
        sources=sources,
        runner=running.builds,
        programs=running.programs,
        outcomes=script_outcomes,
        output=running.built,
        refusal=refusal,
    )
    return {
        DEPLOY: Deploying(
            database,
            clock,
            sources=sources,
            builder=running.builds,
            hosting=running.hosting,
            programs=running.programs,
            clients=ClientStep(database, clock, places, key_ring),
            scripts=scripts,
            ending=Ending(
                clock,
                hosting=running.hosting,
                programs=running.programs,
                turns=turns,
                outcomes=outcomes,
                listeners=listeners,
            ),
            outcomes=outcomes,
            listeners=listeners,
            output=running.built,
            start_seconds=settings.start_seconds,
            refusal=refusal,
            strict_scripts=settings.strict_scripts == "on",
        ),
        UNDEPLOY: Undeploying(
            database, running.hosting, clock, places=places, scripts=scripts, forget=forget
        ),
        END_CLIENTS: EndingClients(database, clock, places),
    }
