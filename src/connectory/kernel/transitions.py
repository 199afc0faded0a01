"""State machines as tables: which event leads from which state to which.

A table is data, so that the documentation shows it, a test walks every state with every event, and
the code asks it. It is the only place where a status changes.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=enum.StrEnum)
E = TypeVar("E", bound=enum.StrEnum)


class NoTransition(Exception):
    """An event that its state does not allow."""

    def __init__(self, state: enum.StrEnum, event: enum.StrEnum) -> None:
        super().__init__(f"'{event}' is not possible in '{state}'")
        self.state = state
        self.event = event


@dataclass(frozen=True)
class Transitions(Generic[S, E]):
    """A state machine: `table[event][state]` is the state after it; what is not there cannot be."""

    initial: S
    table: Mapping[E, Mapping[S, S]]

    def after(self, state: S, event: E) -> S:
        """The state that an event leads to.

        Raises:
            NoTransition: the state does not allow it.
        """
        following = self.table.get(event, {}).get(state)
        if following is None:
            raise NoTransition(state, event)
        return following

    def allows(self, state: S, event: E) -> bool:
        """Whether an event is possible in a state."""
        return state in self.table.get(event, {})

    def __iter__(self) -> Iterator[tuple[S, E, S]]:
        """Every transition: from, event, to."""
        for event, steps in self.table.items():
            for before, after in steps.items():
                yield before, event, after

    def as_markdown(self) -> str:
        """The machine as a table for people: each event, the states it is for, where it leads."""
        lines = ["| When | a | becomes |", "| --- | --- | --- |"]
        for event, steps in self.table.items():
            for after in dict.fromkeys(steps.values()):
                befores = ", ".join(f"`{each}`" for each in steps if steps[each] is after)
                lines.append(f"| {event.replace('_', ' ')} | {befores} | `{after}` |")
        return "\n".join(lines)
