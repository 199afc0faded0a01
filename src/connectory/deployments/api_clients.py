"""The API Clients of Deployments: where they are made, and which of them are not wanted any more.

They are Connectory's own, or a commerce project's where the operator has given access to it. A new
one is made where the scopes have changed. The one before goes on until nothing runs with it any
more: a deploy that fails leaves the release before serving, credentials included.
(docs/decisions/0024-api-clients-of-commerce-projects.md)
"""

import contextlib
from collections.abc import Mapping
from typing import ClassVar, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.database.documents import Damaged
from connectory.deployments import store
from connectory.deployments.clients import AskedClient, CommerceAccess, GeneratedClient
from connectory.deployments.model import Deployment
from connectory.identity.administration import Administration
from connectory.identity.model import IdentityError
from connectory.kernel import ids
from connectory.kernel.clock import SECOND
from connectory.work import store as work

#: The kind of work that ends what is not wanted any more where that takes calls.
END_CLIENTS: Final = "end-clients"
#: So long after it was asked for, an API Client is there or will never be: no call takes longer.
SETTLED: Final = 30 * SECOND

#: Who acts where nobody's request is under way.
_ACTOR: Final = "deployments"


class ApiClientError(Exception):
    """An API Client could not be made or ended.

    Attributes:
        reason: For people; it tells no secret.
        transient: Whether to try again later may help.
        unsure: Whether what was asked for may have been done all the same.
    """

    def __init__(self, reason: str, *, transient: bool, unsure: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.unsure = unsure


class Made(Struct, frozen=True, kw_only=True):
    """An API Client with its secret, as it was made."""

    id: str
    scopes: tuple[str, ...]
    secret: str
    commerce: CommerceAccess | None = None


class ApiClients(Protocol):
    """Where API Clients of a Project are made and ended.

    Each takes two calls: one that may ask a server and is made outside of any transaction, and one
    in the transaction that writes down what came of it.
    """

    #: Whether what was asked for may be there although no answer came.
    asks: ClassVar[bool]

    def has(self, client: GeneratedClient) -> bool:
        """Whether a client is one of these."""

    def make(self, project: str, scopes: tuple[str, ...], name: str) -> Made:
        """Make one for a Project (`region:projectKey`); `name` is what it is found by.

        Raises:
            ApiClientError: it cannot be made, or it is not known whether it was.
        """

    def keep(self, connection: Connection, subject: Deployment, made: Made, now: int) -> None:
        """Write of one that was made for a Deployment; so the audit log has it."""

    def end(self, project: str, id_: str) -> None:
        """End one; nothing happens where it has ended.

        Raises:
            ApiClientError: it may be there still.
        """

    def end_named(self, project: str, name: str) -> list[str]:
        """End those that are called so, if there are any; their ids.

        Raises:
            ApiClientError: they may be there still.
        """

    def forget(self, connection: Connection, subject: Deployment, id_: str, now: int) -> None:
        """Write of one of a Deployment that was ended; so the audit log has it."""


class OwnClients:
    """Connectory's own identity: all is done in the transaction, so no call is left behind."""

    asks: ClassVar[bool] = False

    def has(self, client: GeneratedClient) -> bool:
        """Whether a client is one of these."""
        return client.commerce is None

    def make(self, project: str, scopes: tuple[str, ...], name: str) -> Made:  # noqa: ARG002 - as all do
        """One that is there once it is kept."""
        return Made(id=ids.new_client_id(), scopes=scopes, secret=ids.new_client_secret())

    def keep(self, connection: Connection, subject: Deployment, made: Made, now: int) -> None:
        """Write it."""
        by = Administration(connection, actor=actor_for(subject), now=now)
        key = subject.project.partition(":")[2]
        by.create_generated_client(key, made.scopes, id_=made.id, secret=made.secret)

    def end(self, project: str, id_: str) -> None:
        """Nothing: it ends when it is forgotten."""

    def end_named(self, project: str, name: str) -> list[str]:  # noqa: ARG002 - as all do
        """None is there that was not kept."""
        return []

    def forget(self, connection: Connection, subject: Deployment, id_: str, now: int) -> None:
        """End it."""
        by = Administration(connection, actor=actor_for(subject), now=now)
        with contextlib.suppress(IdentityError):  # it was revoked before, by whomever
            by.revoke_client(id_)


class Places:
    """Where the API Clients of which Project are."""

    def __init__(self, commerce: Mapping[str, ApiClients]) -> None:
        """Make it; `commerce` are the commerce projects, by `region:projectKey`."""
        self._commerce = commerce
        self._own = OwnClients()

    def of(self, project: str) -> ApiClients:
        """Where those of a Project are made from now on."""
        return self._commerce.get(project, self._own)

    def holding(self, project: str, client: GeneratedClient) -> ApiClients:
        """Where a client is.

        Raises:
            ApiClientError: in a commerce project that this installation has no access to now.
        """
        for place in (self._own, self._commerce.get(project)):
            if place is not None and place.has(client):
                return place
        where = f" at {client.commerce.api_url}" if client.commerce else ""
        raise _no_access(project, f"the API Client {client.id} is one of a commerce project{where}")

    def end(self, project: str, client: GeneratedClient) -> None:
        """End a client, wherever it is, as far as that is done outside of a transaction.

        Raises:
            ApiClientError: it may be there still.
        """
        self.holding(project, client).end(project, client.id)

    def end_named(self, project: str, name: str) -> list[str]:
        """End what a commerce project was asked for and is called so; the ids.

        Raises:
            ApiClientError: it may be there still.
        """
        place = self.of(project)
        if not place.asks:
            raise _no_access(project, f"a commerce project may have an API Client named {name!r}")
        return place.end_named(project, name)

    def forget(self, connection: Connection, subject: Deployment, now: int) -> None:
        """Write down that all API Clients of a Deployment were ended."""
        for each in (*subject.retired_clients, subject.client):
            if each is not None:
                self.holding(subject.project, each).forget(connection, subject, each.id, now)


def actor_for(subject: Deployment) -> str:
    """Who acts on a Deployment, as the audit log names them."""
    return subject.request.actor if subject.request else _ACTOR


def _no_access(project: str, what: str) -> ApiClientError:
    return ApiClientError(
        f"{what}, to which CONNECTORY_COMMERCE_PROJECTS_FILE gives no access for {project}",
        transient=False,
    )


def satisfied(subject: Deployment, place: ApiClients) -> bool:
    """Whether a Deployment has the API Client that its Connector wants, or wants none."""
    client = subject.client
    if client is None or subject.scopes is None:
        return client is None and subject.scopes is None
    return client.scopes == subject.scopes and place.has(client)


def with_client(subject: Deployment, client: GeneratedClient | None) -> Deployment:
    """With another API Client, or with none; the one before is ended later."""
    before = () if subject.client is None else (subject.client,)
    return replace(subject, client=client, retired_clients=(*subject.retired_clients, *before))


def unused(
    connection: Connection, subject: Deployment
) -> tuple[list[GeneratedClient], list[AskedClient]]:
    """The API Clients that neither runs with nor a deploy under way makes."""
    request = subject.request.id if subject.request else None
    asked = [each for each in subject.asked_clients if each.request != request]
    try:
        serving = subject.release and store.find_release(connection, subject.id, subject.release)
    except Damaged:  # whatever it runs with, none may be taken from it
        return [], asked
    used = {each.id for each in (subject.client, serving and serving.client) if each}
    return [each for each in subject.retired_clients if each.id not in used], asked


def settled(connection: Connection, subject: Deployment, now: int) -> Deployment:
    """A Deployment after a deploy of it has ended.

    Own API Clients that nothing needs any more are ended; for those of a commerce project, work is
    queued.
    """
    clients, asked = unused(connection, subject)
    own = OwnClients()
    ended = {each.id for each in clients if own.has(each)}
    for each in clients:
        if each.id in ended:
            own.forget(connection, subject, each.id, now)
    if asked or len(clients) > len(ended):
        work.enqueue(
            connection,
            kind=END_CLIENTS,
            subject=subject.id,
            project=subject.project,
            payload={},
            now=now,
        )
    return without(subject, ended)


def without(
    subject: Deployment, clients: set[str], asked: set[str] | frozenset[str] = frozenset()
) -> Deployment:
    """Without retired API Clients, by their ids, and asked ones, by their names."""
    return replace(
        subject,
        retired_clients=tuple(each for each in subject.retired_clients if each.id not in clients),
        asked_clients=tuple(each for each in subject.asked_clients if each.name not in asked),
    )
