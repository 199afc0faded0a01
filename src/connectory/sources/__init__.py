"""Sources: a tag of a git repository becomes a commit, and a commit a tree of files, safely.

Addresses, tags, servers and what repositories hold are hostile here. Everything is synchronous and
meant for worker threads; other slices use `connectory.sources.service.Sources`.
"""
