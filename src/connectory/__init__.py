"""Connectory: the open, self-hostable implementation of the commercetools Connect platform."""

__version__ = "0.1.0"
