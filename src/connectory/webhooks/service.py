"""Webhooks: what other slices may call."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection

from connectory.contract.errors import InvalidJsonInput, LimitExceeded, ResourceNotFound
from connectory.contract.webhooks import WebhookDraft, WebhookEvent, WebhookPayload
from connectory.database import audit
from connectory.database.audit import Act
from connectory.database.engine import Database
from connectory.database.secrets import KeyRing
from connectory.http.access import Grant
from connectory.kernel import ids
from connectory.kernel.clock import MILLISECOND, Clock, to_rfc3339
from connectory.webhooks import store
from connectory.webhooks.addresses import (
    Target,
    WebhookAddressRefused,
    parse_target,
)
from connectory.webhooks.model import Delivery, Webhook, new_secret
from connectory.webhooks.sending import Counted, Sender, owner

_encoder: Final = msgspec.json.Encoder()


def emit(
    connection: Connection, project: str, type_: WebhookEvent, data: Mapping[str, Any], now: int
) -> None:
    """Have a Project (`region:projectKey`) told what has happened, by those webhooks that tell it.

    They do if the transaction is committed, and then they do. `data` has ids, keys, names and
    states; never a configuration value or a secret.
    """
    wanted = [each for each in store.of_project(connection, project) if type_ in each.events]
    if not wanted:
        return
    payload = WebhookPayload(type=type_, timestamp=to_rfc3339(now), data=data)
    body = _encoder.encode(payload)
    found = [
        Delivery(
            id=ids.new_id(),
            webhook_id=each.id,
            type=type_,
            payload=body,
            next_at=now,
            created_at=now,
        )
        for each in wanted
    ]
    store.append(connection, project, found)


class Webhooks:
    """The webhooks of a node."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        key_ring: Callable[[], KeyRing],
        *,
        most: int,
        private: bool,
    ) -> None:
        """Make it; a Project may have `most`, which with `private` reach private addresses, too."""
        self._database = database
        self._clock = clock
        self._key_ring = key_ring
        self._most = most
        self._private = private
        self._sender = Sender(database, clock, key_ring, private=private)

    @property
    def counted(self) -> Counted:
        """How many attempts there were on this node."""
        return self._sender.counted

    @contextlib.asynccontextmanager
    async def sending(self, left: Callable[[], float]) -> AsyncIterator[None]:
        """Send what webhooks tell while the block runs.

        `left` tells at its end for how many seconds attempts may go on.
        """
        async with self._sender.sending(left):
            yield

    def retire(self) -> None:
        """Begin no attempt any more."""
        self._sender.retire()

    async def create(self, draft: WebhookDraft, grant: Grant) -> tuple[Webhook, bytes]:
        """Make a webhook; it, and the secret that it signs with.

        Raises:
            InvalidJsonInput: it cannot be sent to its address, or tells nothing.
            LimitExceeded: the Project has as many as it may.
        """
        events = tuple(WebhookEvent) if draft.events is UNSET else draft.events
        if not events:
            raise InvalidJsonInput("events: name at least one, or leave them out for all")
        try:
            target = parse_target(draft.url, private=self._private)
            await self._sender.resolved(target)
        except WebhookAddressRefused as refused:
            raise InvalidJsonInput(f"url: {refused}") from None
        secret = new_secret()
        made = Webhook(
            id=ids.new_id(),
            project=grant.project,
            url=draft.url,
            events=tuple(dict.fromkeys(events)),
            sealed="",
            created_at=self._clock() // MILLISECOND * MILLISECOND,
        )
        return await self._database.writing(self._add, made, secret, target, grant), secret

    def _add(
        self, connection: Connection, made: Webhook, secret: bytes, target: Target, grant: Grant
    ) -> Webhook:
        if store.count(connection, made.project) >= self._most:
            raise LimitExceeded(
                f"This Project has {self._most} webhooks, and may have no more"
                " (CONNECTORY_MAX_WEBHOOKS)"
            )
        sealed = self._key_ring().seal(secret, owner(made))
        made = msgspec.structs.replace(made, sealed=sealed)
        store.add(connection, made)
        # Paths and queries of addresses can be secrets.
        self._record(connection, made, "create", grant, host=target.host, events=made.events)
        return made

    async def query(self, grant: Grant) -> list[Webhook]:
        """The webhooks of a Project, the oldest first."""
        return await self._database.reading_promptly(store.of_project, grant.project)

    async def get(self, id_: str, grant: Grant) -> Webhook:
        """A webhook.

        Raises:
            ResourceNotFound: the Project has none of this id.
        """
        return _there(await self._database.reading_promptly(store.find, id_, grant.project), id_)

    async def delete(self, id_: str, grant: Grant) -> Webhook:
        """Delete a webhook, and what it has not told yet.

        Raises:
            ResourceNotFound: the Project has none of this id.
        """

        def deleted(connection: Connection) -> Webhook:
            found = _there(store.find(connection, id_, grant.project), id_)
            store.remove(connection, id_)
            self._record(connection, found, "delete", grant)
            return found

        return await self._database.writing(deleted)

    async def deliveries(
        self, id_: str, grant: Grant, *, before: tuple[int, str] | None, limit: int
    ) -> list[Delivery]:
        """What a webhook has told and is to tell, the latest first.

        Raises:
            ResourceNotFound: the Project has none of this id.
        """
        await self.get(id_, grant)
        return await self._database.reading_promptly(store.listed, id_, before=before, limit=limit)

    async def retry(self, id_: str, delivery_id: str, grant: Grant) -> Delivery:
        """Have a delivery sent now, whatever became of it.

        Raises:
            ResourceNotFound: the Project has no such webhook, or the webhook no such delivery.
        """

        def again(connection: Connection) -> Delivery:
            webhook = _there(store.find(connection, id_, grant.project), id_)
            store.send_again(connection, id_, delivery_id, self._clock())
            found = store.find_delivery(connection, id_, delivery_id)
            if found is None:
                raise ResourceNotFound(f"The delivery '{delivery_id}' does not exist")
            self._record(connection, webhook, "retry", grant, delivery=delivery_id)
            return found

        delivery = await self._database.writing(again)
        self._sender.look()
        return delivery

    def _record(
        self, connection: Connection, webhook: Webhook, verb: str, grant: Grant, **details: object
    ) -> None:
        act = Act(
            at=self._clock(),
            actor=f"client:{grant.client_id}",
            action=f"webhooks:webhook:{verb}",
            subject=webhook.id,
            details=details,
        )
        audit.record(connection, act)


def _there(found: Webhook | None, id_: str) -> Webhook:
    if found is None:
        raise ResourceNotFound(f"The webhook '{id_}' does not exist")
    return found
