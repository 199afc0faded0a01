"""Projects, API Clients and access tokens: who may ask, and for which Project.

Tokens are opaque and stored hashed. Each node keeps the grants of the tokens that it has seen in
memory; revocations reach it by the change feed.
"""
