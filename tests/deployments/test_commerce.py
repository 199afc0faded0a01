"""API Clients in a commerce project: never one too many that nobody knows, whatever breaks off."""

import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectory.contract.staged import ReportEntryType
from connectory.database import audit
from connectory.database.audit import Act
from connectory.database.engine import Database
from connectory.database.secrets import KeyRing
from connectory.deployments import api_clients, model, store
from connectory.deployments.accepting import release_of
from connectory.deployments.api_clients import END_CLIENTS, ApiClientError, Places
from connectory.deployments.client_steps import ClientStep, EndingClients
from connectory.deployments.clients import GeneratedClient
from connectory.deployments.commerce import (
    CommerceFileError,
    CommerceProject,
    read_commerce_projects,
)
from connectory.deployments.commerce_clients import CommerceClients
from connectory.deployments.environment import Commerce, credentials
from connectory.deployments.hosting import Hosting
from connectory.deployments.model import Deployment
from connectory.deployments.scripts import Hook, Scripts
from connectory.deployments.undeploying import Undeploying
from connectory.work import claims
from connectory.work import store as work_store
from connectory.work.lease import Lease
from connectory.work.model import LeaseLost, WorkDelayed
from tests.deployments import commerce
from tests.deployments.commerce import CLIENT_SECRET, KEY, PROJECT, commerce_project
from tests.deployments.examples import deployment
from tests.work.pieces import VirtualClock

SCOPES = ("manage_orders", f"view_products:{KEY}")
RING = KeyRing((bytes(32),))
ID = deployment().id


@pytest.fixture
def remote() -> Iterator[commerce.CommerceProject]:
    with commerce_project() as project:
        yield project


@pytest.fixture
def places(remote: commerce.CommerceProject, tmp_path: Path) -> Places:
    found = read_commerce_projects(remote.file(tmp_path))
    return Places({name: CommerceClients(each) for name, each in found.items()})


class Deploy:
    """A Deployment whose deploy is under way, and the attempts at its client step."""

    def __init__(self, database: Database, places: Places, made: dict[str, dict[str, str]]) -> None:
        self.made = made
        self.database, self.clock, self.places = database, VirtualClock(), places
        self.step = ClientStep(database, self.clock, places, lambda: RING)
        with database.write() as connection:
            store.add(connection, deployment(scopes=SCOPES))
        self.requested("r1")

    @property
    def now(self) -> Deployment:
        with self.database.read() as connection:
            found = store.with_id(connection, ID)
        assert found is not None
        return found

    @property
    def acts(self) -> list[Act]:
        """What the audit log has of API Clients, the oldest first; no secret is in it."""
        with self.database.read() as connection:
            found = [*audit.acts(connection, limit=100)][::-1]
        secrets = [each["secret"] for each in self.made.values()]
        assert not [each for each in secrets if each in repr(found)]
        return found

    @property
    def told(self) -> list[tuple[str, str]]:
        """The same in short: what was done, and to which."""
        return [(each.action.rpartition(":")[2], each.subject) for each in self.acts]

    def requested(self, request: str, kind: str = "deploy", **changes: Any) -> None:
        """Somebody asks for a deploy, or for the delete."""
        before = replace(self.now, **changes)
        if kind == "deploy":
            after = model.requested(
                before, request, 1, actor="client:c", held=False, skip_scripts=False
            )
        else:
            after = model.undeploying(before, request, 1, actor="client:c")
        with self.database.write() as connection:
            store.save(connection, after)
            connection.exec_driver_sql("UPDATE work SET state = 'done'")
            payload = {"request": request}
            work_store.enqueue(
                connection, kind=kind, subject=ID, project=PROJECT, payload=payload, now=0
            )

    def claimed(self, kind: str = "deploy") -> Lease:
        """The next attempt, after that before has died."""
        with self.database.write() as connection:
            connection.exec_driver_sql("UPDATE work SET state = 'queued' WHERE state = 'running'")
            found = claims.claim(
                connection, owner="a", now=self.clock(), kinds=[kind], per_project=9
            )
        assert found is not None
        return Lease(self.database, self.clock, found, threading.Event())

    def provided(self) -> GeneratedClient:
        """An attempt at the client step that goes well."""
        self.step.provide(self.claimed(), "client")
        client = self.now.client
        assert client is not None
        return client

    def ended(self, *, well: bool) -> None:
        """The deploy ends; where it ends well, its release serves."""
        now = self.clock()
        with self.database.write() as connection:
            before = store.lock(connection, ID)
            assert before is not None
            if well:
                store.put_release(connection, release_of(before, now))
            after = (
                model.succeeded(model.serving(before, {}), now)
                if well
                else model.failed(before, now)
            )
            store.save(connection, api_clients.settled(connection, after, now))

    def cleaned(self) -> None:
        """An attempt at ending what is not needed any more."""
        lease = self.claimed(END_CLIENTS)
        EndingClients(self.database, self.clock, self.places).run(lease.work, lease)

    def deleted(self) -> None:
        """An attempt at the delete."""
        lease = self.claimed("undeploy")
        handler = Undeploying(
            self.database,
            Nowhere(),
            self.clock,
            places=self.places,
            scripts=Wordless(),
            forget=lambda _: None,
        )
        handler.run(lease.work, lease)


class Wordless(Scripts):
    """Those of a Connector that has none."""

    def __init__(self) -> None:
        """Without a source."""

    def run(self, lease: Lease, hook: Hook, failed: ReportEntryType) -> None:
        """Nothing is to be run."""


class Nowhere(Hosting):
    """Where nothing runs."""

    def __init__(self) -> None:
        """Without runtime and gateway."""

    def remove(self, application_ids: Iterable[str]) -> None:
        """Nothing is there."""


@pytest.fixture
def deploy(database: Database, places: Places, remote: commerce.CommerceProject) -> Deploy:
    return Deploy(database, places, remote.made)


def test_what_is_injected_is_the_commerce_projects(
    deploy: Deploy, remote: commerce.CommerceProject
) -> None:
    client = deploy.provided()
    (made,) = remote.clients.values()
    secret = RING.open(client.secret, deploy.now.secret_owner).decode()
    elsewhere = Commerce(api_url="https://else.example", auth_url="https://else.example")
    assert credentials(client, secret, PROJECT, elsewhere) == {
        "CTP_CLIENT_ID": made["id"],
        "CTP_CLIENT_SECRET": made["secret"],
        "CTP_CLIENT_SCOPE": f"manage_orders:{KEY} view_products:{KEY}",
        "CTP_SCOPE": f"manage_orders:{KEY} view_products:{KEY}",
        "CTP_CLIENT_REGION": "europe-west1.gcp",
        "CTP_PROJECT_KEY": KEY,
        "CTP_API_URL": f"{remote.url}/api",
        "CTP_AUTH_URL": f"{remote.url}/auth",
    }
    assert made["secret"] not in repr(deploy.now)
    (act,) = deploy.acts
    assert (act.actor, act.action, act.subject, act.at) == (
        "client:c",
        "deployments:client:create",
        made["id"],
        deploy.clock(),
    )
    assert act.details == {
        "project": KEY,
        "deployment": ID,
        "api": f"{remote.url}/api",
        "scope": f"manage_orders:{KEY} view_products:{KEY}",
    }
    assert (deploy.now.asked_clients, remote.names) == ((), [f"Connectory {ID} 1.1"])


def test_an_answer_that_is_lost_leaves_one_client_and_no_more(
    deploy: Deploy, remote: commerce.CommerceProject
) -> None:
    remote.faults = {"POST": ["lost", "lost"]}
    for attempt in (1, 2):
        with pytest.raises(ApiClientError, match="got no answer") as error:
            deploy.provided()
        assert error.value.transient
        assert remote.names == [f"Connectory {ID} 1.{attempt}"]
    client = deploy.provided()
    assert remote.names == [f"Connectory {ID} 1.3"]
    assert list(remote.clients) == [client.id]
    lost = [each for each in remote.made if each != client.id]
    assert deploy.told == [*(("revoke", each) for each in lost), ("create", client.id)]
    # A request on its way may still arrive: the names are looked for until that cannot be any more.
    late = {"id": "late", "secret": "s", "scope": "s", "name": f"Connectory {ID} 1.2"}
    remote.clients["late"] = late
    deploy.ended(well=True)
    with pytest.raises(WorkDelayed, match="may come to be yet"):
        deploy.cleaned()
    assert list(remote.clients) == [client.id]
    remote.clients["late"] = late
    deploy.clock.jump(31)
    deploy.cleaned()
    assert list(remote.clients) == [client.id]
    assert deploy.now.asked_clients == ()
    assert deploy.told[3:] == [("revoke", "late"), ("revoke", "late")]


@pytest.mark.parametrize(("status", "transient"), [(400, False), (429, True)])
def test_a_refusal_leaves_nothing_to_look_for(
    deploy: Deploy, remote: commerce.CommerceProject, status: int, *, transient: bool
) -> None:
    remote.faults = {"POST": [status]}
    with pytest.raises(ApiClientError) as error:
        deploy.provided()
    assert error.value.transient is transient
    url = f"{remote.url}/api/{KEY}/api-clients"
    assert error.value.reason == f"POST {url} was answered with {status}: cannot be done with ****"
    assert deploy.now.asked_clients == ()
    assert deploy.told == []


def test_an_attempt_that_has_lost_its_lease_takes_back_what_it_made(
    deploy: Deploy, remote: commerce.CommerceProject
) -> None:
    old = deploy.claimed()
    deploy.claimed()
    with pytest.raises(LeaseLost):
        deploy.step.provide(old, "client")
    assert remote.clients == {}
    assert deploy.now.client is None
    (lost,) = remote.made
    assert deploy.told == [("create", lost), ("revoke", lost)]


def test_a_client_that_is_replaced_ends_when_nothing_serves_with_it(
    deploy: Deploy, remote: commerce.CommerceProject
) -> None:
    first = deploy.provided()
    deploy.ended(well=True)
    deploy.requested("r2", scopes=("view_orders",))
    second = deploy.provided()
    deploy.ended(well=False)
    with deploy.database.read() as connection:
        assert END_CLIENTS not in [each.kind for each in work_store.open_of_subject(connection, ID)]
    assert set(remote.clients) == {first.id, second.id}
    deploy.requested("r3")
    assert deploy.provided() == second
    assert set(remote.clients) == {first.id, second.id}
    deploy.ended(well=True)
    remote.faults = {"DELETE": [503]}
    with pytest.raises(WorkDelayed, match="was answered with 503"):
        deploy.cleaned()
    assert deploy.now.retired_clients == (first,)
    deploy.cleaned()
    assert list(remote.clients) == [second.id]
    assert deploy.now.retired_clients == ()
    assert deploy.told == [("create", first.id), ("create", second.id), ("revoke", first.id)]
    assert deploy.acts[-1].actor == "deployments"


def test_a_client_that_never_served_ends_with_the_deploy_after(
    deploy: Deploy, remote: commerce.CommerceProject
) -> None:
    deploy.provided()
    deploy.ended(well=False)
    deploy.requested("r2", scopes=("view_orders",))
    second = deploy.provided()
    deploy.ended(well=False)
    deploy.cleaned()
    assert list(remote.clients) == [second.id]


def test_what_cannot_be_ended_is_told_and_not_forgotten(
    deploy: Deploy, remote: commerce.CommerceProject
) -> None:
    first = deploy.provided()
    deploy.ended(well=False)
    deploy.requested("r2", scopes=None)
    deploy.step.provide(deploy.claimed(), "client")
    deploy.ended(well=True)
    handler = EndingClients(deploy.database, deploy.clock, deploy.places)
    work = deploy.claimed(END_CLIENTS).work
    with deploy.database.write() as connection:
        handler.give_up(connection, work, "DELETE was answered with 503")
    entry = deploy.now.report[-1]
    assert (entry.type, entry.message) == ("Warning", "DELETE was answered with 503")
    assert deploy.now.retired_clients == (first,)
    deploy.requested("r3", "undeploy")
    deploy.deleted()
    assert remote.clients == {}
    assert deploy.told == [("create", first.id), ("revoke", first.id)]
    assert deploy.acts[-1].actor == "client:c"


def test_a_delete_ends_all_and_waits_for_what_may_be_there(
    deploy: Deploy, remote: commerce.CommerceProject
) -> None:
    remote.faults = {"POST": ["lost"]}
    with pytest.raises(ApiClientError):
        deploy.provided()
    deploy.provided()
    deploy.requested("r2", "undeploy")
    remote.clients["late"] = {"id": "late", "secret": "s", "name": f"Connectory {ID} 1.1"}
    with pytest.raises(WorkDelayed, match="may come to be yet"):
        deploy.deleted()
    assert remote.clients == {}
    assert deploy.now.id
    deploy.clock.jump(31)
    deploy.deleted()
    lost, kept = remote.made
    assert deploy.told == [
        ("revoke", lost),
        ("create", kept),
        ("revoke", "late"),
        ("revoke", kept),
    ]
    with deploy.database.read() as connection:
        assert store.with_id(connection, ID) is None


def test_a_project_that_was_taken_out_of_the_file_loses_no_client(
    deploy: Deploy, remote: commerce.CommerceProject
) -> None:
    client = deploy.provided()
    moved = CommerceProject(
        api_url="http://x", auth_url="http://x", client_id="x", client_secret="x"
    )
    for left in (Places({}), Places({PROJECT: CommerceClients(moved)})):
        with pytest.raises(ApiClientError, match="CONNECTORY_COMMERCE_PROJECTS_FILE gives no"):
            left.end(PROJECT, client)
    with pytest.raises(ApiClientError, match="may have an API Client named 'x'"):
        Places({}).end_named(PROJECT, "x")
    assert client.id in remote.clients


def test_credentials_that_are_wrong_are_told_in_words(remote: commerce.CommerceProject) -> None:
    wrong = CommerceProject(
        api_url=remote.url, auth_url=f"{remote.url}/auth", client_id="x", client_secret="not-it"
    )
    with pytest.raises(ApiClientError) as error:
        CommerceClients(wrong).make(PROJECT, SCOPES, "n")
    assert "/auth/oauth/token was answered with 401: Please provide valid" in error.value.reason
    assert "not-it" not in error.value.reason
    assert (error.value.transient, error.value.unsure) == (False, False)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2**20 + 1)])
def test_an_answer_without_bounds_is_none(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        there = CommerceProject(api_url=url, auth_url=url, client_id="a", client_secret="b")
        with pytest.raises(ApiClientError, match="got no answer") as error:
            CommerceClients(there).make(PROJECT, SCOPES, "n")
        thread.join()
    assert error.value.transient


def test_the_file_says_what_is_wrong_with_it(
    remote: commerce.CommerceProject, tmp_path: Path
) -> None:
    path = remote.file(tmp_path)
    found = read_commerce_projects(path)
    assert found[PROJECT].client_secret == CLIENT_SECRET
    assert read_commerce_projects(None) == {}
    text = path.read_text()
    for wrong, said in (
        (text.replace("api_url", "api"), "unknown field `api`"),
        (text.replace(PROJECT, KEY), "a table is named as in"),
        (text.replace("http://", "ftp://"), "does not start with http"),
        (text.replace(CLIENT_SECRET, ""), "length >= 1"),
        ("[", "is wrong"),
    ):
        path.write_text(wrong)
        with pytest.raises(CommerceFileError, match=said):
            read_commerce_projects(path)
    path.write_text(text)
    path.chmod(0o644)
    with pytest.raises(CommerceFileError, match=r"every user .* may read or change it: `chmod 600"):
        read_commerce_projects(path)
    with pytest.raises(CommerceFileError, match="cannot be read: No such file"):
        read_commerce_projects(tmp_path / "none.toml")
