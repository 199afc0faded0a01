"""Artifacts become running applications."""
