"""A served installation, with the endpoint table that it answers by."""

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection

from connectory import app
from connectory.catalogue.demo import import_demo_catalogue
from connectory.catalogue.importing import import_connectors
from connectory.contract.connectors import Creator, Repository
from connectory.contract.scalars import ApplicationType, Region
from connectory.contract.scopes import Permission
from connectory.contract.staged import ConnectorStagedDraft
from connectory.contract.webhooks import DeliveryState, WebhookEvent
from connectory.database import migration
from connectory.database.engine import Database, open_database
from connectory.database.tables import job_runs, jobs
from connectory.deployments import store as deployments
from connectory.deployments.model import Application, Deployment, topic_name
from connectory.http.table import Endpoint
from connectory.identity.administration import Administration
from connectory.kernel import ids
from connectory.kernel.clock import DAY, MILLISECOND, system_clock
from connectory.messages import store as messages
from connectory.messages.model import Topic
from connectory.settings import Settings
from connectory.staging import store
from connectory.staging.model import Declared, Staged, created
from connectory.webhooks import store as webhooks
from connectory.webhooks.model import Delivery, Webhook
from tests.deployments.examples import deployment
from tests.harness import UNMEASURED, Credentials, Installation, Server, connector
from tests.staging.repositories import Repositories

#: The Project that the private Connector belongs to, and one that it does not exist for.
OWN, FOREIGN = "own-project", "foreign-project"
REGION = Region.EUROPE_WEST1_GCP
#: Where nothing listens.
WEBHOOK_URL = "http://127.0.0.1:9/webhook"

PRIVATE = connector(
    "private",
    id="5ab3edcd-9d23-4934-8f48-256805253119",
    owner=f"{REGION}:{OWN}",
    private=True,
    certified=False,
)
#: One that any Project can deploy.
DEPLOYABLE = connector(
    "deployable",
    id="8a5c8f0e-6d2b-4c1f-9a57-2b1f7c3e9d10",
    configurations=[
        {
            "applicationName": "service",
            "applicationType": "service",
            "standardConfiguration": [],
            "securedConfiguration": [],
        }
    ],
)
PUBLIC = connector(
    "connector-key",
    id="2f1c8a8e-1a53-4d0e-9f3c-0a7de3a4d7b1",
    description="Everything that a Connector can say of itself",
    integrationTypes=["psp", "tax"],
    creator={
        "title": "Lead",
        "name": "Jo Doe",
        "email": "connect@acme.example",
        "company": "Acme",
        "noOfContributors": 4,
        "logoUrl": "https://acme.example/logo.svg",
        "supportUrl": "https://acme.example/support",
    },
    configurations=[
        {
            "applicationName": "service",
            "applicationType": "service",
            "standardConfiguration": [
                {"key": "A", "description": "a", "required": True, "default": "b"}
            ],
            "securedConfiguration": [{"key": "C", "description": "c", "required": False}],
        }
    ],
    globalConfiguration={
        "standardConfiguration": [{"key": "D", "description": "d"}],
        "securedConfiguration": [{"key": "E", "description": "e"}],
    },
    apiClient={"scopes": ["manage_payments"]},
    supportedRegions=["us-east-2.aws"],
    documentationUrl="https://acme.example/docs",
)


@dataclass(frozen=True)
class Described:
    """A server with two Projects, a client for each scope, and Connectors.

    PRIVATE and PUBLIC are among these, and the real ones of the demo.
    """

    server: Server
    endpoints: Sequence[Endpoint]
    #: By Project and by what the client is permitted to.
    clients: Mapping[tuple[str, Permission], Credentials]
    tokens: Mapping[tuple[str, Permission], str]
    #: What `/openapi.json` says.
    document: dict[str, Any]
    operator_token: str
    #: The one that the server serves, too.
    database: Database
    repositories: Repositories

    def new_draft(self, then: Callable[[Staged], Staged] = lambda made: made) -> dict[str, str]:
        """A new ConnectorStaged of OWN: its `id` and its `key`, both of a length of their own.

        `then` is what became of it since.
        """
        id_ = ids.new_id()
        draft = ConnectorStagedDraft(
            key=f"key-{id_}",
            name="Draft",
            creator=Creator(email="connect@acme.example"),
            repository=Repository(url=self.repositories.url(), tag="v1.0.0"),
        )
        declared = Declared(commit="0" * 40)
        subject = created(draft, declared, id_=id_, project=f"{REGION}:{OWN}", now=system_clock())
        with self.database.write() as connection:
            store.add(connection, then(subject))
        return {"id": id_, "key": f"key-{id_}"}

    def new_deployment(self) -> dict[str, str]:
        """A new Deployment of OWN that nothing is under way of: its `id` and its `key`.

        It has an event application, by its `applicationName` and its `topic`, and a message; and
        a job, by its `jobName`, and a run.
        """
        id_, now = ids.new_id(), system_clock() // MILLISECOND * MILLISECOND
        made = deployment(id=id_, key=f"key-{id_}", project=f"{REGION}:{OWN}")
        event = Application(
            id=ids.new_id(), name="mails", type=ApplicationType.EVENT, slug=ids.new_slug()
        )
        worker = replace(event, id=ids.new_id(), name="imports", type=ApplicationType.JOB)
        subject = replace(made, applications=(*made.applications, event, worker))
        topic = Topic(
            name=topic_name(event),
            application_id=event.id,
            deployment_id=id_,
            project=subject.project,
            application=event.name,
            endpoint="/mails",
            retry_policy=None,
            delivers=False,
        )
        # Of a length that all have, as answers that are compared with each other need it.
        row = {"id": 10**12 + random.randrange(10**12)} | messages.new_row(
            application_id=event.id,
            deployment_id=id_,
            content='{"data":"e30="}',
            correlation_id="of-a-test",
            now=now,
            expires_at=now + DAY,
        )
        with self.database.write() as connection:
            deployments.add(connection, subject)
            messages.put_topic(connection, topic, now)
            (message_id,) = messages.append(connection, [row])
            run_id = _job_with_a_run(connection, subject, worker, now)
        return {
            "id": id_,
            "key": f"key-{id_}",
            "applicationName": event.name,
            "topic": topic.name,
            "messageId": str(message_id),
            "jobName": worker.name,
            "runId": str(run_id),
        }

    def new_webhook(self) -> dict[str, str]:
        """A new webhook of OWN that has failed to tell something: its `id` and a `deliveryId`."""
        now = system_clock() // MILLISECOND * MILLISECOND
        made = Webhook(
            id=ids.new_id(),
            project=f"{REGION}:{OWN}",
            url=WEBHOOK_URL,
            events=(WebhookEvent.DEPLOYMENT_FAILED,),
            sealed="of no key",
            created_at=now,
        )
        told = Delivery(
            id=ids.new_id(),
            webhook_id=made.id,
            type=WebhookEvent.DEPLOYMENT_FAILED,
            payload=b'{"type":"deployment.failed","timestamp":"2026-01-31T08:30:00.123Z","data":{}}',
            state=DeliveryState.FAILED,
            next_at=None,
            created_at=now,
        )
        with self.database.write() as connection:
            webhooks.add(connection, made)
            webhooks.append(connection, made.project, [told])
        return {"id": made.id, "deliveryId": told.id}

    @property
    def client(self) -> Credentials:
        """The client that is permitted to do most."""
        return self.clients[OWN, Permission.MANAGE_PROJECT]

    @property
    def token(self) -> str:
        return self.tokens[OWN, Permission.MANAGE_PROJECT]

    def token_for(self, endpoint: Endpoint) -> str:
        """A token that opens an endpoint."""
        return self.operator_token if endpoint.operators else self.token


def _job_with_a_run(
    connection: Connection, subject: Deployment, worker: Application, now: int
) -> int:
    common = {"application_id": worker.id, "deployment_id": subject.id}
    job = {"project": subject.project, "application": worker.name, "endpoint": "/imports"}
    job |= {"schedule": "0 5 31 2 *", "shard": 0, "since": now, "reckoned_at": now}
    connection.execute(jobs.insert().values(common | job))
    run = {"id": 10**12 + random.randrange(10**12), "cause": "schedule", "due_at": now}
    run |= {"missed": 0, "state": "succeeded", "correlation_id": "of-a-test", "started_at": now}
    run |= {"finished_at": now + MILLISECOND, "status": 200, "output": "done"}
    connection.execute(job_runs.insert().values(common | run))
    return int(run["id"])


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    data = tmp_path_factory.mktemp("described") / "data"
    data.mkdir()
    database = open_database("", data)
    try:
        migration.migrate(database)
        clients = _clients(database)
        operator = _operator(database)
        lines = [json.dumps(each).encode() for each in (PRIVATE, PUBLIC, DEPLOYABLE)]
        import_connectors(database, lines, actor="command:tests", now=system_clock(), fault=print)
        import_demo_catalogue(database, actor="command:tests", now=system_clock())
        endpoints = app.compose(Settings(data=data), database, system_clock).endpoints
        repositories = Repositories(data.parent / "repositories", "acme")
        repositories.tag("v1.0.0")
        # Schemathesis makes as many Deployments and webhooks as it likes.
        settings = repositories.settings | UNMEASURED
        settings |= dict.fromkeys(
            ("CONNECTORY_MAX_DEPLOYMENTS", "CONNECTORY_MAX_WEBHOOKS"), "99999"
        )
        settings |= {"CONNECTORY_WEBHOOK_PRIVATE_ADDRESSES": "on"}
        with Installation(data, settings=settings).serving() as server:
            tokens = {name: server.token(client) for name, client in clients.items()}
            document = httpx.get(f"{server.url}/openapi.json").json()
            yield Described(
                server, endpoints, clients, tokens, document, operator, database, repositories
            )
    finally:
        database.close()


def _clients(database: Database) -> dict[tuple[str, Permission], Credentials]:
    clients = {}
    with database.write() as connection:
        administration = Administration(connection, actor="command:tests", now=system_clock())
        for project in (OWN, FOREIGN):
            administration.create_project(project, REGION, production=False)
        for project, permission in itertools.product((OWN, FOREIGN), Permission):
            made = administration.create_client(project, permission)
            clients[project, permission] = Credentials(made.client_id, made.client_secret)
    return clients


def _operator(database: Database) -> str:
    with database.write() as connection:
        administration = Administration(connection, actor="command:tests", now=system_clock())
        return administration.create_operator("ann").token
