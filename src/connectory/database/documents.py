"""Rows that hold a whole document as JSON, and what becomes of one that cannot be read.

A row may be damaged: by a disk, by somebody's hand, or because a later version wrote it. Then it is
one `Damaged` among the others, and keeps none of them from being read.
"""

import logging
import threading
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

log = logging.getLogger(__name__)


class Damaged(ValueError):
    """A row is there, and is no document of its kind: this version cannot read it.

    Attributes:
        kind: What it should be, as log lines name the field with its id.
        id: Its id.
    """

    def __init__(self, message: str, *, kind: str, id_: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.id = id_


class Read(NamedTuple, Generic[T]):
    """What was read of many rows."""

    documents: list[T]
    damaged: list[Damaged]


class Documents(Generic[T]):
    """Reads the documents of one kind."""

    def __init__(self, type_: type[T], *, kind: str) -> None:
        """Make it; `kind` is what log lines call the field with an id of these."""
        self._decoder = msgspec.json.Decoder(type_)
        self._kind = kind

    def read(self, text: str, id_: str, what: str) -> T:
        """The document of a row; `what` names it in messages.

        Raises:
            Damaged: it cannot be read.
        """
        try:
            return self._decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            message = f"{what} cannot be read: {error}"
            raise Damaged(message, kind=self._kind, id_=id_) from None

    def read_all(self, rows: Iterable[tuple[str, str]], what: str) -> Read[T]:
        """The documents of rows of an id and a text; `what` with the id names each."""
        found: Read[T] = Read([], [])
        for id_, text in rows:
            try:
                found.documents.append(self.read(text, id_, f"{what} {id_}"))
            except Damaged as damaged:
                found.damaged.append(damaged)
        return found


class Damages:
    """Tells the operator of a node what cannot be read; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._met = 0

    @property
    def met(self) -> int:
        """How often a damaged row was met since the start."""
        return self._met

    def left_out(self, damaged: Iterable[Damaged]) -> None:
        """Tell what a list leaves out: once each, since lists are asked for again and again."""
        for each in damaged:
            with self._lock:
                self._met += 1
                new = str(each) not in self._told
                self._told.add(str(each))
            if new:
                log.error("%s: lists leave it out", each, extra={each.kind: each.id})

    def asked_for(self, damaged: Damaged) -> None:
        """Tell that one was asked for by itself: each time, for whoever looks why it failed."""
        with self._lock:
            self._met += 1
        log.error("%s", damaged, extra={damaged.kind: damaged.id})
