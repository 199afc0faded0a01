"""The store against a model in plain Python: several owners, every act, in any order."""

import dataclasses
from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connectory.database.engine import Database
from connectory.database.tables import work as table
from connectory.work import claims, results, store
from connectory.work.model import LONGEST_BACKOFF, Cancelled, LeaseLost
from tests.work.pieces import queue

PER_PROJECT = 2
PROJECTS = st.sampled_from(["eu:a", "eu:b", "eu:c"])
OWNERS = st.sampled_from(["x", "y", "z"])
#: Attempts that act: mostly the current one, sometimes one of before or one that never was.
LATE = st.sampled_from([0, 0, 0, -1, 1])
ANY = st.integers(0, 1_000_000)


@dataclasses.dataclass
class Piece:
    project: str
    run_at: int
    state: str = "queued"
    step: str | None = None
    attempt: int = 0
    failures: int = 0
    cancel: bool = False
    owner: str | None = None
    beats: int = 0


class Store(RuleBasedStateMachine):
    """Each rule does the same to the store and to `self.pieces`, and compares what it is told."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.pieces: dict[str, Piece] = {}
        self.now = 10**12

    @initialize()
    def empty(self):
        with self.database.write() as connection:
            connection.execute(table.delete())

    @rule(project=PROJECTS)
    def enqueue(self, project):
        made = queue(self.database, now=self.now, project=project)
        self.pieces[made.id] = Piece(project, self.now)

    @rule(seconds=st.integers(-70, 70))
    def clock(self, seconds):
        self.now += seconds * 1_000_000

    def is_due(self, piece: Piece, *, cancelled: bool) -> bool:
        return (
            piece.state == "queued"
            and piece.cancel == cancelled
            and (
                piece.failures == 0
                or piece.run_at <= self.now
                or piece.run_at > self.now + LONGEST_BACKOFF
            )
        )

    @rule(owner=OWNERS)
    def claim(self, owner):
        running = Counter(p.project for p in self.pieces.values() if p.state == "running")
        due = [
            (running[piece.project], piece.run_at, id_)
            for id_, piece in self.pieces.items()
            if self.is_due(piece, cancelled=False) and running[piece.project] < PER_PROJECT
        ]
        with self.database.write() as connection:
            got = claims.claim(
                connection, owner=owner, now=self.now, kinds=["test"], per_project=PER_PROJECT
            )
        self.was_claimed(got, min(due)[2] if due else None, owner)

    @rule(owner=OWNERS)
    def claim_cancelled(self, owner):
        due = [
            (piece.run_at, id_)
            for id_, piece in self.pieces.items()
            if self.is_due(piece, cancelled=True)
        ]
        with self.database.write() as connection:
            got = claims.claim_cancelled(connection, owner=owner, now=self.now, kinds=["test"])
        self.was_claimed(got, min(due)[1] if due else None, owner)

    def was_claimed(self, got, expected: str | None, owner: str) -> None:
        assert (got.id if got else None) == expected
        if got is None:
            return
        piece = self.pieces[got.id]
        piece.state, piece.owner = "running", owner
        piece.attempt += 1
        piece.beats += 1
        assert (got.attempt, got.step, got.failures) == (
            piece.attempt,
            piece.step,
            piece.failures,
        )

    def chosen(self, which: int, late: int) -> tuple[str, Piece, int]:
        """A piece, running ones first, and the attempt that acts on it."""
        ids = sorted(self.pieces, key=lambda id_: (self.pieces[id_].state != "running", id_))
        running = sum(piece.state == "running" for piece in self.pieces.values())
        id_ = ids[which % (running or len(ids))]
        return id_, self.pieces[id_], self.pieces[id_].attempt + late

    def acts(self, act, piece: Piece, attempt: int, *, may_be_cancelled: bool) -> bool:
        """Whether the store took an act; it must be just when the model would."""
        expected: type[Exception] | None = None
        if piece.state != "running" or attempt != piece.attempt:
            expected = LeaseLost
        elif piece.cancel and not may_be_cancelled:
            expected = Cancelled
        if expected is None:
            with self.database.write() as connection:
                act(connection)
        else:
            with pytest.raises(expected), self.database.write() as connection:
                act(connection)
        return expected is None

    @precondition(lambda self: self.pieces)
    @rule(which=ANY, late=LATE, step=st.sampled_from(["fetch", "check"]))
    def advance(self, which, late, step):
        id_, piece, attempt = self.chosen(which, late)

        def act(connection):
            results.advance(connection, id_, attempt, step, {"step": step})

        if self.acts(act, piece, attempt, may_be_cancelled=False):
            piece.step, piece.failures = step, 0

    @precondition(lambda self: self.pieces)
    @rule(which=ANY, late=LATE, fails=st.booleans())
    def end(self, which, late, fails):
        id_, piece, attempt = self.chosen(which, late)

        def act(connection):
            if fails:
                results.fail(connection, id_, attempt, error="no", now=self.now)
            else:
                results.finish(connection, id_, attempt, now=self.now)

        if self.acts(act, piece, attempt, may_be_cancelled=False):
            piece.state, piece.owner = "failed" if fails else "done", None

    @precondition(lambda self: self.pieces)
    @rule(which=ANY, late=LATE, wait=st.integers(0, 60_000_000))
    def retry(self, which, late, wait):
        id_, piece, attempt = self.chosen(which, late)

        def act(connection):
            results.retry(connection, id_, attempt, error="away", run_at=self.now + wait)

        if self.acts(act, piece, attempt, may_be_cancelled=True):
            piece.state, piece.owner, piece.run_at = "queued", None, self.now + wait
            piece.failures += 1

    @precondition(lambda self: self.pieces)
    @rule(which=ANY, late=LATE)
    def end_cancelled(self, which, late):
        id_, piece, attempt = self.chosen(which, late)

        def act(connection):
            results.end_cancelled(connection, id_, attempt, now=self.now)

        if self.acts(act, piece, attempt, may_be_cancelled=True):
            piece.state, piece.owner = "cancelled", None

    @precondition(lambda self: self.pieces)
    @rule(which=ANY, late=LATE)
    def release(self, which, late):
        id_, piece, attempt = self.chosen(which, late)
        current = piece.state == "running" and attempt == piece.attempt
        with self.database.write() as connection:
            assert results.release(connection, id_, attempt) == current
        if current:
            piece.state, piece.owner = "queued", None

    @precondition(lambda self: self.pieces)
    @rule(which=ANY)
    def request_cancel(self, which):
        id_ = sorted(self.pieces)[which % len(self.pieces)]
        piece = self.pieces[id_]
        is_open = piece.state in ("queued", "running")
        with self.database.write() as connection:
            assert store.request_cancel(connection, id_, now=self.now) == is_open
        if is_open:
            piece.cancel, piece.run_at = True, min(piece.run_at, self.now)

    @precondition(lambda self: self.pieces)
    @rule(which=ANY, late=LATE)
    def beat(self, which, late):
        id_, piece, attempt = self.chosen(which, late)
        current = piece.state == "running" and attempt == piece.attempt
        with self.database.write() as connection:
            told = results.beat(connection, {id_: attempt})
        assert told == ({id_: piece.cancel} if current else {})
        piece.beats += current

    @precondition(lambda self: self.pieces)
    @rule(which=ANY, late=LATE, beats=st.sampled_from([0, 0, -1]))
    def abandon(self, which, late, beats):
        id_, piece, attempt = self.chosen(which, late)
        seen = results.Beat(id_, attempt, "whoever", piece.beats + beats)
        current = piece.state == "running" and attempt == piece.attempt and beats == 0
        with self.database.write() as connection:
            taken = results.abandon(connection, seen, error="silent", now=self.now)
        assert taken == current
        if current:
            piece.state, piece.owner = "queued", None
            piece.failures += 1
            piece.run_at = min(piece.run_at, self.now)

    @invariant()
    def the_rows_are_those_of_the_model(self):
        with self.database.read() as connection:
            columns = (
                *(table.c.id, table.c.state, table.c.step, table.c.attempt, table.c.failures),
                *(table.c.cancel_requested, table.c.lease_owner, table.c.beats, table.c.run_at),
            )
            rows = {
                tuple(row) for row in connection.execute(table.select().with_only_columns(*columns))
            }
            backlog = store.backlog(connection)
        assert rows == {
            (id_, p.state, p.step, p.attempt, p.failures, p.cancel, p.owner, p.beats, p.run_at)
            for id_, p in self.pieces.items()
        }
        states = Counter(piece.state for piece in self.pieces.values())
        assert (backlog.queued, backlog.running) == (states["queued"], states["running"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [12, pytest.param(100, marks=pytest.mark.long)])
def test_the_store_does_what_its_model_does(database, examples):
    run_state_machine_as_test(
        lambda: Store(database),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
