"""Messages to event applications: what other slices may call."""

import base64
import binascii
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection

from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.errors import DeploymentApplicationDoesNotExist, InvalidJsonInput
from connectory.contract.messages import DeadLetterAction, MessageState, PubsubMessage
from connectory.contract.scalars import ApplicationType
from connectory.contract.scopes import Permission
from connectory.database import audit
from connectory.database.audit import Act
from connectory.database.engine import Database
from connectory.database.periodic import Periodic
from connectory.database.shards import Shards, shard_of
from connectory.deployments.model import Application, Deployment, Release, topic_name
from connectory.gateway.server import Gateway
from connectory.http.access import Grant
from connectory.kernel import ids
from connectory.kernel.clock import DAY, Clock
from connectory.messages import store
from connectory.messages.delivering import Deliveries
from connectory.messages.model import Content, Keeping, Message, Topic
from connectory.messages.store import Counts

#: What Pub/Sub takes at once, and in one message.
MOST_MESSAGES: Final = 1_000
_MOST_ATTRIBUTES: Final = 100
_LONGEST_NAME, _LONGEST_VALUE, _LONGEST_ORDERING_KEY = 256, 1_024, 1_024
#: Keys of topics can be told from tokens.
KEY_PREFIX: Final = "topic_"
_SWEEP_SECONDS: Final = 15.0
_SWEEP_MESSAGES: Final = 2_000
_BEARER: Final = b"bearer "

_encoder = msgspec.json.Encoder()


class Messages:
    """The topics and messages of a node (a `deployments.listening.Listener`)."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        gateway: Gateway,
        shards: Shards,
        *,
        kept_days: int,
        dead_kept_days: int,
        acknowledged_kept: int,
    ) -> None:
        """Make it; `acknowledged_kept` messages of each Deployment can be seen after their end."""
        self._database = database
        self._clock = clock
        self._acknowledged_kept = acknowledged_kept
        self._keeping = Keeping(waiting=kept_days * DAY, dead=dead_kept_days * DAY)
        self.deliveries = Deliveries(
            database, clock, gateway, keeping=self._keeping, has=shards.has
        )
        self._sweeping = Periodic(
            self._sweep, every=_SWEEP_SECONDS, failure="messages that are over were not removed"
        )
        shards.join(busy=self._busy)
        #: How many there are, some seconds ago.
        self.counts = Counts(waiting=0, dead=0)

    @contextlib.asynccontextmanager
    async def delivering(self, left: Callable[[], float]) -> AsyncIterator[None]:
        """Accept and deliver messages while the block runs.

        `left` tells at its end for how many seconds deliveries may go on.
        """
        with self.deliveries.writer.writing():
            self.deliveries.start()
            try:
                async with self._sweeping.going_on():
                    yield
            finally:
                await self.deliveries.stop(left())

    def retire(self) -> None:
        """Begin no delivery any more; messages are still accepted."""
        self.deliveries.retire()

    # Topics

    def prepared(self, connection: Connection, deployment: Deployment, release: Release) -> None:
        """Have a topic for each event application of a release that is about to start."""
        there = {each.application_id for each in store.topics_of(connection, deployment.id)}
        for application in release.applications:
            if application.type is ApplicationType.EVENT and application.id not in there:
                topic = _topic(deployment, release, application, delivers=False)
                store.put_topic(connection, topic, self._clock())

    def deployed(
        self, connection: Connection, deployment: Deployment, release: Release
    ) -> Sequence[DeploymentReportEntry]:
        """Have messages delivered to a release that serves, and to no other application."""
        found = [each for each in release.applications if each.type is ApplicationType.EVENT]
        for application in found:
            topic = _topic(deployment, release, application, delivers=True)
            store.put_topic(connection, topic, self._clock())
        there = {each.application_id for each in store.topics_of(connection, deployment.id)}
        store.remove_topics(connection, there - {each.id for each in found})
        return ()

    def changed(self) -> None:
        """Hear that what the others told has been committed; any thread may call it."""
        self.deliveries.look_soon()

    def forget(self, deployment_id: str) -> None:
        """Remove the topics and messages of a Deployment; in any thread but the event loop's."""
        with self._database.write() as connection:
            topics = store.topics_of(connection, deployment_id)
            store.remove_topics(connection, [each.application_id for each in topics])
        removed = 1
        while removed:
            with self._database.write() as connection:
                removed = store.remove_messages(connection, deployment_id, _SWEEP_MESSAGES)
        self.changed()

    async def topic(self, project: str, name: str) -> Topic | None:
        """A topic of a Project (`region:projectKey`) by the last part of its full name."""
        topic = self.deliveries.topics.get(name)
        if topic is None:
            topic = await self._database.reading_promptly(store.topic_named, name)
        return topic if topic is not None and topic.project == project else None

    async def door(self, path: Mapping[str, str], authorization: bytes) -> Grant | None:
        """The grant of a topic's key, on that topic alone; None where it is not the key."""
        if authorization[: len(_BEARER)].lower() != _BEARER:
            return None
        given = authorization[len(_BEARER) :].strip().decode("latin-1")
        if not given.startswith(KEY_PREFIX):
            return None
        topic = await self._database.reading_promptly(store.topic_named, path["topic"])
        if topic is None or topic.key_digest != ids.digest(given):
            return None
        if topic.project_key != path["projectKey"]:
            return None
        now = self._clock()
        return Grant(
            client_id=f"topic:{topic.name}",
            project_key=topic.project_key,
            project=topic.project,
            permissions=frozenset({Permission.MANAGE_CONNECTORS_DEPLOYMENTS}),
            issued_at=now,
            expires_at=now,
        )

    async def make_key(
        self, deployment: Deployment, application: str, grant: Grant
    ) -> tuple[Topic, str]:
        """Give the topic of an application a key; the one that it had before is worth nothing.

        Raises:
            DeploymentApplicationDoesNotExist: it is no event application that was deployed.
        """
        key = KEY_PREFIX + ids.new_token()

        def changed(connection: Connection) -> Topic:
            found = {each.application: each for each in store.topics_of(connection, deployment.id)}
            if application not in found:
                raise DeploymentApplicationDoesNotExist(application)
            topic = found[application]
            store.set_key(connection, topic.application_id, ids.digest(key))
            act = Act(
                at=self._clock(),
                actor=f"client:{grant.client_id}",
                action="messages:topic:key",
                subject=topic.full_name,
                details={},
            )
            audit.record(connection, act)
            return topic

        return await self._database.writing(changed), key

    # Messages

    async def publish(
        self, topic: str, messages: Sequence[PubsubMessage], correlation_id: str
    ) -> list[int] | None:
        """Accept messages to a topic; their ids when they are durable, None where it is gone.

        Raises:
            InvalidJsonInput: Pub/Sub would not take one of them.
            DatabaseUnavailable: they could not be written.
        """
        contents = encoded(messages)
        return await self.deliveries.writer.publish(topic, contents, correlation_id)

    async def find(self, deployment: Deployment, id_: int) -> Message | None:
        """A message to a Deployment by its id."""
        return await self._database.reading_promptly(store.find, deployment.id, id_)

    async def list(
        self,
        deployment: Deployment,
        *,
        state: MessageState,
        application: str | None,
        before: int | None,
        limit: int,
    ) -> list[Message]:
        """Messages to a Deployment with ids less than one, the latest first."""
        return await self._database.reading_promptly(
            store.listed,
            deployment.id,
            state=state,
            application_id=None if application is None else deployment.application(application).id,
            before=before,
            limit=limit,
        )

    async def act(
        self,
        deployment: Deployment,
        action: DeadLetterAction,
        *,
        ids_: Sequence[int] | None,
        application: str | None,
        grant: Grant,
    ) -> int:
        """Replay or drop dead letters: those of these ids, or all; how many there were."""
        application_id = None if application is None else deployment.application(application).id
        count, after = 0, 0
        while True:
            part = ids_
            if part is None:
                part = await self._database.reading(
                    store.dead_ids,
                    deployment.id,
                    application_id=application_id,
                    after=after,
                    limit=_SWEEP_MESSAGES,
                )
            if part:
                count += await self._database.writing(self._act, deployment.id, action, part)
                after = part[-1]
            if ids_ is not None or len(part) < _SWEEP_MESSAGES:
                break
        await self._database.writing(self._record, deployment, action, count, grant)
        self.deliveries.look()
        return count

    def _act(
        self,
        connection: Connection,
        deployment_id: str,
        action: DeadLetterAction,
        part: Sequence[int],
    ) -> int:
        if action is DeadLetterAction.DROP:
            return store.drop(connection, deployment_id, part)
        now = self._clock()
        return store.replay(connection, deployment_id, part, now, now + self._keeping.waiting)

    def _record(
        self,
        connection: Connection,
        deployment: Deployment,
        action: DeadLetterAction,
        count: int,
        grant: Grant,
    ) -> None:
        act = Act(
            at=self._clock(),
            actor=f"client:{grant.client_id}",
            action=f"messages:dead-letters:{action}",
            subject=deployment.id,
            details={"count": count},
        )
        audit.record(connection, act)

    # The rest

    def _busy(self, shard: int) -> bool:
        deliveries = self.deliveries
        return any(
            shard_of(each) == shard and deliveries.busy(each) for each in deliveries.applications
        )

    async def _sweep(self) -> None:
        writing, clock = self._database.writing, self._clock
        dead = self._keeping.dead
        while await writing(store.expire, clock(), _SWEEP_MESSAGES, kept=dead) >= _SWEEP_MESSAGES:
            pass
        for deployment_id in {each.deployment_id for each in self.deliveries.topics.values()}:
            kept = self._acknowledged_kept
            removed = _SWEEP_MESSAGES
            while removed >= _SWEEP_MESSAGES:
                removed = await self._database.writing(
                    store.sweep_acknowledged, deployment_id, kept=kept, limit=_SWEEP_MESSAGES
                )
        self.counts = await self._database.reading(store.count)


def encoded(messages: Sequence[PubsubMessage]) -> list[bytes]:
    """Messages as they are kept.

    Raises:
        InvalidJsonInput: Pub/Sub would not take one of them.
    """
    if not 1 <= len(messages) <= MOST_MESSAGES:
        raise InvalidJsonInput(f"messages: 1 to {MOST_MESSAGES} are taken at once")
    found = []
    for place, each in enumerate(messages):
        where = f"messages[{place}]"
        _check_attributes(each, where)
        content = Content(
            data=_base64(each.data, where),
            attributes=each.attributes or msgspec.UNSET,
            ordering_key=each.ordering_key or msgspec.UNSET,
        )
        found.append(_encoder.encode(content))
    return found


def _check_attributes(message: PubsubMessage, where: str) -> None:
    attributes = message.attributes
    if not message.data and not attributes:
        raise InvalidJsonInput(f"{where}: a message needs data, or at least one attribute")
    if len(attributes) > _MOST_ATTRIBUTES:
        raise InvalidJsonInput(f"{where}.attributes: at most {_MOST_ATTRIBUTES} are taken")
    if len(message.ordering_key.encode()) > _LONGEST_ORDERING_KEY:
        raise InvalidJsonInput(f"{where}.orderingKey: at most {_LONGEST_ORDERING_KEY} bytes")
    for name, value in attributes.items():
        if not 1 <= len(name.encode()) <= _LONGEST_NAME:
            raise InvalidJsonInput(f"{where}.attributes: a name has 1 to {_LONGEST_NAME} bytes")
        if len(value.encode()) > _LONGEST_VALUE:
            raise InvalidJsonInput(
                f"{where}.attributes.{name}: a value has at most {_LONGEST_VALUE} bytes"
            )


def _base64(given: str, where: str) -> str:
    """Base64 in its usual alphabet; the other one, for URLs, is taken too."""
    text = given.translate(_USUAL)
    text += "=" * (-len(text) % 4)
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidJsonInput(f"{where}.data is not base64") from None
    return text


_USUAL: Final = str.maketrans("-_", "+/")


def _topic(
    deployment: Deployment, release: Release, application: Application, *, delivers: bool
) -> Topic:
    endpoint = release.endpoints.get(application.name, "/")
    return Topic(
        name=topic_name(application),
        application_id=application.id,
        deployment_id=deployment.id,
        project=deployment.project,
        application=application.name,
        endpoint=endpoint if endpoint.startswith("/") else f"/{endpoint}",
        retry_policy=application.values.retry_policy
        or release.retry_policies.get(application.name),
        delivers=delivers,
    )
