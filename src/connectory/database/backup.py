"""Backup and restore."""


class BackupError(ValueError):
    """A backup cannot be read, or a target cannot take it; the message says why."""
