"""HTTP: the endpoint table and everything that follows from it.

`table` declares endpoints, `application` serves them, `queries` and `bodies` decode what comes
in, `answers` encodes what goes out, `openapi` and `reference` describe the table, `server` binds
a port. Nothing here knows what the endpoints are about.
"""
