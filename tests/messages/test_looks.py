"""When a node looks for messages that are to be sent again, in the event loop that serves."""

import contextlib
from pathlib import Path
from typing import Any

import uvloop

from connectory.contract.messages import MessageState
from connectory.database import migration
from connectory.database.engine import open_database
from connectory.kernel.clock import SECOND
from connectory.messages.delivering import Deliveries
from connectory.messages.model import Attempt, outcome
from connectory.messages.store import Known
from connectory.messages.writing import Batch
from connectory.specification.shape import Immediate
from tests.messages.test_model import KEEPING, TOPIC, message


class Hosting:
    """A gateway whose application is there and is never called."""

    @property
    def runtime(self) -> "Hosting":
        return self

    def serving(self, application_id: str) -> int:
        del application_id
        return 1


def test_several_messages_that_are_due_already_are_looked_for_at_once(tmp_path: Path) -> None:
    """For no time at all, uvloop gives a handle that does not know when it is called."""
    now = 100 * SECOND
    gateway: Any = Hosting()

    async def play() -> list[str]:
        with contextlib.closing(open_database("", tmp_path)) as database:
            migration.migrate(database)
            deliveries = Deliveries(
                database, lambda: now, gateway, keeping=KEEPING, has=lambda _: True
            )
            deliveries._take_in([Known(topic=TOPIC, due=False)])
            attempt = Attempt(at=0, status=500, milliseconds=1)
            late = outcome(message(), attempt, Immediate(), 0, KEEPING)
            assert late.state is MessageState.WAITING
            deliveries._written(Batch([], [late, late]))
            deliveries._written(Batch([], [late]))
            return deliveries.applications

    assert uvloop.run(play()) == ["a"]
