"""The demo: a Project, a client whose secret everyone knows, and real Connectors as facts.

Only for a server that listens on loopback.
"""

from importlib import resources

from connectory.catalogue.importing import import_connectors
from connectory.contract.scalars import Region
from connectory.database.engine import Database

PROJECT_KEY = "demo"
REGION = Region.EUROPE_WEST1_GCP
CLIENT_ID = "connectory-demo-client-1"
CLIENT_SECRET = "connectory-demo-secret-no-secret"  # noqa: S105 - it says so itself


def import_demo_catalogue(database: Database, *, actor: str, now: int) -> None:
    """Publish the demo's Connectors; a second time changes nothing."""
    lines = resources.files("connectory.catalogue").joinpath("demo.jsonl").read_bytes()
    faults: list[str] = []
    import_connectors(
        database,
        lines.splitlines(),
        actor=actor,
        now=now,
        fault=lambda found: faults.append(str(found)),
    )
