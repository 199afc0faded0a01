"""What webhooks tell of Deployments, in the transaction in which it happens."""

from sqlalchemy import Connection

from connectory.contract.staged import ReportEntryType
from connectory.contract.webhooks import WebhookEvent
from connectory.deployments.model import Deployment
from connectory.webhooks.service import emit


def tell(
    connection: Connection, type_: WebhookEvent, subject: Deployment, now: int, **more: str
) -> None:
    """Tell what has happened to a Deployment."""
    connector = subject.connector
    data = {
        "id": subject.id,
        "key": subject.key,
        "version": subject.version,
        "status": subject.status,
        "connector": {
            "id": connector.id,
            "key": connector.key or None,
            "version": connector.version,
            "name": connector.name,
        },
        **more,
    }
    emit(connection, subject.project, type_, data, now)


def tell_failed(connection: Connection, subject: Deployment, now: int) -> None:
    """Tell that a deploy has failed, and in which step; why can have values in it."""
    errors = [each.title for each in subject.report if each.type is ReportEntryType.ERROR]
    reason = errors[-1] if errors else ""
    tell(connection, WebhookEvent.DEPLOYMENT_FAILED, subject, now, reason=reason)
