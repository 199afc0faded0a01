"""What calls others by itself: applications with messages and as jobs, and webhooks."""

from msgspec import Struct

from connectory.app.core import Ground
from connectory.database.shards import Shards
from connectory.gateway.server import Gateway
from connectory.messages.service import Messages
from connectory.schedule.service import Jobs
from connectory.webhooks.service import Webhooks


class Calling(Struct, frozen=True, kw_only=True):
    """The parts."""

    shards: Shards
    messages: Messages
    jobs: Jobs
    webhooks: Webhooks


def calling_of(ground: Ground, gateway: Gateway) -> Calling:
    """The parts, joined; applications are called through the gateway."""
    settings, database, clock = ground.settings, ground.database, ground.clock
    shards = Shards(database)
    jobs = Jobs(database, clock, gateway, shards)
    messages = Messages(
        database,
        clock,
        gateway,
        shards,
        kept_days=settings.messages_kept_days,
        dead_kept_days=settings.dead_letters_kept_days,
        acknowledged_kept=settings.messages_acknowledged_kept,
    )
    webhooks = Webhooks(
        database,
        clock,
        ground.key_ring,
        most=settings.max_webhooks,
        private=settings.webhook_private_addresses == "on",
    )
    return Calling(shards=shards, messages=messages, jobs=jobs, webhooks=webhooks)
