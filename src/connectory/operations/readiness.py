"""Whether a node is ready for requests, and if not, why."""

from connectory.contract.errors import ServiceUnavailable
from connectory.database import migration
from connectory.database.engine import Database, DatabaseUnavailable


class Readiness:
    """Asked by load balancers; tells no when the node starts to stop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.draining = False

    async def check(self) -> None:
        """Make sure that the node is ready.

        Raises:
            ServiceUnavailable: it is not; the message says why.
        """
        if self.draining:
            raise ServiceUnavailable("The server is shutting down")
        try:
            await self._database.reading_promptly(migration.require_current_revision)
        except DatabaseUnavailable:
            raise ServiceUnavailable("The database cannot be reached") from None
        except migration.SchemaMismatch as error:
            raise ServiceUnavailable(f"The migrations are not current: {error}") from None
