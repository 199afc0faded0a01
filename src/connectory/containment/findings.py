"""What `connectory doctor` says of a way to confine: the same things of each, in the same words."""

FILES = "Files: programs see only what they are given"
USERS = "Users: programs run as a user of their own"
OTHERS = "Processes: programs see only their own"
NETWORK = "Network: this machine and private addresses are out of reach"
PORT = "Network: every program has a port 8080 of its own"
MEMORY = "Memory: bounded for a program and all that it starts"
PROCESSORS = "Processors: bounded"
PROCESSES = "Number of processes: bounded"
DISK = "Disk: each file, and all of /tmp, bounded"

ONLY_NODE = "Node listens on another port instead; other programs cannot."
GROUPS = (
    "Run the server as root, or as a systemd service with Delegate=yes: it needs control groups"
    " that it may write to."
)


def finding(what: str, holds: bool, how: str) -> tuple[str, bool, str]:  # noqa: FBT001 - as shown
    """One of `Holds.findings`; how to get it is told only where it does not hold."""
    return what, holds, "" if holds else how.strip()
