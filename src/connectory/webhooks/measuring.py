"""What `/metrics` tells of webhooks."""

from collections.abc import Sequence

from connectory.operations.metrics import Reading
from connectory.webhooks.service import Webhooks


def counters(webhooks: Webhooks) -> Sequence[Reading]:
    """Attempts, by what became of them."""
    name, meaning = "connectory_webhook_attempts", "Attempts to deliver what webhooks tell."
    return (
        Reading(name, meaning, lambda: webhooks.counted.delivered, {"outcome": "delivered"}),
        Reading(name, meaning, lambda: webhooks.counted.refused, {"outcome": "refused"}),
    )
