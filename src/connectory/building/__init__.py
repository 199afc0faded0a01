"""A source tree becomes an artifact, addressed by what it is made of."""
