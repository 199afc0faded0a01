"""The releases of Deployments as others may ask for them: what each was, and what it changed."""

import hmac
from collections.abc import Callable, Iterator

from msgspec import UNSET
from sqlalchemy import Connection

from connectory.contract import releases as wire
from connectory.contract.releases import DeploymentReleasePagedQueryResponse, ReleaseOutcome
from connectory.database.engine import Database
from connectory.database.secrets import KeyRing, SecretKeysError
from connectory.deployments import store
from connectory.deployments.changes import SameSecret, changes
from connectory.deployments.model import Deployment, Release
from connectory.deployments.service import Name
from connectory.kernel.clock import to_rfc3339


class Releases:
    """The releases of all Deployments, to be read."""

    def __init__(self, database: Database, key_ring: Callable[[], KeyRing]) -> None:
        self._database = database
        self._key_ring = key_ring

    async def page(
        self, name: Name, project: str, *, offset: int, limit: int
    ) -> DeploymentReleasePagedQueryResponse:
        """Releases of a Deployment of a Project (`region:projectKey`), the newest first.

        Raises:
            ResourceNotFound: it has none of this name.
        """
        return await self._database.reading_promptly(self._page, name, project, offset, limit)

    def _page(
        self, connection: Connection, name: Name, project: str, offset: int, limit: int
    ) -> DeploymentReleasePagedQueryResponse:
        deployment = store.find(connection, project, id_=name.id, key=name.key)
        if deployment is None:
            raise name.missing()
        found = store.releases_of(connection, deployment.id, offset=offset, limit=limit)
        same_secret = self._same_secret(deployment)
        results = tuple(
            _shown(each, deployment, before, same_secret)
            for each, before in _with_the_one_before(connection, found)
        )
        return DeploymentReleasePagedQueryResponse(
            offset=offset,
            limit=limit,
            total=store.count_releases(connection, deployment.id),
            count=len(results),
            results=results,
        )

    def _same_secret(self, deployment: Deployment) -> SameSecret:
        """Whether two sealed texts of a Deployment are of the same secret.

        One that cannot be opened, because its key is lost, is taken for another.
        """

        def opened(sealed: str) -> bytes:
            return self._key_ring().open(sealed, deployment.secret_owner) if sealed else b""

        def same(one: str, other: str) -> bool:
            try:
                return hmac.compare_digest(opened(one), opened(other))
            except SecretKeysError:
                return False

        return same


def _with_the_one_before(
    connection: Connection, found: list[Release]
) -> Iterator[tuple[Release, Release | None]]:
    """Each release, and the latest before it that was deployed."""
    for place, release in enumerate(found):
        later = found[place + 1 :]
        before = next((each for each in later if each.outcome == ReleaseOutcome.DEPLOYED), None)
        if before is None:
            last = later[-1] if later else release
            before = store.deployed_before(connection, last.deployment_id, last.number)
        yield release, before


def _shown(
    release: Release, deployment: Deployment, before: Release | None, same_secret: SameSecret
) -> wire.DeploymentRelease:
    connector = release.connector
    return wire.DeploymentRelease(
        number=release.number,
        outcome=ReleaseOutcome(release.outcome),
        serving=release.number == deployment.release,
        rollback_to=UNSET if release.rollback_to is None else release.rollback_to,
        created_at=to_rfc3339(release.created_at),
        finished_at=UNSET if release.finished_at is None else to_rfc3339(release.finished_at),
        actor=release.actor,
        connector=wire.ReleaseConnector(
            id=connector.id,
            key=connector.key,
            version=connector.version,
            tag=connector.repository.tag,
        ),
        commit=release.commit or UNSET,
        changes=UNSET if before is None else changes(before, release, same_secret),
    )
