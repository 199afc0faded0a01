"""What webhooks tell of Connectors, in the transaction in which it happens."""

from typing import Any

from sqlalchemy import Connection

from connectory.contract.webhooks import WebhookEvent
from connectory.staging.model import Staged
from connectory.webhooks.service import emit


def published(connection: Connection, subject: Staged, now: int) -> None:
    """Tell of a new version of a Connector, and whether it is a certified one."""
    data = _data(subject)
    emit(connection, subject.project, WebhookEvent.CONNECTOR_PUBLISHED, data, now)
    if subject.connector is not None and subject.connector.certified:
        emit(connection, subject.project, WebhookEvent.CONNECTOR_CERTIFIED, data, now)


def unlisted(connection: Connection, subject: Staged, now: int) -> None:
    """Tell that a Connector is found no more."""
    emit(connection, subject.project, WebhookEvent.CONNECTOR_UNLISTED, _data(subject), now)


def _data(subject: Staged) -> dict[str, Any]:
    connector = subject.connector
    return {
        "id": subject.id,
        "key": subject.key,
        "name": subject.data.name,
        "version": connector.version if connector else None,
        "certified": connector.certified if connector else None,
    }
