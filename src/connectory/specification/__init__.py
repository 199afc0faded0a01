"""connect.yaml: read, judged as the official validator judges, explained by line and column.

`read` takes the bytes of a file; `structure` looks at what lies beside it. No server, database or
network is needed.
"""

from connectory.specification.reading import FILE_NAME, MAX_BYTES, Reading, read

__all__ = ["FILE_NAME", "MAX_BYTES", "Reading", "read"]
