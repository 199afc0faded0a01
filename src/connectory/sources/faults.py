"""What git says when it fails, in words of ours: one sentence, and nothing that may be secret."""

import logging

from connectory.sources.git import GitFailed
from connectory.sources.model import (
    HostNotReachable,
    RepositoryNotReachable,
    SourceError,
    TreeRefused,
)
from connectory.sources.routes import Route

log = logging.getLogger(__name__)

_PRIVATE = (
    "the repository is not there, or is private: look at its address; for a private one, the"
    " operator adds a credential for this Project with `connectory git-credential add`"
)

#: What git, curl and ssh say, in small letters, and what it means; the first that fits counts.
_MEANINGS: tuple[tuple[tuple[str, ...], type[SourceError], str], ...] = (
    (
        ("host key verification failed", "no matching host key", "key is known for"),
        RepositoryNotReachable,
        (
            "the host's SSH key is not one that the server knows: its operator adds it to"
            " CONNECTORY_GIT_KNOWN_HOSTS"
        ),
    ),
    (
        (
            "authentication failed",
            "could not read username",
            "could not read password",
            "permission denied",
            "returned error: 401",
            "returned error: 403",
            "returned error: 404",
            "not found",
            "does not exist",
            "does not appear to be a git repository",
            "not a git repository",
        ),
        RepositoryNotReachable,
        _PRIVATE,
    ),
    (
        ("certificate", "server cert"),
        RepositoryNotReachable,
        "the host's certificate is not one that the server trusts",
    ),
    (
        ("returned error: 30",),
        RepositoryNotReachable,
        "the address is redirected: use the one that it leads to",
    ),
    (
        ("refusing to fetch", "not our ref", "unadvertised object"),
        RepositoryNotReachable,
        "the repository does not have this commit any more",
    ),
    (
        ("file size limit exceeded", "out of memory", "unable to create thread", "signal 25"),
        TreeRefused,
        "the repository is larger than the server takes",
    ),
    (
        (
            "could not resolve",
            "couldn't connect",
            "could not connect",
            "failed to connect",
            "connection refused",
            "connection timed out",
            "connection reset",
            "connection closed",
            "timed out",
            "operation too slow",
            "returned error: 5",
            "returned error: 429",
            "empty reply",
            "unexpected disconnect",
            "the remote end hung up",
            "early eof",
            "gnutls",
            "ssl_",
        ),
        HostNotReachable,
        "the host cannot be reached, or broke off: try again later",
    ),
)


def explained(failure: GitFailed, route: Route) -> SourceError:
    """The error that a fault of git is for the callers of sources."""
    log.info("git failed: status %d: %s", failure.status, " ".join(failure.errors.split()))
    said = failure.errors.replace(route.url, "").lower()
    for words, error, reason in _MEANINGS:
        if any(each in said for each in words):
            return error(reason)
    where = "the operator's mirror" if route.protocol == "file" else "the host"
    return RepositoryNotReachable(f"{where} does not answer as a git repository does")
