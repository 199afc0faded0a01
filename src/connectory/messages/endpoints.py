"""The endpoints of messages: Pub/Sub's publish call, and additions to see what became of them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct

from connectory.catalogue.paging import before_of, is_number
from connectory.contract import errors
from connectory.contract.messages import (
    DeadLetterUpdate,
    DeadLetterUpdateResult,
    DeliveryAttempt,
    EventMessage,
    EventMessagePagedQueryResponse,
    MessageState,
    PublishRequest,
    PublishResponse,
    PubsubMessage,
    TopicKey,
)
from connectory.contract.scalars import ApplicationName, Id, Key, ProjectKey
from connectory.contract.scopes import MANAGE_DEPLOYMENTS, VIEW_DEPLOYMENTS
from connectory.deployments.endpoints import name_of
from connectory.deployments.model import Deployment
from connectory.deployments.service import Deployments
from connectory.http.access import Grant
from connectory.http.answers import Response, of_json
from connectory.http.requestlog import correlation_id
from connectory.http.table import Endpoint, Request
from connectory.kernel.clock import to_rfc3339
from connectory.messages.model import Attempt, Message
from connectory.messages.service import Messages

_TAG = "Messages"
_TOPIC_PATTERN = r"^event-[a-z0-9]{24}(?!\n)$"
Topic = Annotated[
    str,
    Meta(
        pattern=_TOPIC_PATTERN,
        description="The last part of `topic` of an event application.",
        examples=["event-x2k1m9c0w7h3t5q8z4b6n0ae"],
    ),
]
MessageId = Annotated[
    str,
    Meta(pattern=r"^[0-9]{1,18}(?!\n)$", description="Id of a message.", examples=["2070"]),
]

_MESSAGE = {
    "id": "2070",
    "applicationName": "mail-sender",
    "state": "dead",
    "publishedAt": "2026-01-31T08:30:00.123Z",
    "settledAt": "2026-01-31T08:31:00.456Z",
    "attemptCount": 5,
    "attempts": [
        {
            "at": "2026-01-31T08:30:59.456Z",
            "status": 500,
            "milliseconds": 12,
            "answer": "the mailbox is full",
        }
    ],
    "correlationId": "commercetools-cli-1f0c",
    "message": {"data": "eyJub3RpZmljYXRpb25UeXBlIjoiTWVzc2FnZSJ9"},
}


class MessageQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which messages are wanted."""

    state: Annotated[MessageState, Meta(description="Where they are.")] = MessageState.DEAD
    application_name: Annotated[
        str, Meta(description="Name of the application; without it, of all.")
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="The most of a page.")] = 20
    page_token: Annotated[str, Meta(description="`next` of the page before.")] = ""


def endpoints(messages: Messages, deployments: Deployments) -> list[Endpoint]:
    """The endpoints of this slice."""
    return [
        _publish(messages),
        *_of_one(messages, deployments, "{id}", ("id", Id), "ID"),
        *_of_one(messages, deployments, "key={key}", ("key", Key), "Key"),
    ]


def _publish(messages: Messages) -> Endpoint:
    async def publish(request: Request) -> Response:
        grant, name = request.own, request.path["topic"]
        topic = await messages.topic(grant.project, name)
        found = None
        if topic is not None:
            body: PublishRequest = request.body
            found = await messages.publish(name, body.messages, correlation_id.get())
        if found is None:
            full = f"projects/{grant.project_key}/topics/{name}"
            raise errors.ResourceNotFound(f"The topic '{full}' does not exist")
        return of_json(PublishResponse(message_ids=tuple(map(str, found))))

    return Endpoint(
        method="POST",
        path="/v1/projects/{projectKey}/topics/{topic}:publish",
        summary="Publish messages to an event application",
        description="As `projects.topics.publish` of Google Pub/Sub. Answers when the messages are"
        " durable. Takes the token of the Project, or the key of the topic as a bearer token.",
        tag=_TAG,
        permissions=MANAGE_DEPLOYMENTS,
        door=messages.door,
        parameters={"projectKey": ProjectKey, "topic": Topic},
        body=PublishRequest,
        success=(200, PublishResponse),
        errors=(errors.InvalidJsonInput, errors.ResourceNotFound),
        example={"messageIds": ["2070"]},
        addition=True,
        handler=publish,
    )


def _of_one(
    messages: Messages,
    deployments: Deployments,
    place: str,
    parameter: tuple[str, Any],
    by: str,
) -> list[Endpoint]:
    async def found(request: Request) -> tuple[Deployment, Grant]:
        grant = request.own
        return await deployments.get(name_of(request.path), grant.project), grant

    async def query(request: Request) -> Response:
        deployment, _ = await found(request)
        wanted: MessageQuery = request.query
        return of_json(await _page(messages, deployment, wanted))

    async def get(request: Request) -> Response:
        deployment, _ = await found(request)
        id_ = request.path["messageId"]
        message = await messages.find(deployment, int(id_))
        if message is None:
            raise errors.ResourceNotFound(f"The message '{id_}' does not exist")
        return of_json(shown(message, deployment))

    async def act(request: Request) -> Response:
        deployment, grant = await found(request)
        body: DeadLetterUpdate = request.body
        ids = None if body.ids is UNSET else [_number(each) for each in body.ids]
        application = None if body.application_name is UNSET else body.application_name
        count = await messages.act(
            deployment, body.action, ids_=ids, application=application, grant=grant
        )
        return of_json(DeadLetterUpdateResult(count=count))

    async def key(request: Request) -> Response:
        deployment, grant = await found(request)
        topic, made = await messages.make_key(deployment, request.path["applicationName"], grant)
        return of_json(TopicKey(topic=topic.full_name, key=made), 201)

    path = f"/{{projectKey}}/deployments/{place}"
    common: dict[str, Any] = {"tag": _TAG, "addition": True}
    whose = {"projectKey": ProjectKey, parameter[0]: parameter[1]}
    return [
        Endpoint(
            method="GET",
            path=f"{path}/messages",
            summary=f"Query messages to Deployment by {by}",
            description="Messages to its event applications, the latest first: dead letters, unless"
            " `state` says otherwise.",
            permissions=VIEW_DEPLOYMENTS,
            parameters=whose,
            query=MessageQuery,
            success=(200, EventMessagePagedQueryResponse),
            errors=(
                errors.ResourceNotFound,
                errors.DeploymentApplicationDoesNotExist,
                errors.InvalidQueryParam,
            ),
            example={"data": [_MESSAGE], "next": ""},
            handler=query,
            **common,
        ),
        Endpoint(
            method="GET",
            path=f"{path}/messages/{{messageId}}",
            summary=f"Get message to Deployment by {by}",
            permissions=VIEW_DEPLOYMENTS,
            parameters={**whose, "messageId": MessageId},
            success=(200, EventMessage),
            errors=(errors.ResourceNotFound,),
            example=_MESSAGE,
            handler=get,
            **common,
        ),
        Endpoint(
            method="POST",
            path=f"{path}/dead-letters",
            summary=f"Replay or drop dead letters of Deployment by {by}",
            description="Those of `ids`, or all; messages that are no dead letters are left alone.",
            permissions=MANAGE_DEPLOYMENTS,
            parameters=whose,
            body=DeadLetterUpdate,
            success=(200, DeadLetterUpdateResult),
            errors=(
                errors.ResourceNotFound,
                errors.InvalidJsonInput,
                errors.DeploymentApplicationDoesNotExist,
            ),
            example={"count": 1},
            handler=act,
            **common,
        ),
        Endpoint(
            method="POST",
            path=f"{path}/topics/{{applicationName}}/key",
            summary=f"Make the key of a topic of Deployment by {by}",
            description="Whoever has the key can publish to the topic of this event application,"
            " and nothing else. It is shown once; the one before is worth nothing from now on.",
            permissions=MANAGE_DEPLOYMENTS,
            parameters={**whose, "applicationName": ApplicationName},
            success=(201, TopicKey),
            errors=(errors.ResourceNotFound, errors.DeploymentApplicationDoesNotExist),
            example={
                "topic": "projects/my-project/topics/event-x2k1m9c0w7h3t5q8z4b6n0ae",
                "key": "topic_…",
            },
            handler=key,
            **common,
        ),
    ]


async def _page(
    messages: Messages, deployment: Deployment, wanted: MessageQuery
) -> EventMessagePagedQueryResponse:
    found = await messages.list(
        deployment,
        state=wanted.state,
        application=wanted.application_name or None,
        before=before_of(wanted.page_token),
        limit=wanted.limit + 1,
    )
    page = found[: wanted.limit]
    return EventMessagePagedQueryResponse(
        data=tuple(shown(each, deployment) for each in page),
        next=str(page[-1].id) if len(found) > len(page) else "",
    )


def _number(id_: str) -> int:
    if not is_number(id_):
        raise errors.InvalidJsonInput(f"ids: '{id_[:40]}' is no id of a message")
    return int(id_)


_contents = msgspec.json.Decoder(PubsubMessage)


def shown(message: Message, deployment: Deployment) -> EventMessage:
    """A message as the API shows it."""
    names = {each.id: each.name for each in deployment.applications}
    due_at, settled_at = message.due_at, message.settled_at
    return EventMessage(
        id=str(message.id),
        application_name=names.get(message.application_id, ""),
        state=message.state,
        published_at=to_rfc3339(message.published_at),
        next_attempt_at=UNSET if due_at is None else to_rfc3339(due_at),
        settled_at=UNSET if settled_at is None else to_rfc3339(settled_at),
        attempt_count=message.attempt_count,
        attempts=tuple(map(_shown_attempt, message.attempts)),
        correlation_id=message.correlation_id,
        message=_contents.decode(message.content),
    )


def _shown_attempt(attempt: Attempt) -> DeliveryAttempt:
    return DeliveryAttempt(
        at=to_rfc3339(attempt.at),
        status=attempt.status,
        milliseconds=attempt.milliseconds,
        answer=attempt.answer,
    )
