"""Searches through HTTP, by group: how long they take, and how long others take for them."""

import contextlib
import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import Installation

from bench import load, queries, servers
from bench.queries import Search
from bench.report import Section, megabytes, milliseconds, times
from bench.rivals import Rival
from connectory.catalogue import store
from connectory.catalogue.index import SearchIndex
from connectory.catalogue.model import Document
from connectory.database.engine import Database

#: Requests of each group.
EACH = 400
P99_SECONDS = 0.005
P99_SECONDS_OF_A_MILLION = 0.015
P50_OF_SMALL = 5.0
#: How long a rival may take for one group of texts; it gets fewer of them where it is slow.
RIVAL_SECONDS = 2.5
_TURN = 50

#: Seconds by group.
Times = Mapping[str, Sequence[float]]
#: (address, token, what its searches are made of)
Served = tuple[str, str, queries.Sample]


@dataclass(frozen=True)
class Timed:
    """How long the groups took in a large and in a small catalogue."""

    large: Times
    small: Times
    #: How many matches each text had in the large one.
    totals: Mapping[str, int]


def measure(large: Served, small: Served, *, each: int = EACH) -> Timed:
    """Ask both by turns, over one connection each."""
    totals: dict[str, int] = {}
    found: list[dict[str, list[float]]] = []
    turns = []
    for url, token, sample in (large, small):
        client = load.Client(url, token)
        of_group: dict[str, list[float]] = defaultdict(list)
        found.append(of_group)
        asked = queries.searches(sample, each)
        for search in queries.searches(sample, 4, seed=99):
            client.timed(search.target)
        turns.append((client, asked, of_group))
    for start in range(0, max(len(asked) for _, asked, _ in turns), _TURN):
        for client, asked, of_group in turns:
            for search in asked[start : start + _TURN]:
                seconds, body = client.timed(search.target)
                of_group[search.group].append(seconds)
                if search.text and client is turns[0][0]:
                    totals[search.text] = _total(body)
    for client, _, _ in turns:
        client.close()
    return Timed(found[0], found[1], totals)


def measure_rivals(
    rivals: Iterable[Rival], asked: Sequence[Search], totals: Mapping[str, int]
) -> tuple[dict[str, Times], list[str]]:
    """Seconds by rival and group of the same texts, and the texts that they count otherwise."""
    texts: dict[str, list[str]] = defaultdict(list)
    for search in asked:
        if search.text:
            texts[search.group].append(search.text)
    found: dict[str, Times] = {}
    differing = []
    for rival in rivals:
        of_group: dict[str, list[float]] = defaultdict(list)
        for group, those in texts.items():
            rival.search(those[-1])
            deadline = time.perf_counter() + RIVAL_SECONDS
            for text in those:
                began = time.perf_counter()
                total = rival.search(text.casefold())
                ended = time.perf_counter()
                of_group[group].append(ended - began)
                if total != totals[text]:
                    differing.append(
                        f"{rival.name} counts {total} for '{text}', not {totals[text]}"
                    )
                if ended > deadline:
                    break
        found[rival.name] = of_group
    return found, differing


def index_alone(
    database: Database, asked: Sequence[Search], project: str
) -> tuple[Times, float, int]:
    """Seconds of the same searches in the index, without HTTP and bodies, by group.

    Also the seconds to build it, and the bytes of the texts that are searched.
    """
    size = 0

    def counted(documents: Iterable[Document]) -> Iterator[Document]:
        nonlocal size
        for document in documents:
            size += len(document.name.encode()) + len((document.description or "").encode())
            yield document

    began = time.perf_counter()
    with database.read() as connection:
        index = SearchIndex(counted(each for each, _ in store.everything(connection)))
    built = time.perf_counter() - began
    gc.freeze()
    of_group: dict[str, list[float]] = defaultdict(list)
    for search in asked:
        query = search.query
        began = time.perf_counter()
        index.search(query, project)
        of_group[search.group].append(time.perf_counter() - began)
    return of_group, built, size


def judge(
    section: Section,
    timed: Timed,
    alone: Times,
    rivals: Mapping[str, Times],
    *,
    million: bool,
) -> None:
    """Add the verdict of each group, and the tables."""
    large, small = timed.large, timed.small
    limit = P99_SECONDS_OF_A_MILLION if million else P99_SECONDS
    within = f"p99 {'aims at' if million else '≤'} {limit * 1_000:g} ms"
    verb = "of the slowest group"
    slowest = max(queries.GROUPS, key=lambda group: load.quantile(large[group], 0.99))
    p99 = load.quantile(large[slowest], 0.99)
    section.judge(f"{verb}: {slowest}", within, milliseconds(p99), p99 <= limit)
    growth = {g: load.median(large[g]) / load.median(small[g]) for g in queries.GROUPS}
    most = max(growth, key=growth.__getitem__)
    section.judge(
        f"of the group that grows most: {most}",
        f"p50 ≤ {P50_OF_SMALL:g}x that of 1,000",
        times(growth[most]),
        growth[most] <= P50_OF_SMALL,
    )
    head = ("searches for", "p50", "p99", "p50 / p50 of 1,000", "index alone, p50", "verdict")
    rows: list[Sequence[str]] = [head]
    for group in queries.GROUPS:
        p50, p99 = load.median(large[group]), load.quantile(large[group], 0.99)
        met = p99 <= limit and growth[group] <= P50_OF_SMALL
        rows.append(
            (
                *(group, milliseconds(p50), milliseconds(p99), times(growth[group])),
                *(milliseconds(load.median(alone[group])), "met" if met else "MISSED"),
            )
        )
    section.tables.append((f"{EACH} requests of each group, shuffled, over one connection", rows))
    if rivals:
        _compare(section, large, rivals)


def _compare(section: Section, large: Times, rivals: Mapping[str, Times]) -> None:
    """Add the table of how many times as long the rivals take."""
    head = ["searches for"]
    for name in rivals:
        head += [f"{name} p50", "of ours", f"{name} slowest", "of our p99"]
    rows: list[Sequence[str]] = [head]
    for group in queries.TEXTS:
        row = [group]
        for theirs in rivals.values():
            p50, slowest = load.median(theirs[group]), load.quantile(theirs[group], 0.99)
            row += [
                *(milliseconds(p50), times(p50 / load.median(large[group]))),
                *(milliseconds(slowest), times(slowest / load.quantile(large[group], 0.99))),
            ]
        rows.append(row)
    section.tables.append(
        ("The same texts in the rivals, in process and without bodies, ours through HTTP", rows)
    )


def add_limits(
    section: Section,
    page: bytes,
    large: Times,
    size: int,
    *,
    folder: Path,
    installation: Installation,
) -> None:
    """Say what a page costs that nobody searches for, and what reading all texts would cost."""
    file = folder / "page.json"
    file.write_bytes(page)
    floors = {}
    for mode in ("socket", "raw"):
        with (
            servers.running(mode, file, installation) as url,
            contextlib.closing(load.Client(url)) as client,
        ):
            found = [client.timed("/")[0] for _ in range(1_000)]
        floors[mode] = load.median(found)
    texts = bytes(size)
    copying = min(_seconds(lambda: bytearray(texts)) for _ in range(5))
    scanning = min(_seconds(lambda: texts.find(b"payment")) for _ in range(5))
    medians = sorted(load.median(times_) for times_ in large.values())
    fastest, slowest = medians[0], medians[-1]
    section.notes.append(
        f"The limits: a page of {len(page):,} bytes that is there already takes"
        f" {milliseconds(floors['socket'])} over the loopback and {milliseconds(floors['raw'])}"
        f" through granian; our groups take {milliseconds(fastest)} to {milliseconds(slowest)} at"
        f" p50, which is {times(fastest / floors['raw'])} to {times(slowest / floors['raw'])} that."
        f" All names and descriptions are {megabytes(size)}: to read them once takes"
        f" {milliseconds(copying)} at the {size / copying / 1e9:.1f} GB/s that this memory copies,"
        f" and to look for a text in all of them, as a scan would, {milliseconds(scanning)} at"
        " least."
    )


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _total(body: bytes) -> int:
    """The total of a page, without decoding its results."""
    return int(body[: body.index(b',"count"')].rpartition(b":")[2])
