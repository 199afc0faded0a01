"""The catalogue: published Connectors, read and searched, imported and exported.

The database is the truth. Each node holds a search index of all Connectors in memory, which
follows the change feed, and the encoded bodies of those that are asked for.
"""
