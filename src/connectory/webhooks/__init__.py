"""Webhooks: a Project is told what happens, by signed requests that are made until they succeed."""
