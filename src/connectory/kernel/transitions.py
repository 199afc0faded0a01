"""State machines as tables: which event leads from which state to which.

A table is data, so that the documentation draws it, a test walks every state with every event, and
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

    def diagram(self) -> str:
        """The machine as a Mermaid state diagram."""
        # Names of nodes must not be words of Mermaid's own, hence the numbers.
        names: dict[S, str] = {}
        for before, _, after in self:
            for state in (before, after):
                names.setdefault(state, f"s{len(names)}")
        lines = ["stateDiagram-v2"]
        lines += [f'    state "{state}" as {name}' for state, name in names.items()]
        lines.append(f"    [*] --> {names[self.initial]}")
        lines += [
            f"    {names[before]} --> {names[after]}: {event.replace('_', ' ')}"
            for before, event, after in self
        ]
        return "\n".join(lines)
