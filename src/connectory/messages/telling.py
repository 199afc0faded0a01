"""What webhooks tell of dead letters, in the transaction in which messages die.

Those to one application that die in one transaction are told of together: where a million die, a
receiver does not get a million requests.
"""

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import Connection, select

from connectory.contract.messages import MessageState
from connectory.contract.webhooks import WebhookEvent
from connectory.database.tables import messages, topics
from connectory.messages.model import Outcome
from connectory.webhooks.service import emit

#: So many ids are told; of more it is told how many there are.
_TOLD_IDS: Final = 100
_IDS: Final = 500


def tell_of_outcomes(connection: Connection, outcomes: Iterable[Outcome], now: int) -> None:
    """Tell of messages that are about to die by what deliveries have come to."""
    ids = [each.message.id for each in outcomes if each.state is MessageState.DEAD]
    for start in range(0, len(ids), _IDS):
        tell_of_expired(connection, ids[start : start + _IDS], now)


def tell_of_expired(connection: Connection, ids: Collection[int], now: int) -> None:
    """Tell of those messages that wait, and are about to die."""
    query = (
        select(messages.c.id, messages.c.application_id)
        .where(messages.c.id.in_(ids), messages.c.state == MessageState.WAITING)
        .order_by(messages.c.id)
        .with_for_update()
    )
    died: dict[str, list[int]] = {}
    for id_, application_id in connection.execute(query):
        died.setdefault(application_id, []).append(id_)
    if not died:
        return
    found = select(topics).where(topics.c.application_id.in_(list(died)))
    for topic in connection.execute(found):
        numbers = died[topic.application_id]
        data = {
            "deploymentId": topic.deployment_id,
            "applicationName": topic.application,
            "topic": f"projects/{topic.project.partition(':')[2]}/topics/{topic.name}",
            "count": len(numbers),
            "messageIds": [str(each) for each in numbers[:_TOLD_IDS]],
        }
        emit(connection, topic.project, WebhookEvent.DEAD_LETTER, data, now)
