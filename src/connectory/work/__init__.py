"""Durable background work: pieces that survive the death of any process.

`model` has the states and the rules, `store` the rows, `lease` what a handler of a kind of work is
given, `watching` how the death of a node is noticed, `service` the worker of a node.
"""
