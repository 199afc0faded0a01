"""Why packages could not be had, in words for people: from the codes of npm, Yarn and pnpm."""

import re
from collections.abc import Iterable
from typing import Final

from connectory.building.processes import Ended

_CODE: Final = re.compile(r"npm (?:error|ERR!) code (\w+)")
#: The npm code, what of its text names the culprit, and what is said of it.
_NPM: Final = (
    (
        "E404",
        r"'([^']+)' (?:is not in this registry|could not be found)",
        "the package {} is not in the registry, or may not be seen from here",
    ),
    (
        "ETARGET",
        r"No matching version found for (\S+?)\.?(?:\s|$)",
        "the registry has no version {}",
    ),
    ("ENOVERSIONS", r"No versions available for (\S+)", "the registry has no version of {}"),
    (
        "E40[13]",
        r"(?:40[13] \w+ - GET|Unable to authenticate)\W+(\S+)",
        "the registry does not give {} to this server: it asks for credentials",
    ),
    (
        "ENOTFOUND|EAI_AGAIN",
        r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (\S+)",
        "the registry {} cannot be found from here: the network is not there, or the name is wrong",
    ),
    (
        "ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|EHOSTUNREACH|ENETUNREACH|FETCH_ERROR",
        r"request to (\S+) failed",
        "the registry does not answer: {}",
    ),
    (
        "EINTEGRITY|ETARBALL",
        r"while extracting ([^\s:]+)",
        "a package is not the one that the lock file names: {} has another checksum",
    ),
    (
        "ERESOLVE",
        r"(?:While resolving|Could not resolve dependency): ?(\S+)",
        "the versions of the dependencies exclude each other, at {}",
    ),
    ("EBADENGINE", r"Not compatible with your version\D*?: (\S+)", "{} asks for another Node"),
    ("ENOSPC|EDQUOT", r"(no space left)", "the build has used up the disk that it may use"),
    ("EUNSUPPORTEDPROTOCOL", r'"(\w+:)"', "package.json has a dependency that npm cannot read: {}"),
    ("EJSONPARSE", r"((?:Failed|Invalid).*)", "a JSON file cannot be read: {}"),
)
#: What Yarn and pnpm say, and what is said of it.
_OTHERS: Final = (
    (
        r"Couldn't find package \"([^\"]+)\"|ERR_PNPM_FETCH_404.*?([^\s/]+): Not Found",
        "the package {} is not in the registry, or may not be seen from here",
    ),
    (
        (
            r"Couldn't find any versions for (\".+?\" that matches \".+?\")"
            r"|ERR_PNPM_NO_MATCHING_VERSION\W+No matching version found for (\S+)"
            r"|([^\s:]+): No candidates found"
        ),
        "the registry has no version {}",
    ),
    (
        r"(Your lockfile needs to be updated|ERR_PNPM_OUTDATED_LOCKFILE|YN0028)",
        (
            "the lock file does not belong to package.json: install once with the same tool, and"
            " commit the lock file"
        ),
    ),
    (
        r"Integrity check failed for \"?([^\"\s]+)|ERR_PNPM_TARBALL_INTEGRITY.*?(\S+\.tgz)",
        "a package is not the one that the lock file names: {} has another checksum",
    ),
    (
        (
            r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (\S+)|ERR_PNPM_META_FETCH_FAIL.*?(https?://\S+)"
            r"|(trouble with your network connection)"
        ),
        "the registry cannot be reached from here ({})",
    ),
    (
        r"(?:Error when performing the request to|Failed to fetch|fetch failed)\W*(\S*)",
        "the tool itself cannot be fetched ({})",
    ),
)
_OUT_OF_SYNC: Final = re.compile(r"in sync|can only install with an existing package-lock")
_MISSING: Final = re.compile(r"(?:Missing|Invalid): (.+?) from lock file|lock file's (\S+) does")

_WANTED: Final = re.compile(r"wanted (sha\d+-\S+)")
_LOCKED: Final = re.compile(r'"(?:[^"]*node_modules/)?([^"]+)"\s*:\s*\{')


def why_not_installed(ended: Ended, lock: str) -> str:
    """The reason in one sentence; empty where the output names none that is known.

    `lock` is the text of the lock file, where a package is found by its checksum.
    """
    code = _CODE.search(ended.text)
    if code is not None:
        return _npm(code[1], ended.text, lock)
    for pattern, words in _OTHERS:
        found = re.search(pattern, ended.text)
        if found:
            return words.format(_culprit([found]))
    return ""


def _npm(code: str, text: str, lock: str) -> str:
    if code == "EUSAGE" and _OUT_OF_SYNC.search(text):
        culprit = _culprit(_MISSING.finditer(text))
        example = f" ({culprit})" if culprit else ""
        return (
            f"package-lock.json does not belong to package.json{example}: run `npm install` and"
            " commit the lock file"
        )
    for codes, pattern, words in _NPM:
        if re.fullmatch(codes, code):
            culprit = _culprit(re.finditer(pattern, text)) or _by_checksum(text, lock)
            return words.format(culprit or "one of the packages")
    return f"npm says {code}"


def _by_checksum(text: str, lock: str) -> str:
    """The package whose checksum in the lock file is the one that was wanted."""
    wanted = _WANTED.search(text)
    at = lock.find(wanted[1]) if wanted else -1
    names = _LOCKED.findall(lock, 0, at) if at > 0 else []
    return str(names[-1]) if names else ""


def _culprit(found: Iterable[re.Match[str]]) -> str:
    """What a pattern caught first, in whichever of its groups."""
    for match in found:
        for group in match.groups():
            if group:
                return group.strip("'\"").rstrip(".,")[:200]
    return ""


#: What programs say that get no more memory: Node, its engine, libc and the kernel.
_WANTED_MEMORY: Final = (
    "Array buffer allocation failed",
    "heap out of memory",
    "Cannot allocate memory",
    "ENOMEM",
)


def how_it_ended(ended: Ended) -> str:
    """The exit code or signal, then the last lines of output."""
    end = end_of(ended.code, "build")
    if ended.code > 0 and any(words in ended.text for words in _WANTED_MEMORY):
        # So it is told where no control group bounds a build, but each process by itself.
        end += ": it wanted more memory than a build may use"
    return "\n".join([end, *ended.last])


def end_of(code: int, work: str) -> str:
    """An exit code, or a signal, of a `build` or another work that is bounded."""
    if code in (-9, 137):  # 128 + SIGKILL, by a shell
        return f"it was killed, most likely because it used more memory than a {work} may use"
    return f"exit code {code}" if code >= 0 else f"it was ended by signal {-code}"
