"""What others may ask of Deployments: the one place where requests write them.

The Deployment, its release and the work that serves it are written in one transaction. Everybody
locks in the same order: the Deployment, then work, then the change feed.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.catalogue.model import Sort, in_order
from connectory.contract.deployments import (
    DeploymentDraft,
    DeploymentGlobalConfiguration,
    DeploymentStatus,
    DeploymentType,
    DeploymentUpdate,
    Redeploy,
    Rollback,
)
from connectory.contract.errors import (
    ApiError,
    ApiErrors,
    AuthorizationError,
    ConcurrentModification,
    DeploymentApplicationDoNotBelong,
    DeploymentApplicationRequired,
    DeploymentConnectorUpdateFailure,
    DeploymentUnsupportedRegion,
    DuplicateField,
    InvalidJsonInput,
    LimitExceeded,
    ResourceNotFound,
)
from connectory.contract.scalars import IntegrationType
from connectory.contract.scopes import Permission
from connectory.database import audit
from connectory.database.audit import Act
from connectory.database.engine import Database
from connectory.database.secrets import KeyRing
from connectory.deployments import model, references, retention, rolling_back, store
from connectory.deployments.accepting import (
    deployed_connector,
    kept_or_new,
    release_of,
    scopes_of,
    type_of,
)
from connectory.deployments.configuration import Given, configured
from connectory.deployments.model import Deployment, Reference, Release
from connectory.deployments.retention import Kept
from connectory.deployments.turns import DEPLOY, UNDEPLOY, Turns, enqueue
from connectory.http.access import Grant
from connectory.identity import store as identity
from connectory.kernel import ids
from connectory.kernel.clock import Clock


class Name(Struct, frozen=True, kw_only=True):
    """How a request names a Deployment of a Project: one of the two."""

    id: str | None = None
    key: str | None = None

    def missing(self) -> ResourceNotFound:
        """The error where there is none."""
        what = f"id={self.id}" if self.id is not None else f"key={self.key}"
        return ResourceNotFound(f"Deployment with {what} does not exist")


class Query(Struct, frozen=True, kw_only=True):
    """Which Deployments of a Project are asked for; different filters hold together."""

    type: DeploymentType | None = None
    integration_types: Sequence[IntegrationType] = ()
    sort: Sequence[Sort] = ()
    offset: int = 0
    limit: int = 20


class Deployments:
    """The Deployments of all Projects, for the requests of one node."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        turns: Turns,
        *,
        most: int,
        kept: Kept,
        key_ring: Callable[[], KeyRing],
        work_queued: Callable[[], None],
    ) -> None:
        """Make it.

        A Project may have `most` Deployments, each with the releases that are `kept`.
        `work_queued` is called after a commit that queued some.
        """
        self._database = database
        self._clock = clock
        self._turns = turns
        self._most = most
        self._kept = kept
        self._key_ring = key_ring
        self._work_queued = work_queued

    async def get(self, name: Name, project: str) -> Deployment:
        """A Deployment of a Project (`region:projectKey`).

        Raises:
            ResourceNotFound: it has none of this name.
        """
        found = await self._database.reading_promptly(
            store.find, project, id_=name.id, key=name.key
        )
        if found is None:
            raise name.missing()
        return found

    async def query(self, query: Query, project: str) -> tuple[int, list[Deployment]]:
        """How many of a Project's Deployments match, and those of the page."""
        found = await self._database.reading_promptly(store.of_project, project)
        matching = [each for each in found if _matches(each, query)]
        matching = in_order(matching, query.sort, lambda each: each.connector.name)
        return len(matching), matching[query.offset : query.offset + query.limit]

    async def create(self, draft: DeploymentDraft, grant: Grant) -> Deployment:
        """Make a Deployment of a draft, and have it deployed.

        Raises:
            ApiError: what is asked for cannot be: see the errors of `POST …/deployments`.
        """
        made = await self._database.writing(self._create, draft, grant)
        self._work_queued()
        return made

    async def update(self, name: Name, update: DeploymentUpdate, grant: Grant) -> Deployment:
        """Redeploy, or roll back.

        Raises:
            ResourceNotFound: the Project has none of this name.
            ConcurrentModification: it has another version by now.
            ApiError: what is asked for cannot be: see the errors of the update actions.
        """
        if len(update.actions) != 1:
            raise InvalidJsonInput("actions: exactly one redeploy or rollback is taken")
        before = await self.get(name, grant.project)
        after = await self._database.writing(self._update, before.id, name, update, grant)
        self._work_queued()
        return after

    async def delete(self, name: Name, grant: Grant, *, skip_scripts: bool = False) -> Deployment:
        """Undeploy, and delete when that is done; a deploy under way is overtaken.

        Raises:
            ResourceNotFound: the Project has none of this name.
        """
        before = await self.get(name, grant.project)
        after = await self._database.writing(
            self._delete, before.id, name, grant, skip_scripts=skip_scripts
        )
        self._work_queued()
        return after

    def _create(self, connection: Connection, draft: DeploymentDraft, grant: Grant) -> Deployment:
        project = identity.find_project(connection, grant.project_key)
        reference = references.find(connection, draft.connector, grant.project, anew=True)
        type_ = type_of(draft, reference, production=project is not None and project.production)
        supported = reference.content.supported_regions
        if supported and draft.region not in supported:
            raise DeploymentUnsupportedRegion(draft.region)
        self._require_free(connection, draft, grant.project)
        id_, now = ids.new_id(), self._clock()
        blank = Deployment(
            id=id_,
            key=draft.key if isinstance(draft.key, str) else None,
            project=grant.project,
            version=0,
            type=type_,
            region=draft.region,
            connector=deployed_connector(reference),
            staged=reference.staged,
            applications=(),
            created_at=now,
            last_modified_at=now,
        )
        given = Given(applications=draft.configurations, shared=_shared(draft.global_configuration))
        subject = self._requested(connection, self._of(blank, reference, given, grant), grant)
        store.add(connection, subject)
        _enqueue_deploy(connection, subject, now)
        store.put_release(connection, release_of(subject, now))
        self._record(connection, subject, grant, "create", key=subject.key, type=subject.type)
        return subject

    def _update(
        self, connection: Connection, id_: str, name: Name, update: DeploymentUpdate, grant: Grant
    ) -> Deployment:
        before = store.lock(connection, id_)
        if before is None:
            raise name.missing()
        if before.version != update.version:
            raise ConcurrentModification(before.name, update.version, before.version)
        (action,) = update.actions
        # First, so that a redeploy at the wrong time is told as such, whatever else is wrong.
        model.require_at_rest(before)
        earlier: Release | None = None
        if isinstance(action, Rollback):
            earlier = rolling_back.find(connection, before, action.release)
            changed = rolling_back.rolled_back(before, earlier)
            _require_client_permission(before, changed.scopes, grant)
        else:
            changed = self._updated(connection, before, grant, action)
        after = self._requested(connection, changed, grant, skip_scripts=action.skip_scripts)
        now = after.last_modified_at
        store.save(connection, after)
        _enqueue_deploy(connection, after, now)
        release = release_of(after, now)
        if earlier is not None:
            release = rolling_back.brought_back(release, earlier)
        store.put_release(connection, release)
        retention.prune(connection, after, self._kept, named=earlier)
        about: dict[str, object] = {"version": after.version, "release": after.releases}
        about |= {"to": earlier.number} if earlier else {}
        self._record(connection, after, grant, "rollback" if earlier else "redeploy", **about)
        return after

    def _delete(
        self,
        connection: Connection,
        id_: str,
        name: Name,
        grant: Grant,
        *,
        skip_scripts: bool,
    ) -> Deployment:
        before = store.lock(connection, id_)
        if before is None:
            raise name.missing()
        if before.status is DeploymentStatus.UNDEPLOYING:
            return before
        actor = f"client:{grant.client_id}"
        after = model.undeploying(
            before, ids.new_id(), self._clock(), actor=actor, skip_scripts=skip_scripts
        )
        store.save(connection, after)
        now = after.last_modified_at
        enqueue(connection, UNDEPLOY, after, now)
        if before.status is DeploymentStatus.DEPLOYING:
            self._turns.begin(connection, after.project, now)
        self._record(connection, after, grant, "delete", version=after.version)
        return after

    def _updated(
        self, connection: Connection, before: Deployment, grant: Grant, action: Redeploy
    ) -> Deployment:
        """What a redeploy makes of a Deployment, before it is under way."""
        reference = references.of_redeploy(connection, before, action)
        given = Given(
            applications=action.configuration_values,
            shared=_shared(action.global_configuration),
            kept=before.configured,
            name=before.name,
        )
        connector = reference.name
        supported = reference.content.supported_regions
        if action.update_connector and supported and before.region not in supported:
            cause = f"it does not support the region {before.region}"
            raise DeploymentConnectorUpdateFailure(before.name, connector, cause)
        try:
            return self._of(before, reference, given, grant)
        except (ApiErrors, DeploymentApplicationRequired) as fault:
            if not action.update_connector or reference.version == before.connector.version:
                raise
            errors = fault.errors if isinstance(fault, ApiErrors) else (fault,)
            cause = "; ".join(map(_cause, errors))
            raise DeploymentConnectorUpdateFailure(before.name, connector, cause) from None

    def _of(
        self, before: Deployment, reference: Reference, given: Given, grant: Grant
    ) -> Deployment:
        """A Deployment of a Connector, with its values."""
        content = reference.content
        declared = content.configurations or ()
        if not declared:
            raise DeploymentApplicationRequired
        scopes = scopes_of(content.api_client)
        _require_client_permission(before, scopes, grant)
        ring = self._key_ring()
        values = configured(
            declared,
            content.global_configuration or None,
            given,
            lambda value: ring.seal(value.encode(), before.secret_owner),
        )
        known = {each.name: each for each in before.applications}
        applications = tuple(kept_or_new(each, known, values) for each in declared)
        staying = {each.id for each in applications}
        gone = (each.id for each in before.applications if each.id not in staying)
        return replace(
            before,
            connector=deployed_connector(reference),
            commit=reference.commit,
            source_owner=reference.owner,
            scopes=scopes,
            applications=applications,
            retired=(*before.retired, *gone),
            shared=values.shared,
        )

    def _requested(
        self,
        connection: Connection,
        before: Deployment,
        grant: Grant,
        *,
        skip_scripts: bool = False,
    ) -> Deployment:
        return model.requested(
            before,
            ids.new_id(),
            self._clock(),
            actor=f"client:{grant.client_id}",
            held=self._turns.are_taken(connection, grant.project),
            skip_scripts=skip_scripts,
        )

    def _require_free(self, connection: Connection, draft: DeploymentDraft, project: str) -> None:
        key = draft.key
        if isinstance(key, str) and store.id_of_key(connection, project, key):
            raise DuplicateField("key", key)
        most = self._most
        if store.count(connection, project) >= most:
            raise LimitExceeded(
                f"This Project has {most} Deployments, and may have no more"
                " (CONNECTORY_MAX_DEPLOYMENTS)"
            )

    def _record(
        self,
        connection: Connection,
        subject: Deployment,
        grant: Grant,
        verb: str,
        **details: object,
    ) -> None:
        act = Act(
            at=subject.last_modified_at,
            actor=f"client:{grant.client_id}",
            action=f"deployments:deployment:{verb}",
            subject=subject.id,
            details=details,
        )
        audit.record(connection, act)


def _enqueue_deploy(connection: Connection, subject: Deployment, now: int) -> None:
    """Queue the work of a deploy, unless it has to wait for its turn."""
    if subject.status is DeploymentStatus.DEPLOYING:
        enqueue(connection, DEPLOY, subject, now)


def _require_client_permission(
    before: Deployment, scopes: tuple[str, ...] | None, grant: Grant
) -> None:
    """Make sure that the API Client that a Deployment is to have may be made.

    Raises:
        AuthorizationError: it is a new one, and the grant makes none.
    """
    new = scopes is not None and (before.client is None or before.client.scopes != scopes)
    if new and Permission.MANAGE_API_CLIENTS not in grant.permissions:
        raise AuthorizationError


def _shared(given: object) -> DeploymentGlobalConfiguration | None:
    return given if isinstance(given, DeploymentGlobalConfiguration) else None


def _cause(error: ApiError) -> str:
    """Why a version does not take the place of the one before, in words about the version."""
    if isinstance(error, DeploymentApplicationDoNotBelong):
        return f"it has no application '{error.application}'"
    detail = error.details.get("detailedErrorMessage")
    return str(detail) if detail else error.message


def _matches(subject: Deployment, query: Query) -> bool:
    kinds = query.integration_types
    return (query.type is None or subject.type is query.type) and (
        not kinds or not set(kinds).isdisjoint(subject.connector.integration_types)
    )
