"""Point reads: `GET /connectors/{id}` against fixed bytes on the same software, and Prism."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import Installation

from bench import load, rivals, servers
from bench.report import Section, times

#: Connectors that are asked for again and again, as those of a shop's Merchant Center are.
WARM = 1_000
ROUNDS = 7
SECONDS = 2.0

OF_RAW, OF_FIXED, OF_PRISM = 0.6, 0.85, 10.0


@dataclass(frozen=True)
class Runner:
    """One server and what it is asked for."""

    name: str
    url: str
    script: Path


def measure(
    installation: Installation,
    token: str,
    ids: Sequence[str],
    typical: bytes,
    folder: Path,
) -> Section:
    """Run wrk against all servers by turns, and judge the ratios; `typical` is a body."""
    section = Section("Point reads")
    target_raw, target_fixed, target_prism = f"≥ {OF_RAW}", f"≥ {OF_FIXED}", f"≥ {OF_PRISM:g}x"
    try:
        wrk = load.Wrk(folder)
    except load.Lacking as why:
        for target in (target_raw, target_fixed, target_prism):
            section.lack("GET /connectors/{id}", target, str(why))
        return section
    warm = [f"/connectors/{each}" for each in ids[:WARM]]
    with contextlib.ExitStack() as stack:
        body = folder / "body.json"
        body.write_bytes(typical)
        node, raw, plain = (
            stack.enter_context(servers.running(mode, body, installation))
            for mode in ("node", "raw", "socket")
        )
        _warm(node, token, warm)
        reading = wrk.script("warm", warm, token)
        runners = [
            Runner("raw ASGI application on granian", raw, reading),
            Runner(
                "fixed bytes in our table, after the bearer check",
                node,
                wrk.script("fixed", [servers.FIXED_PATH], token),
            ),
            Runner("GET /connectors/{id}", node, reading),
            Runner(
                "GET /connectors/{id}, over more than the cache holds",
                node,
                wrk.script("spread", [f"/connectors/{each}" for each in ids], token),
            ),
            Runner("a socket on uvloop that reads no HTTP", plain, reading),
        ]
        try:
            document = _openapi(node, token)
            mocked = stack.enter_context(rivals.prism(document, folder))
            runners.append(Runner("Prism mock of our /openapi.json", mocked, reading))
        except load.Lacking as why:
            section.lack("of a Prism mock of the same API", target_prism, str(why))
        rates = _rounds(wrk, runners)
    _judge(section, rates, runners, len(typical))
    return section


def _judge(
    section: Section, rates: Mapping[str, Sequence[float]], runners: Sequence[Runner], size: int
) -> None:
    raw, fixed, read, _, plain, *mocked = (rates[runner.name] for runner in runners)
    of_raw, of_fixed = _ratio(read, raw), _ratio(read, fixed)
    section.judge(
        "of a raw ASGI application, same server", f"≥ {OF_RAW}", f"{of_raw:.2f}", of_raw >= OF_RAW
    )
    section.judge(
        "of fixed bytes after the same check",
        f"≥ {OF_FIXED}",
        f"{of_fixed:.2f}",
        of_fixed >= OF_FIXED,
    )
    for rates_of_prism in mocked:
        of_prism = _ratio(read, rates_of_prism)
        section.judge(
            "of a Prism mock of the same API",
            f"≥ {OF_PRISM:g}x",
            times(of_prism),
            of_prism >= OF_PRISM,
        )
    rows: list[Sequence[str]] = [
        ("server", "requests a second", "of the raw application", "lowest and highest")
    ]
    for runner in runners:
        found = rates[runner.name]
        ratio = _ratio(found, raw)
        rows.append(
            (
                runner.name,
                f"{load.median(found):,.0f}",
                f"{ratio:.2f}",
                f"{min(found):,.0f} to {max(found):,.0f}",
            )
        )
    title = (
        f"{load.CONNECTIONS} connections, {size:,} bytes, median of {len(read)} runs of"
        f" {SECONDS:g} s by turns"
    )
    section.tables.append((title, rows))
    section.notes.append(
        f"The limit: reading and writing HTTP leaves granian {_ratio(raw, plain):.2f} of what an"
        f" event loop in Python moves over the loopback ({load.median(plain):,.0f} a second)."
        f" GET /connectors/{{id}} is at {_ratio(read, plain):.2f} of that; what is ours to lose"
        f" lies between {of_raw:.2f} and 1 of the raw application."
    )


def typical_body(url: str, token: str, ids: Sequence[str]) -> bytes:
    """The body of a Connector that is as long as they are in the middle."""
    with contextlib.closing(load.Client(url, token)) as client:
        bodies = [client.body(f"/connectors/{each}") for each in ids[:WARM]]
    return sorted(bodies, key=len)[len(bodies) // 2]


def _warm(url: str, token: str, paths: Sequence[str]) -> None:
    with contextlib.closing(load.Client(url, token)) as client:
        for path in paths:
            client.body(path)


def _rounds(wrk: load.Wrk, runners: Sequence[Runner]) -> dict[str, list[float]]:
    """Requests per second of each, round by round, after a short run to warm up."""
    for runner in runners:
        wrk.requests_per_second(runner.url, runner.script, 1)
    rates: dict[str, list[float]] = {runner.name: [] for runner in runners}
    for _ in range(ROUNDS):
        for runner in runners:
            rates[runner.name].append(wrk.requests_per_second(runner.url, runner.script, SECONDS))
    return rates


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of runs that stood side by side."""
    return load.median([mine / other for mine, other in zip(ours, theirs, strict=True)])


def _openapi(url: str, token: str) -> dict[str, object]:
    try:
        with contextlib.closing(load.Client(url, token)) as client:
            document: dict[str, object] = json.loads(client.body("/openapi.json"))
    except AssertionError as fault:
        raise load.Lacking(f"/openapi.json: {fault}") from None
    return document
