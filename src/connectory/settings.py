"""Every setting, once, with its default and its meaning.

A setting is an environment variable `CONNECTORY_*`; some can be given as a command-line option
too, which wins. `connectory settings` prints this table, and the documentation is made from it.
Nothing else in the program reads the environment.
"""

import dataclasses
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

AccessLog = Literal["all", "writes", "off"]
Switch = Literal["on", "off"]
Reach = Literal["public", "open", "none"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingError(ValueError):
    """A setting has a value that it cannot have; the message names it and says how to mend it."""


def _text(value: str) -> str:
    return value


def _path(value: str) -> Path:
    return Path(value).expanduser()


def _whole_number(minimum: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit()) or int(value) < minimum:
            raise ValueError(f"a whole number of at least {minimum}")
        return int(value)

    return parse


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:  # noqa: PLR2004 - thirty years, and neither nan nor inf
        raise ValueError("a number of seconds greater than 0")
    return seconds


def _seconds_or_none(value: str) -> float:
    return 0.0 if value == "0" else _seconds(value)


def _url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("an address that starts with http:// or https://")
    return value.rstrip("/")


@dataclass(frozen=True)
class Ports:
    """A range of ports, the last one included."""

    first: int
    last: int

    @property
    def numbers(self) -> range:
        """All of them."""
        return range(self.first, self.last + 1)

    def __str__(self) -> str:
        """As the variable has it."""
        return f"{self.first}-{self.last}"


def _ports(value: str) -> Ports:
    first, _, last = value.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 2**16):
        raise ValueError("two ports with a hyphen between them, such as 20000-29999")
    return Ports(int(first), int(last))


def _list(value: str) -> tuple[str, ...]:
    return tuple(part for part in value.replace(",", " ").split() if part)


def _networks(value: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in _list(value))
    except ValueError as error:
        raise ValueError(
            f"IP addresses or networks, separated by commas, such as 10.0.0.0/8 ({error})"
        ) from None


def _access_log(value: str) -> AccessLog:
    if value not in ("all", "writes", "off"):
        raise ValueError("one of all, writes and off")
    return cast("AccessLog", value)


@dataclass(frozen=True)
class GitMirrors:
    """Prefixes of repositories' addresses, and what they are replaced by."""

    pairs: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """As the variable has it."""
        return json.dumps(dict(self.pairs)) if self.pairs else ""


def _mirrors(value: str) -> GitMirrors:
    try:
        pairs = json.loads(value)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, dict) or not all(isinstance(each, str) for each in pairs.values()):
        raise ValueError(
            "a JSON object of prefixes and what they are replaced by, such as"
            ' {"https://github.com/": "file:///srv/mirror/"}'
        )
    for target in pairs.values():
        scheme, separator, rest = target.partition("://")
        if not separator or scheme not in ("file", "https", "http", "ssh"):
            raise ValueError(
                f"mirrors by file://, https://, http:// or ssh://, and {target} is none"
            )
        if scheme == "file" and not rest.startswith("/"):
            raise ValueError(
                f"mirrors in folders that are named from the root, file:///…: {target}"
            )
    return GitMirrors(tuple(pairs.items()))


def _switch(value: str) -> Switch:
    if value not in ("on", "off"):
        raise ValueError("on or off")
    return cast("Switch", value)


def _reach(value: str) -> Reach:
    if value not in ("public", "open", "none"):
        raise ValueError("one of public, open and none")
    return cast("Reach", value)


def _setting(default: Any, parse: Callable[[str], Any], meaning: str) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse, "meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process; sizes are bytes, times are seconds."""

    data: Path = _setting(
        Path(".connectory"), _path, "Folder of everything that is kept, the embedded database too."
    )
    database_url: str = _setting(
        "",
        _text,
        "PostgreSQL, as postgresql://user:password@host/name. Empty: SQLite in the data folder.",
    )
    database_pool_size: int = _setting(
        8, _whole_number(2), "Database connections that a node keeps."
    )
    public_url: str = _setting(
        "",
        _url,
        "The address that clients reach this server at; shown wherever the server names itself."
        " Empty: the address it listens on.",
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        (),
        _networks,
        "Networks whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host headers are"
        " believed. Empty: nobody's.",
    )
    cors_origins: tuple[str, ...] = _setting(
        (), _list, "Origins whose pages may call the API, or *. Empty: none (CORS is off)."
    )
    cache_bytes: int = _setting(
        256 * 2**20,
        _whole_number(0),
        "The most memory for encoded Connectors, on each node; one takes about 2 kB.",
    )
    token_seconds: int = _setting(
        48 * 3600, _whole_number(1), "How long an access token is good for."
    )
    max_drafts: int = _setting(
        1_000, _whole_number(1), "The most ConnectorStaged that a Project may have."
    )
    max_requests: int = _setting(
        1_000,
        _whole_number(1),
        "The most preview and publish requests of a Project that may be under way at once.",
    )
    project_requests_per_second: int = _setting(
        0,
        _whole_number(0),
        "The most requests a second of one Project that each node answers; more get a 429. 0: all"
        " that come.",
    )
    project_fetched_bytes_per_hour: int = _setting(
        0,
        _whole_number(0),
        "The most bytes of repositories that each node fetches for one Project in an hour; what it"
        " has already is not counted. 0: all that is asked for.",
    )
    work_concurrency: int = _setting(
        2,
        _whole_number(0),
        "How many pieces of background work a node runs at once; 0: none, where `connectory worker`"
        " runs elsewhere.",
    )
    work_per_project: int = _setting(
        2,
        _whole_number(1),
        "How many pieces of background work of one Project run at once, on all nodes.",
    )
    work_kept_days: int = _setting(
        30, _whole_number(1), "How many days background work is listed after its end."
    )
    max_body_bytes: int = _setting(2**20, _whole_number(1), "The largest request body taken.")
    max_header_bytes: int = _setting(
        32 * 2**10, _whole_number(1024), "The largest sum of request headers taken."
    )
    max_target_bytes: int = _setting(
        16 * 2**10, _whole_number(256), "The longest path and query taken."
    )
    read_timeout: float = _setting(
        30.0, _seconds, "How long a client may take to send its headers, and then its body."
    )
    write_timeout: float = _setting(
        30.0, _seconds, "How long a client may go without taking any of an answer (on Linux)."
    )
    shutdown_delay: float = _setting(
        0.0,
        _seconds_or_none,
        "How long a stopping server still takes requests while /ready says no, so that load"
        " balancers turn away first.",
    )
    drain_seconds: float = _setting(
        20.0,
        _seconds,
        "How long a stopping server waits for what is under way, side by side: requests that it"
        " accepted, calls of applications, deliveries, runs of jobs, webhooks and steps of work.",
    )
    access_log: AccessLog = _setting(
        "writes",
        _access_log,
        "Which requests get a log line: all; writes and failures; or off.",
    )

    git_hosts: tuple[str, ...] = _setting(
        (
            "github.com",
            "gitlab.com",
            "bitbucket.org",
            "codeberg.org",
            "dev.azure.com",
            "ssh.dev.azure.com",
        ),
        _list,
        "Hosts that repositories may be on, by HTTPS and SSH; host:port for other ports than 443"
        " and 22; * for any. Private and local addresses are never reached by this setting.",
    )
    git_mirrors: GitMirrors = _setting(
        GitMirrors(),
        _mirrors,
        "A JSON object of prefixes of repositories' addresses and what replaces them, such as"
        ' {"https://github.com/": "file:///srv/mirror/"}. The longest prefix counts. The only way'
        " to local and internal repositories.",
    )
    git_known_hosts: Path | None = _setting(
        None,
        _path,
        "File of the keys of SSH hosts, as ssh has them. Empty: the published keys of the hosts"
        " that CONNECTORY_GIT_HOSTS has by default.",
    )
    git_ca_file: Path | None = _setting(
        None,
        _path,
        "File of the certificates that git hosts are checked with. Empty: the machine's.",
    )
    git_seconds: float = _setting(120.0, _seconds, "How long a repository may take to be fetched.")
    git_fetched_bytes: int = _setting(
        256 * 2**20, _whole_number(1), "The largest repository that is fetched, as git packs it."
    )
    git_files: int = _setting(50_000, _whole_number(1), "The most files of a repository.")
    git_file_bytes: int = _setting(
        100 * 2**20, _whole_number(1), "The largest file of a repository."
    )
    git_tree_bytes: int = _setting(
        2**30, _whole_number(1), "The largest sum of the files of a repository."
    )
    secret_keys_file: Path | None = _setting(
        None,
        _path,
        "File of the keys that secrets are encrypted with, the same on every node. Empty:"
        " secret.keys in the data folder, which is made when it is needed first.",
    )
    sources_cache_bytes: int = _setting(
        4 * 2**30, _whole_number(0), "Disk for repositories that were fetched."
    )

    max_deployments: int = _setting(
        100, _whole_number(1), "The most Deployments that a Project may have."
    )
    deploys_per_project: int = _setting(
        10,
        _whole_number(1),
        "How many deploys of one Project are under way at once; others are Queued until one ends.",
    )
    releases_kept: int = _setting(
        5,
        _whole_number(0),
        "How many releases of each Deployment, beside the one that serves, keep what they were"
        " built into, so that a rollback builds nothing.",
    )
    release_history: int = _setting(
        100,
        _whole_number(1),
        "How many of the latest releases of each Deployment are kept; of the older ones, those that"
        " are needed.",
    )
    application_network: Reach = _setting(
        "public",
        _reach,
        "What applications reach: public, the outside without private addresses; open, private ones"
        " too; none.",
    )
    run_unconfined: Switch = _setting(
        "off",
        _switch,
        "on: Connectors of others are built and run also where nothing keeps them from what is"
        " yours on this machine (`connectory doctor`).",
    )
    gateway_host: str = _setting(
        "127.0.0.1", _text, "Address that the gateway listens on for the names of a domain."
    )
    commerce_api_url: str = _setting(
        "https://api.{region}.commercetools.com",
        _url,
        "Address of the commerce platform's API as applications with a generated API Client find"
        " it; {region} stands for the Project's.",
    )
    commerce_auth_url: str = _setting(
        "https://auth.{region}.commercetools.com",
        _url,
        "Address of the commerce platform's authorization, likewise.",
    )
    commerce_projects_file: Path | None = _setting(
        None,
        _path,
        "TOML file of commerce projects that API Clients of Deployments are made in, a table for"
        ' each, such as ["europe-west1.gcp:my-project"], with api_url, auth_url, client_id and'
        " client_secret; others may not read it. Empty, and for Projects that it has not: they are"
        " Connectory's own.",
    )
    messages_kept_days: int = _setting(
        7,
        _whole_number(1),
        "How many days a message is sent to an event application that does not acknowledge it;"
        " after that it is a dead letter.",
    )
    dead_letters_kept_days: int = _setting(
        30, _whole_number(1), "How many days dead letters are kept to be replayed."
    )
    messages_acknowledged_kept: int = _setting(
        1_000,
        _whole_number(0),
        "How many of the messages to each Deployment that were acknowledged can still be seen.",
    )
    max_webhooks: int = _setting(10, _whole_number(1), "The most webhooks that a Project may have.")
    webhook_private_addresses: Switch = _setting(
        "off",
        _switch,
        "on: webhooks reach private and local addresses, too, and by http:// as well.",
    )
    logs_kept_days: int = _setting(
        30, _whole_number(1), "How many days the logs of Deployments are kept."
    )
    logs_bytes: int = _setting(
        2 * 2**30,
        _whole_number(2**20),
        "The most that the logs of all Deployments take in the database; the oldest entries go"
        " first.",
    )
    logs_deployment_bytes: int = _setting(
        256 * 2**20,
        _whole_number(2**16),
        "The most of it that the logs of one Deployment take.",
    )
    logs_lines_per_second: int = _setting(
        500,
        _whole_number(1),
        "The most lines and requests a second that are logged of one application, over ten"
        " seconds; of more it is only logged how many there were.",
    )

    check_policy: Path | None = _setting(
        None,
        _path,
        "TOML file that says which findings of the checks are Errors. Empty: HIGH and CRITICAL"
        " vulnerabilities that have a fix, and secrets in the source.",
    )
    advisories: Path | None = _setting(
        None,
        _path,
        "Folder of advisories in the OSV format (JSON files, and zip files of them). Empty: there"
        " are none, and what needs them is skipped.",
    )
    npm_audit: Switch = _setting(
        "off",
        _switch,
        "on: `npm audit` is asked too, which sends the names of dependencies to npm's registry.",
    )

    node_versions_folder: Path | None = _setting(
        None,
        _path,
        "Folder of versions of Node, a folder for each, as nvm keeps them in ~/.nvm/versions/node."
        " Empty: only the node on the PATH.",
    )
    npm_config: Path | None = _setting(
        None,
        _path,
        "File of npm's configuration that builds get, whole: what code of others may see. Empty:"
        " /etc/npmrc and ~/.npmrc, without credentials.",
    )
    build_network: Reach = _setting(
        "public",
        _reach,
        "What builds reach: public, the outside without private addresses; open, private ones too,"
        " for a registry that has one; none.",
    )
    build_seconds: float = _setting(900.0, _seconds, "How long a build may take.")
    build_memory_bytes: int = _setting(
        2 * 2**30, _whole_number(2**26), "The most memory of a build."
    )
    build_disk_bytes: int = _setting(
        2 * 2**30, _whole_number(2**20), "The most disk that a build may write to."
    )
    script_seconds: float = _setting(
        900.0,
        _seconds,
        "How long a script (postDeploy, preUndeploy) may take; else it may use what a build may.",
    )
    strict_scripts: Switch = _setting(
        "off",
        _switch,
        "on: a postDeploy script that fails makes its Deployment `Failed`, and the release before"
        " goes on serving. off: it is a Warning of a Deployment that is `Deployed`, as on the"
        " hosted platform.",
    )
    builds_bytes: int = _setting(
        10 * 2**30,
        _whole_number(0),
        "Disk for what was built, and for packages that builds fetched. Those not used for longest"
        " go first; those of Deployments stay.",
    )

    gateway_port: int = _setting(
        7071,
        _whole_number(1),
        "Port of the gateway, at which applications answer by their host names where there is a"
        " CONNECTORY_GATEWAY_URL.",
    )
    gateway_url: str = _setting(
        "",
        _url,
        "The domain of applications, such as https://apps.example.com: every name under it must"
        " lead to the gateway. Empty: each application has an address of its own on this machine.",
    )
    gateway_ports: Ports = _setting(
        Ports(20_000, 29_999),
        _ports,
        "Ports of this machine for the addresses of applications, where there is no"
        " CONNECTORY_GATEWAY_URL.",
    )
    idle_seconds: float = _setting(
        900.0,
        _seconds,
        "How long an application of a preview or sandbox Deployment stays up without a request.",
    )
    start_seconds: float = _setting(
        120.0, _seconds, "How long an application may take from its start to its health."
    )

    @classmethod
    def load(cls, environment: Mapping[str, str], **options: Any) -> "Settings":
        """Read the settings from an environment; options that are not None win.

        Raises:
            SettingError: a value cannot be read, or a CONNECTORY_ variable is unknown.
        """
        values: dict[str, Any] = {}
        known = {variable(field.name): field for field in dataclasses.fields(cls)}
        for name, text in environment.items():
            if not name.startswith("CONNECTORY_") or name in NOT_SETTINGS:
                continue
            field = known.get(name)
            if field is None:
                raise SettingError(
                    f"{name} is not a setting; `connectory settings` lists those there are"
                )
            if text.strip():
                values[field.name] = _parsed(name, field.metadata["parse"], text.strip())
        values.update((name, value) for name, value in options.items() if value is not None)
        return cls(**values)


#: Variables with our prefix that are not the server's: those of tests, benchmarks, commands.
NOT_SETTINGS = frozenset(
    {
        "CONNECTORY_API_URL",
        "CONNECTORY_CLIENT_ID",
        "CONNECTORY_CLIENT_SECRET",
        "CONNECTORY_PROJECT_KEY",
        "CONNECTORY_TEST_POSTGRES_URL",
        "CONNECTORY_TEST_REPOSITORIES",
        "CONNECTORY_TEST_REQUIRE",
        "CONNECTORY_TEST_SHARED",
        "CONNECTORY_TRACEBACK",
    }
)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"CONNECTORY_{name.upper()}"


def _parsed(name: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingError(f"{name}={text!r} cannot be read: it must be {error}") from None
