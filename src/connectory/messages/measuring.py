"""What a node measures of messages, for `/metrics`."""

from collections.abc import Sequence

from connectory.messages.service import Messages
from connectory.operations.metrics import Reading


def gauges(messages: Messages) -> Sequence[Reading]:
    """What there is now."""
    name, meaning = "connectory_messages", "Messages to event applications, on all nodes."
    return (
        Reading(name, meaning, lambda: messages.counts.waiting, {"state": "waiting"}),
        Reading(name, meaning, lambda: messages.counts.dead, {"state": "dead"}),
    )


def counters(messages: Messages) -> Sequence[Reading]:
    """What there was on this node since the start."""
    counted = messages.deliveries.counted
    name, meaning = "connectory_deliveries", "Deliveries of messages, by how they ended."
    return (
        Reading("connectory_messages_published", "Messages accepted.", lambda: counted.published),
        Reading(name, meaning, lambda: counted.acknowledged, {"outcome": "acknowledged"}),
        Reading(name, meaning, lambda: counted.refused, {"outcome": "refused"}),
        Reading(
            "connectory_dead_letters",
            "Messages that became dead letters after a delivery.",
            lambda: counted.died,
        ),
    )
