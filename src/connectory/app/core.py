"""What all areas stand on, and what a node keeps in memory: clients, tokens, the catalogue."""

import functools
from collections.abc import Callable

from msgspec import Struct

from connectory.catalogue.following import Following
from connectory.catalogue.service import Catalogue
from connectory.database.documents import Damages
from connectory.database.engine import Database
from connectory.database.feed import Follower, Freshness
from connectory.database.secrets import KeyRing, load_key_ring
from connectory.identity.service import Identity
from connectory.kernel.clock import Clock
from connectory.settings import Settings
from connectory.sources.service import Sources


class Ground(Struct, frozen=True, kw_only=True):
    """What everything is made of."""

    settings: Settings
    database: Database
    clock: Clock
    #: Read when the first secret wants it.
    key_ring: Callable[[], KeyRing]
    damages: Damages
    sources: Sources


class Core(Struct, frozen=True, kw_only=True):
    """What follows the change feed."""

    identity: Identity
    catalogue: Catalogue
    catalogue_following: Following
    follower: Follower


def ground_of(settings: Settings, database: Database, clock: Clock) -> Ground:
    """For one node."""
    return Ground(
        settings=settings,
        database=database,
        clock=clock,
        key_ring=functools.cache(lambda: load_key_ring(settings)),
        damages=Damages(),
        sources=Sources(settings, database, clock),
    )


def core_of(ground: Ground) -> Core:
    """The parts, joined by one feed."""
    settings, database = ground.settings, ground.database
    freshness = Freshness()
    identity = Identity(database, freshness, ground.clock, settings.token_seconds)
    following = Following(database, settings.cache_bytes)
    return Core(
        identity=identity,
        catalogue=Catalogue(database, following),
        catalogue_following=following,
        follower=Follower(database, (identity, following), freshness, ahead=following),
    )
