"""Runs code of others so that it reaches nothing that is not its own.

`model` says what is asked for; `probe` finds the strictest way that works on this machine.
"""
