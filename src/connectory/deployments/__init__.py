"""Deployments: a Connector with its configuration, built, run and told of."""
