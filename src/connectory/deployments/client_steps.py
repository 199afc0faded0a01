"""The steps that make and end API Clients: what is written down before a server is asked.

No answer of a server can be written down in the moment in which it acts. So before a commerce
project is asked for an API Client, the name that it will have is written into the Deployment. No
other attempt uses that name. Whoever dies before the answer is kept leaves a name behind, and what
is found by it is nobody's, and is deleted.
"""

import contextlib
from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.contract.staged import ReportEntryType
from connectory.database.documents import Damaged
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.secrets import KeyRing
from connectory.deployments import api_clients, model, store
from connectory.deployments.api_clients import SETTLED, ApiClientError, ApiClients, Made, Places
from connectory.deployments.clients import AskedClient, GeneratedClient
from connectory.deployments.model import Deployment
from connectory.deployments.overtaking import Overtaken, served
from connectory.kernel.clock import Clock
from connectory.work.lease import Lease
from connectory.work.model import Cancelled, LeaseLost, Work, WorkDelayed, WorkFailed


class ClientStep:
    """The step of a deploy after which there is the API Client that the Connector wants."""

    def __init__(
        self, database: Database, clock: Clock, places: Places, key_ring: Callable[[], KeyRing]
    ) -> None:
        self._database = database
        self._clock = clock
        self._places = places
        self._key_ring = key_ring

    def provide(self, lease: Lease, step: str) -> None:
        """Make the API Client if it is not there, and record the step.

        Raises:
            ApiClientError: it cannot be made.
            Overtaken: the Deployment is being deleted.
        """
        with self._database.read() as connection:
            before = served(store.with_id(connection, lease.work.subject), lease.work)
        place = self._places.of(before.project)
        if api_clients.satisfied(before, place):
            lease.advance(step)
        elif before.scopes is None:
            lease.advance(step, also=lambda connection: self._keep(connection, lease.work, None))
        else:
            self._make(lease, step, place, before, before.scopes)

    def _make(
        self,
        lease: Lease,
        step: str,
        place: ApiClients,
        before: Deployment,
        scopes: tuple[str, ...],
    ) -> None:
        work, project = lease.work, before.project
        asked = None
        if place.asks:
            asked = self._asked(work)
            self._end_earlier(work, place, asked)
            lease.check()
        try:
            made = place.make(project, scopes, asked.name if asked else "")
        except ApiClientError as error:
            if asked is not None and not error.unsure:
                self._drop(work, {asked.name})
            raise

        def keep(connection: Connection) -> None:
            place.keep(connection, before, made, self._clock())
            self._keep(connection, work, made, asked)

        try:
            lease.advance(step, also=keep)
        except (LeaseLost, Cancelled, Overtaken):
            # Nothing was written, and nobody will find it but by its name.
            if place.asks:
                self._take_back(place, before, made)
            raise

    def _take_back(self, place: ApiClients, subject: Deployment, made: Made) -> None:
        """End what was made for nobody; where that fails, it is found by its name."""
        with contextlib.suppress(DatabaseUnavailable):
            with self._database.write() as connection:
                place.keep(connection, subject, made, self._clock())
            with contextlib.suppress(ApiClientError):
                place.end(subject.project, made.id)
                self._tell_ended(place, subject, [made.id])

    def _tell_ended(self, place: ApiClients, subject: Deployment, ids: list[str]) -> None:
        if ids:
            with self._database.write() as connection:
                for each in ids:
                    place.forget(connection, subject, each, self._clock())

    def _asked(self, work: Work) -> AskedClient:
        """Write down what an API Client will be called, before it is asked for."""
        with self._database.write() as connection:
            before = served(store.lock(connection, work.subject), work)
            release = before.request.release if before.request else before.releases
            asked = AskedClient(
                name=f"Connectory {before.id} {release}.{work.attempt}",
                request=work.payload["request"],
                at=self._clock(),
            )
            store.save(connection, replace(before, asked_clients=(*before.asked_clients, asked)))
        return asked

    def _end_earlier(self, work: Work, place: ApiClients, asked: AskedClient) -> None:
        """End what earlier attempts of this request have left behind."""
        with self._database.read() as connection:
            before = served(store.with_id(connection, work.subject), work)
        left = [
            each
            for each in before.asked_clients
            if each.request == asked.request and each.name != asked.name
        ]
        now = self._clock()
        for each in left:
            self._tell_ended(place, before, place.end_named(before.project, each.name))
        if left:
            self._drop(work, {each.name for each in left if each.at + SETTLED <= now})

    def _drop(self, work: Work, names: set[str]) -> None:
        with self._database.write() as connection:
            before = served(store.lock(connection, work.subject), work)
            store.save(connection, api_clients.without(before, set(), names))

    def _keep(
        self,
        connection: Connection,
        work: Work,
        made: Made | None,
        asked: AskedClient | None = None,
    ) -> None:
        before = served(store.lock(connection, work.subject), work)
        client = self._sealed(made, before.secret_owner) if made else None
        after = api_clients.with_client(before, client)
        names = {asked.name} if asked else set()
        store.save(connection, api_clients.without(after, set(), names))

    def _sealed(self, made: Made, owner: str) -> GeneratedClient:
        return GeneratedClient(
            id=made.id,
            scopes=made.scopes,
            secret=self._key_ring().seal(made.secret.encode(), owner),
            commerce=made.commerce,
        )


class Ended(Struct, frozen=True, kw_only=True):
    """What was ended, and what is in the way.

    Attributes:
        clients: Ids of API Clients.
        asked: Names of those asked for that are there no more, and will not be.
        found: Ids of those that were there under such names.
        problems: Why others may be there still.
    """

    clients: set[str]
    asked: set[str]
    found: list[str]
    problems: tuple[ApiClientError, ...]

    def require_all(self) -> None:
        """Make sure that all were ended.

        Raises:
            WorkDelayed: not all were, and it may go well later.
            WorkFailed: not all were, and it will not go well as things are.
        """
        told = "; ".join(dict.fromkeys(each.reason for each in self.problems))
        if not all(each.transient for each in self.problems):
            raise WorkFailed(told)
        if told:
            raise WorkDelayed(told)


def ended(
    places: Places,
    project: str,
    clients: Iterable[GeneratedClient],
    asked: Iterable[AskedClient],
    clock: Clock,
) -> Ended:
    """End API Clients where that is done outside of a transaction; one fault stops no other."""
    gone: set[str] = set()
    settled: set[str] = set()
    found: list[str] = []
    problems: list[ApiClientError] = []
    for client in clients:
        try:
            places.end(project, client)
            gone.add(client.id)
        except ApiClientError as error:
            problems.append(error)
    for each in asked:
        now = clock()
        try:
            found += places.end_named(project, each.name)
        except ApiClientError as error:
            problems.append(error)
            continue
        if each.at + SETTLED <= now:
            settled.add(each.name)
        else:
            late = f"the API Client {each.name!r}, asked for just now, may come to be yet"
            problems.append(ApiClientError(late, transient=True))
    return Ended(clients=gone, asked=settled, found=found, problems=tuple(problems))


class EndingClients:
    """The work of ending the API Clients that a Deployment needs no more (`work.lease.Handler`)."""

    def __init__(self, database: Database, clock: Clock, places: Places) -> None:
        self._database = database
        self._clock = clock
        self._places = places

    def run(self, work: Work, lease: Lease) -> None:
        """End them; what cannot be ended now is tried again."""
        with self._database.read() as connection:
            subject = store.with_id(connection, work.subject)
            if subject is None:
                return
            clients, asked = api_clients.unused(connection, subject)
        result = ended(self._places, subject.project, clients, asked, self._clock)
        own = {each.id for each in clients if each.commerce is None}

        def dropped(connection: Connection) -> None:
            before = store.lock(connection, work.subject)
            if before is not None:
                self._tell(connection, before, result, own)
                after = api_clients.without(before, result.clients - own, result.asked)
                store.save(connection, after)

        if result.problems:
            with self._database.write() as connection:
                dropped(connection)
            result.require_all()
        lease.finish(also=dropped)

    def _tell(
        self, connection: Connection, before: Deployment, result: Ended, own: set[str]
    ) -> None:
        """Write down what has ended, once: it is taken out of the Deployment with this."""
        place, now = self._places.of(before.project), self._clock()
        known = [each.id for each in before.retired_clients if each.id in result.clients - own]
        for each in (*known, *result.found):
            place.forget(connection, before, each, now)

    def give_up(self, connection: Connection, work: Work, error: str) -> None:
        """Say that one is there still; the next deploy tries again, and the delete does."""
        before = None
        with contextlib.suppress(Damaged):
            before = store.lock(connection, work.subject)
        if before is not None:
            entry = model.entry(
                "An API Client could not be removed",
                self._clock(),
                type_=ReportEntryType.WARNING,
                message=error,
            )
            store.save(connection, model.entered(before, entry))

    def cancelled(self, connection: Connection, work: Work) -> None:
        """The same, because an operator cancelled it."""
        self.give_up(connection, work, "an operator cancelled it")
