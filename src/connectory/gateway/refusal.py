"""What answers a request, and the least of it: a refusal."""

from typing import TYPE_CHECKING, Protocol

from connectory.gateway.faults import Fault
from connectory.gateway.model import Route
from connectory.gateway.requests import Request

if TYPE_CHECKING:
    from connectory.gateway.connection import Connection


class Answering(Protocol):
    """One request that is being answered. At its end it calls `over` of its connection."""

    request: Request
    route: Route
    #: Of the answer; 499 where the caller left before there was one.
    status: int
    #: Of the answer's body.
    response_bytes: int

    def start(self) -> None:
        """Begin to answer."""

    def more(self) -> None:
        """There is more of the request's body, or it is whole."""

    def pause(self) -> None:
        """The caller takes nothing for now."""

    def resume(self) -> None:
        """The caller takes again."""

    def abandon(self) -> None:
        """The caller has gone."""

    def expire(self, seconds: float) -> None:
        """The time for a request, so many seconds, is over."""

    def fail(self, fault: Fault) -> None:
        """Answer with a fault; where an answer has begun, break it off."""


#: Where no application is.
NOBODY = Route(application_id="", deployment_id="", application="", slug="", prefix="")


class Refusal:
    """A request that nobody answers but the gateway."""

    def __init__(
        self, connection: "Connection", route: Route, request: Request, fault: Fault
    ) -> None:
        self.route, self.request, self.status, self.response_bytes = route, request, 0, 0
        self._connection, self._fault = connection, fault

    def start(self) -> None:
        """Answer."""
        self.status = self._fault.status
        self.response_bytes = self._connection.answer(self.request, self._fault)
        self._connection.over(self, broken=False, cut=False)

    def more(self) -> None:
        """Its body is left."""

    def pause(self) -> None:
        """It is answered."""

    def resume(self) -> None:
        """It is answered."""

    def abandon(self) -> None:
        """It is answered."""

    def expire(self, seconds: float) -> None:
        """It is answered."""

    def fail(self, fault: Fault) -> None:
        """It is answered."""
