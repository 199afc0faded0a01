"""Which Deployment, and which application of it, a command is about."""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from connectory.cli.api import Api
from connectory.contract.scalars import is_id

_PAGE = 100

Json = dict[str, Any]


class ApplicationFault(Exception):
    """It cannot be told which application is meant; the message says why."""


class Place(Struct, frozen=True, kw_only=True):
    """An application of a Deployment, each as the API shows it."""

    deployment: Json
    application: Json

    @property
    def name(self) -> str:
        """How people are told of it."""
        key = self.deployment.get("key") or self.deployment["id"]
        return f"{self.application['applicationName']} of {key}"


def named(key: str) -> str:
    """A Deployment in a path, by its key or id."""
    return key if is_id(key) else f"key={key}"


def the_one(
    api: Api, key: str | None, target: str, fits: Callable[[Json], bool], kind: str
) -> Place:
    """The one application that fits, of one Deployment or, without a key, of all in the Project.

    Raises:
        ApplicationFault: there is none, or there are several; `kind` says of what.
    """
    found = [
        Place(deployment=deployment, application=application)
        for deployment in _deployments(api, key)
        for application in deployment["applications"]
        if fits(application)
    ]
    if not found:
        where = f"the Deployment {key} has" if key else "the Deployments of the Project have"
        raise ApplicationFault(f"{where} no {kind} '{target}'")
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise ApplicationFault(f"'{target}' is {names}: say which with --deployment")
    return found[0]


def _deployments(api: Api, key: str | None) -> Iterator[Json]:
    if key is not None:
        yield api.get(api.path("deployments", named(key)))
        return
    offset = 0
    while True:
        page = api.get(api.path("deployments"), {"limit": _PAGE, "offset": offset})
        yield from page["results"]
        offset += page["count"]
        if not page["count"] or offset >= page["total"]:
            return
