"""What others may ask of ConnectorStaged: the one place where they are written.

`write` saves a changed ConnectorStaged, queues the work of its new requests and mirrors it into the
catalogue, all in the caller's transaction. Everybody locks in the same order: the ConnectorStaged,
then work, then the change feed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct
from sqlalchemy import Connection

from connectory.catalogue import publishing
from connectory.catalogue.model import Sort, in_order
from connectory.catalogue.service import Catalogue
from connectory.contract.connectors import Repository
from connectory.contract.errors import (
    ConcurrentModification,
    ConnectorStagedInProcess,
    DuplicateField,
    LimitExceeded,
    ResourceNotFound,
)
from connectory.contract.scalars import IntegrationType
from connectory.contract.staged import ConnectorStagedDraft, ConnectorUpdate
from connectory.database import audit, feed
from connectory.database.audit import Act
from connectory.database.documents import Damages
from connectory.database.engine import Database
from connectory.http.access import Grant
from connectory.kernel import ids
from connectory.kernel.clock import Clock
from connectory.sources.service import Sources
from connectory.staging import store, telling
from connectory.staging.actions import Acting, apply, repositories
from connectory.staging.declaring import read_declared
from connectory.staging.model import Declared, Kind, Staged, created
from connectory.staging.outcomes import serves
from connectory.work import store as work

KINDS: tuple[Kind, ...] = ("preview", "publish")

#: Repositories that requests wait for at once, on a node; others wait for these.
_FETCHES = 8


class Limits(Struct, frozen=True, kw_only=True):
    """How much a Project may have: ConnectorStaged, and requests under way."""

    drafts: int
    requests: int


class Name(Struct, frozen=True, kw_only=True):
    """How a request names a ConnectorStaged: one of the two."""

    id: str | None = None
    key: str | None = None

    def missing(self) -> ResourceNotFound:
        """The error where there is none, or none of the Project's."""
        what = f"id '{self.id}'" if self.id is not None else f"key '{self.key}'"
        return ResourceNotFound(f"The Resource with {what} was not found.")


class Query(Struct, frozen=True, kw_only=True):
    """Which ConnectorStaged of a Project are asked for; different filters hold together."""

    private: bool | None = None
    integration_types: Sequence[IntegrationType] = ()
    sort: Sequence[Sort] = ()
    offset: int = 0
    limit: int = 20


class Staging:
    """The ConnectorStaged of all Projects, for the requests of one node."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        sources: Sources,
        clock: Clock,
        limits: Limits,
        *,
        work_queued: Callable[[], None],
        catalogue_changed: Callable[[], Awaitable[None]],
        damages: Damages,
    ) -> None:
        """Make it.

        `work_queued` and `catalogue_changed` are called after a commit that did so; when the
        latter ends, this node shows the change.
        """
        self._database = database
        self._catalogue = catalogue
        self._sources = sources
        self._clock = clock
        self._limits = limits
        self._work_queued = work_queued
        self._catalogue_changed = catalogue_changed
        self._damages = damages
        self._fetches = ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetch")

    async def get(self, name: Name, project: str) -> Staged:
        """A ConnectorStaged of a Project.

        Raises:
            ResourceNotFound: it has none of this name.
            Damaged: it cannot be read.
        """
        found = await self._database.reading_promptly(store.find, id_=name.id, key=name.key)
        if found is None or found.project != project:
            raise name.missing()
        await self._let_catalogue_follow((found,))
        return found

    async def query(self, query: Query, project: str) -> tuple[int, list[Staged]]:
        """How many of a Project's ConnectorStaged match, and the page; both leave out damaged."""
        found = await self._database.reading_promptly(store.of_project, project)
        self._damages.left_out(found.damaged)
        matching = [each for each in found.documents if _matches(each, query)]
        matching = in_order(matching, query.sort, lambda each: each.data.name)
        page = matching[query.offset : query.offset + query.limit]
        await self._let_catalogue_follow(page)
        return len(matching), page

    async def create(self, draft: ConnectorStagedDraft, grant: Grant) -> Staged:
        """Make a ConnectorStaged of a draft, with what its connect.yaml declares.

        Raises:
            DuplicateField: the key is a ConnectorStaged's or a Connector's.
            LimitExceeded: the Project has as many as it may.
            ApiError: the repository cannot be had, or its connect.yaml; see `read_declared`.
        """
        await self._database.reading_promptly(_require_free, draft, grant.project, self._limits)
        declared = await self._declared((draft.repository,), grant.project)
        subject = created(
            draft,
            declared[draft.repository],
            id_=ids.new_id(),
            project=grant.project,
            now=self._clock(),
        )
        await self._database.writing(_create, subject, draft, grant, self._limits)
        return subject

    async def update(self, name: Name, update: ConnectorUpdate, grant: Grant) -> Staged:
        """Apply update actions, all or none.

        Raises:
            ResourceNotFound: the Project has none of this name.
            ConcurrentModification: it has another version by now.
            ApiError: an action is not possible; see `actions.apply` and `read_declared`.
        """
        before = await self.get(name, grant.project)
        _require_version(before, update)
        declared = await self._declared(repositories(before, update.actions), grant.project)
        acting = Acting(
            actor=f"client:{grant.client_id}",
            project_key=grant.project_key,
            now=self._clock(),
            new_id=ids.new_id,
            declared=declared,
        )
        after = await self._database.writing(_update, before.id, update, acting, self._limits)
        if any(_requested(before, after, kind) for kind in KINDS):
            self._work_queued()
        if _shows_in_catalogue(before, after):
            await self._catalogue_changed()
        return after

    async def delete(self, name: Name, grant: Grant) -> Staged:
        """Delete a ConnectorStaged; its Connector is unlisted, and goes on where it runs.

        Raises:
            ResourceNotFound: the Project has none of this name.
            ConnectorStagedInProcess: a publish request or a certification is under way.
        """
        subject = await self.get(name, grant.project)
        deleted = await self._database.writing(_delete, subject.id, name, grant, self._clock())
        if deleted.connector is not None:
            await self._catalogue_changed()
        return deleted

    async def _let_catalogue_follow(self, shown: Sequence[Staged]) -> None:
        """See to it that a node that says that a Connector is published has it, too."""
        for subject in shown:
            connector = subject.connector
            if connector and not self._catalogue.has(subject.id, connector.version):
                await self._catalogue_changed()
                return

    async def _declared(
        self, wanted: Sequence[Repository], project: str
    ) -> Mapping[Repository, Declared]:
        loop = asyncio.get_running_loop()
        read = [
            loop.run_in_executor(self._fetches, read_declared, self._sources, each, project)
            for each in wanted
        ]
        return dict(zip(wanted, await asyncio.gather(*read), strict=True))


def write(connection: Connection, before: Staged, after: Staged, now: int) -> None:
    """Save a changed ConnectorStaged and all that follows from the change."""
    store.save(connection, after)
    for kind in KINDS:
        request = after.preview if kind == "preview" else after.publish
        if request is not None and _requested(before, after, kind):
            work.enqueue(
                connection,
                kind=kind,
                subject=after.id,
                project=after.project,
                payload={"request": request.id},
                now=now,
            )
    _mirror(connection, before, after, now)


def act(subject: Staged, actor: str, verb: str, now: int, **details: object) -> Act:
    """An entry of the audit log about a ConnectorStaged."""
    return Act(
        at=now, actor=actor, action=f"staging:connector:{verb}", subject=subject.id, details=details
    )


def _mirror(connection: Connection, before: Staged, after: Staged, now: int) -> None:
    """Let the Connector follow its ConnectorStaged."""
    old, new = before.connector, after.connector
    if new is None:
        return
    if old is None or old.version != new.version:
        content = new.data.connector(private=after.private, certified=new.certified)
        publishing.publish(
            connection,
            publishing.Publication(
                id=after.id,
                version=new.version,
                content=content,
                commit=after.commit,
                owner=after.project,
                private_projects=after.private_projects,
                now=now,
            ),
        )
        telling.published(connection, after, now)
        return
    if old.listed != new.listed:
        publishing.unlist(connection, after.id)
        telling.unlisted(connection, after, now)
    if before.private_projects != after.private_projects:
        publishing.assign(connection, after.id, after.private_projects)


def _shows_in_catalogue(before: Staged, after: Staged) -> bool:
    return before.connector != after.connector or (
        after.connector is not None and before.private_projects != after.private_projects
    )


def _requested(before: Staged, after: Staged, kind: Kind) -> bool:
    """Whether a change made a request."""
    request = after.preview if kind == "preview" else after.publish
    return request is not None and not serves(before, kind, request.id)


def _require_version(subject: Staged, update: ConnectorUpdate) -> None:
    if subject.version != update.version:
        raise ConcurrentModification(subject.name, update.version, subject.version)


def _require_free(
    connection: Connection, draft: ConnectorStagedDraft, project: str, limits: Limits
) -> None:
    """Make sure that a draft can become a ConnectorStaged of a Project."""
    key = draft.key
    if isinstance(key, str) and (
        store.id_of_key(connection, key) or publishing.id_of_key(connection, key)
    ):
        raise DuplicateField("key", key)
    if store.count(connection, project) >= limits.drafts:
        raise LimitExceeded(
            f"This Project has {limits.drafts} ConnectorStaged, and may have no more"
            " (CONNECTORY_MAX_DRAFTS)"
        )


def _create(
    connection: Connection,
    subject: Staged,
    draft: ConnectorStagedDraft,
    grant: Grant,
    limits: Limits,
) -> None:
    # Imports and drafts that want the same key come one after the other, and an import that has
    # been worked out against the catalogue as it was finds that it has changed.
    feed.advance(connection)
    _require_free(connection, draft, subject.project, limits)
    store.add(connection, subject)
    audit.record(
        connection,
        act(subject, f"client:{grant.client_id}", "create", subject.created_at, key=subject.key),
    )


def _update(
    connection: Connection,
    id_: str,
    update: ConnectorUpdate,
    acting: Acting,
    limits: Limits,
) -> Staged:
    before = store.lock(connection, id_=id_)
    if before is None:
        raise Name(id=id_).missing()
    _require_version(before, update)
    after = apply(before, update.actions, acting)
    if any(_requested(before, after, kind) for kind in KINDS):
        _require_room(connection, after.project, limits)
    write(connection, before, after, acting.now)
    names = [type(action).__struct_config__.tag for action in update.actions]
    audit.record(
        connection,
        act(after, acting.actor, "update", acting.now, version=after.version, actions=names),
    )
    return after


def _require_room(connection: Connection, project: str, limits: Limits) -> None:
    if work.count_open(connection, project) >= limits.requests:
        raise LimitExceeded(
            f"This Project has {limits.requests} preview and publish requests under way, and may"
            " have no more (CONNECTORY_MAX_REQUESTS)"
        )


def _delete(connection: Connection, id_: str, name: Name, grant: Grant, now: int) -> Staged:
    subject = store.lock(connection, id_=id_)
    if subject is None:
        raise name.missing()
    if subject.publish is not None:
        raise ConnectorStagedInProcess(subject.name, subject.status)
    store.remove(connection, id_)
    if subject.connector is not None:
        publishing.release_key(connection, id_)
        if subject.connector.listed:
            telling.unlisted(connection, subject, now)
    actor = f"client:{grant.client_id}"
    audit.record(connection, act(subject, actor, "delete", now, version=subject.version))
    return subject


def _matches(subject: Staged, query: Query) -> bool:
    kinds = query.integration_types
    return (query.private is None or subject.private == query.private) and (
        not kinds or not set(kinds).isdisjoint(subject.data.integration_types)
    )
