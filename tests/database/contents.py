"""An installation with something in every table, and what is in it."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Connection

from connectory.catalogue.importing import import_connectors
from connectory.contract.connectors import Creator, Repository
from connectory.contract.deployments import DeploymentConnector, DeploymentStatus, DeploymentType
from connectory.contract.scalars import Region
from connectory.database import feed
from connectory.database.backup import TABLES
from connectory.database.engine import Database
from connectory.database.tables import (
    connector_versions,
    connectors,
    connectors_staged,
    deployments,
    git_credentials,
    job_runs,
    jobs,
    messages,
    operators,
    releases,
    secret_keys,
    topics,
    webhook_deliveries,
    webhooks,
)
from connectory.deployments.model import Deployment
from connectory.http.access import Grant
from connectory.identity import store
from connectory.identity.administration import Administration
from connectory.kernel import ids
from connectory.kernel.clock import DAY, HOUR, system_clock
from connectory.work import claims, results
from connectory.work import store as work
from tests.harness import Credentials, connector

NAMES = ("Größe", "quotes \" ' \\ and %", "emoji 🧾\u2028", "tab\tand\nline", "ÅÄÖ" * 100)


#: The names of the tables that have a row.
_FILLED = sqlalchemy.union_all(
    *(
        sqlalchemy.select(sqlalchemy.literal(name)).where(sqlalchemy.exists().select_from(table))
        for name, table in TABLES.items()
    )
)


@dataclass(frozen=True)
class Known:
    """What only the outside knows of an installation: its database has the hashes."""

    #: An active client whose secret was rotated, so that two hold.
    client: Credentials
    older: Credentials
    revoked: Credentials
    token: str
    revoked_token: str

    @property
    def secrets(self) -> tuple[str, ...]:
        clients = (self.client, self.older, self.revoked)
        return (*(each.client_secret for each in clients), self.token, self.revoked_token)


def fill(database: Database) -> Known:
    """Something in every table: both booleans, absent values, texts of all kinds, history."""
    now = system_clock()
    with database.write() as connection:
        administration = Administration(connection, actor="command:tests", now=now)
        administration.create_project("shop", "europe-west1.gcp", production=True)
        administration.create_project("other", "us-central1.gcp", production=False)
        first = administration.create_client("shop", "view_connectors manage_connectors")
        rotated = administration.rotate_client(first.client_id, overlap=HOUR)
        gone = administration.create_client("other", "manage_project")
        token, revoked_token = ids.new_token(), ids.new_token()
        for each in (token, revoked_token):
            store.add_token(connection, ids.digest(each), _grant(connection, first.client_id, now))
        store.revoke_token(connection, ids.digest(revoked_token), first.client_id, now)
        administration.revoke_client(gone.client_id)
    lines = [
        connector(f"key-{number}", name=name, description=name) | {"private": bool(number % 2)}
        for number, name in enumerate(NAMES)
    ]
    lines.append(connector("own", private=True, owner="europe-west1.gcp:shop"))
    import_lines(database, lines)
    import_lines(database, [lines[0] | {"name": "Größe, second version"}])
    _fill_work(database, now)
    _fill_staging(database, now)
    return Known(
        client=Credentials(rotated.client_id, rotated.client_secret),
        older=Credentials(first.client_id, first.client_secret),
        revoked=Credentials(gone.client_id, gone.client_secret),
        token=token,
        revoked_token=revoked_token,
    )


def _fill_work(database: Database, now: int) -> None:
    """Work that is queued, was tried, runs, and is done."""
    with database.write() as connection:
        for text in NAMES:
            work.enqueue(
                connection,
                kind="publish",
                subject=ids.new_id(),
                project="europe-west1.gcp:shop",
                payload={"text": text},
                now=now,
            )
        running, tried, done = (
            claims.claim(connection, owner="node", now=now, kinds=["publish"], per_project=9)
            for _ in range(3)
        )
        assert running is not None
        assert tried is not None
        assert done is not None
        results.advance(connection, running.id, running.attempt, "fetch", {"name": NAMES[1]})
        results.retry(connection, tried.id, tried.attempt, error=NAMES[2], run_at=now + HOUR)
        results.finish(connection, done.id, done.attempt, now=now)
        work.request_cancel(connection, tried.id, now=now)


def _fill_staging(database: Database, now: int) -> None:
    """Rows as they are stored: it is the backup that is under test, not what they mean."""
    with database.write() as connection:
        for number, name in enumerate(NAMES):
            row = {"id": ids.new_id(), "key": f"staged-{number}" if number else None, "version": 1}
            row |= {"project": "europe-west1.gcp:shop", "status": "Draft"}
            row |= {"document": json.dumps({"name": name}), "created_at": now}
            connection.execute(connectors_staged.insert().values(row | {"last_modified_at": now}))
            row = {"id": ids.new_id(), "key": f"live-{number}" if number else None, "version": 1}
            row |= {"project": "europe-west1.gcp:shop", "status": "Failed"}
            row |= {"document": _deployment(row["id"], name), "created_at": now}
            connection.execute(deployments.insert().values(row | {"last_modified_at": now}))
            release = {"deployment_id": row["id"], "number": number + 1}
            release |= {"document": json.dumps({"name": name})}
            connection.execute(releases.insert().values(release))
            _fill_applications(connection, row["id"], number, now)
            row = {"id": ids.new_id(), "project": "europe-west1.gcp:shop", "prefix": name}
            row |= {"username": name, "kind": "token", "sealed": name, "created_at": now}
            connection.execute(git_credentials.insert().values(row))
            _fill_webhooks(connection, name, now)
        # A key that has sealed nothing: a restore does not ask for it.
        connection.execute(secret_keys.insert().values(fingerprint="0" * 16, first_used_at=now))
        for name, revoked_at in (("ann", None), ("bob", now)):
            row = {"name": name, "digest": ids.digest(name), "created_at": now}
            connection.execute(operators.insert().values(row | {"revoked_at": revoked_at}))


def _fill_applications(connection: Connection, id_: str, number: int, now: int) -> None:
    """A topic with a message, and a job with a run."""
    name = NAMES[number][:256]
    common = {"application_id": id_, "deployment_id": id_}
    of = common | {"project": "europe-west1.gcp:shop", "application": name, "endpoint": "/x"}
    topic = {"name": f"event-{number}", "delivers": False, "created_at": now}
    connection.execute(topics.insert().values(of | topic))
    message = {"state": "dead", "content": json.dumps({"data": name}), "correlation_id": "x"}
    message |= {"published_at": now, "attempt_count": 1, "attempts": "[]", "expires_at": now + HOUR}
    connection.execute(messages.insert().values(common | message))
    job = {"schedule": "@daily", "next_at": now + HOUR, "shard": number, "since": now}
    job |= {"reckoned_at": now}
    connection.execute(jobs.insert().values(of | job))
    run = {"cause": "schedule", "due_at": now, "missed": 0, "state": "succeeded", "status": 200}
    run |= {"correlation_id": "x", "started_at": now, "finished_at": now, "output": name}
    connection.execute(job_runs.insert().values(common | run))


def _fill_webhooks(connection: Connection, name: str, now: int) -> None:
    """A webhook with something to tell."""
    common = {"project": "europe-west1.gcp:shop", "created_at": now}
    row = {"id": ids.new_id(), "url": name, "events": '["message.dead_letter"]', "sealed": name}
    connection.execute(webhooks.insert().values(common | row))
    told = {"id": ids.new_id(), "webhook_id": row["id"], "type": "message.dead_letter"}
    told |= {"payload": json.dumps({"data": name}), "state": "failed", "attempts": "[]"}
    connection.execute(webhook_deliveries.insert().values(common | told | {"claimed": False}))


def _deployment(id_: str, name: str) -> str:
    """A Deployment that does not run: a server reads those that are there when it starts."""
    connector = DeploymentConnector(
        id=ids.new_id(),
        version=1,
        name=name,
        integration_types=(),
        creator=Creator(email="connect@acme.example"),
        repository=Repository(url="https://github.com/acme/connector.git", tag="v1"),
        configurations=(),
        certified=False,
        supported_regions=(),
    )
    made = Deployment(
        id=id_,
        project="europe-west1.gcp:shop",
        version=1,
        type=DeploymentType.SANDBOX,
        region=Region.EUROPE_WEST1_GCP,
        connector=connector,
        staged=False,
        applications=(),
        status=DeploymentStatus.FAILED,
        created_at=1,
        last_modified_at=1,
    )
    return msgspec.json.encode(made).decode()


def _grant(connection: sqlalchemy.Connection, client_id: str, now: int) -> Grant:
    client = store.find_client(connection, client_id)
    assert client is not None
    return Grant(
        client_id=client_id,
        project_key=client.project_key,
        project="europe-west1.gcp:shop",
        permissions=client.permissions,
        issued_at=now,
        expires_at=now + DAY,
    )


def import_lines(database: Database, lines: list[dict[str, Any]]) -> None:
    faults: list[object] = []
    import_connectors(
        database,
        [json.dumps(line).encode() for line in lines],
        actor="command:tests",
        now=system_clock(),
        fault=faults.append,
    )
    assert faults == []


def fill_with_many(database: Database, count: int) -> None:
    """Many Connectors of 1.4 kB that do not compress well, written as the import writes them."""
    random = Random(count)
    content = {"integrationTypes": ["other"], "creator": {"email": "connect@acme.example"}}
    with database.write() as connection:
        number = feed.advance(connection)
        for first in range(0, count, 1_000):
            made = [ids.new_id() for _ in range(first, min(first + 1_000, count))]
            connection.execute(
                connectors.insert(),
                [
                    {
                        "id": id_,
                        "key": f"key-{id_}",
                        "version": 1,
                        "seq": number,
                        "source": "import",
                        "private_projects": "[]",
                        "created_at": 0,
                        "last_modified_at": 0,
                    }
                    for id_ in made
                ],
            )
            connection.execute(
                connector_versions.insert(),
                [
                    {
                        "connector_id": id_,
                        "version": 1,
                        "published_at": 0,
                        "content": json.dumps(
                            {"name": id_, "description": random.randbytes(600).hex()} | content
                        ),
                    }
                    for id_ in made
                ],
            )


def rows_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables that a backup has."""
    with database.read() as connection:
        # Where nothing is in any, as after each refused restore, one question is enough.
        filled = set(connection.execute(_FILLED).scalars())
        rows = {
            name: connection.execute(sqlalchemy.select(table)) if name in filled else ()
            for name, table in TABLES.items()
        }
        return {name: sorted(map(tuple, of), key=str) for name, of in rows.items()}


def lines_of(backup: Path | bytes) -> list[bytes]:
    """The lines of a backup, with their ends."""
    compressed = backup.read_bytes() if isinstance(backup, Path) else backup
    return gzip.decompress(compressed).splitlines(keepends=True)
