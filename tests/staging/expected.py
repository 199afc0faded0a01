"""What a ConnectorStaged must be after anything that can happen to it: a model in plain Python.

It is written from the documentation and docs/decisions/0015, and shares nothing with the program.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

Json = dict[str, Any]

#: A tag that every check passes, two of them; one that the structure check refuses; none at all.
GOOD, BETTER, BROKEN, MISSING = "v1.0.0", "v2.0.0", "broken", "nowhere"
SPECIFICATION = "Connector specification file validation check succeeded"
STRUCTURE = "Connector structure check"
#: What the checks say that are left out by the policy, or not there yet.
SKIPPED = (
    "Secrets in the source check skipped",
    "SAST and SCA analysis check skipped",
    "Connector image build check skipped",
)
AT_REST = ("Draft", "Published", "Failed")
UNDER_CERTIFICATION = ("ReadyForCertification", "InCertification")


class Refused(Exception):
    """An act that is not possible; its message is the code of the error."""


@dataclass(frozen=True)
class Request:
    """A preview or publish request under way."""

    number: int
    tag: str
    certification: bool = False
    waiting_for: str = "a worker"


@dataclass(frozen=True)
class Published:
    """The Connector."""

    version: int
    data: tuple[Any, ...]
    certified: bool
    listed: bool = True


@dataclass(frozen=True)
class Expected:
    """A ConnectorStaged; it is changed by what follows, each of which gives the next one."""

    name: str
    tag: str
    types: tuple[str, ...] = ("other",)
    projects: tuple[str, ...] = ()
    version: int = 1
    status: str = "Draft"
    previewable: str = "none"
    preview: Request | None = None
    publish: Request | None = None
    preview_report: tuple[str, ...] | None = None
    publish_report: tuple[str, ...] | None = None
    comments: int = 0
    connector: Published | None = None
    reviewer: str | None = None

    # What creators do

    def updated(self, actions: list[Json], number: int) -> Self:
        """After an update; a request that it makes has this number, or one of those after it.

        Raises:
            Refused: it changes nothing.
        """
        if any(action.get("tag") == MISSING for action in actions):
            raise Refused("GitRepositoryNotReachable")
        after = self
        for place, action in enumerate(actions):
            after = after._acted(action, number + place)
        return replace(after, version=self.version + 1)

    def _acted(self, action: Json, number: int) -> Self:
        kind = action["action"]
        if kind == "addCertificationComment":
            return replace(self, comments=self.comments + 1)
        if kind == "publish":
            return self._publish_requested(number, certification=action["certification"])
        if self.status not in AT_REST:
            raise Refused("ConnectorStagedInProcess")
        if kind == "updatePreviewable":
            return self._preview_requested(number)
        return self._edited(kind, action)

    def _edited(self, kind: str, action: Json) -> Self:
        match kind:
            case "unlist":
                if self.connector is None or not self.connector.listed:
                    raise Refused("ConnectorNotListed")
                return replace(self, connector=replace(self.connector, listed=False))
            case "setRepository":
                return replace(self, tag=action["tag"], previewable="none", preview=None)
            case "setName":
                return replace(self, name=action["name"])
            case "setIntegrationTypes":
                return replace(self, types=tuple(action["integrationTypes"]))
        return self._assigned(action)

    def _assigned(self, action: Json) -> Self:
        if not self.private:
            raise Refused("ConnectorStagedNotPrivate")
        others = tuple(each for each in self.projects if each != action["privateProject"])
        if action["action"] == "removePrivateProject":
            return replace(self, projects=others)
        if others != self.projects:
            return self
        return replace(self, projects=(*self.projects, action["privateProject"]))

    def _preview_requested(self, number: int) -> Self:
        if self.previewable == "pending":
            raise Refused("ConnectorStagedPreviewRequestUnderProcess")
        request = Request(number, self.tag)
        return replace(self, previewable="pending", preview=request, preview_report=())

    def _publish_requested(self, number: int, *, certification: bool) -> Self:
        if self.publish is not None:
            both = certification and self.publish.certification
            raise Refused("ConnectorStagedInCertification" if both else "ConnectorStagedInProcess")
        if self.connector is not None and self.connector.certified:
            if not certification:
                raise Refused("CertificationRequired")
            if self.connector.listed and not self.has_changes:
                raise Refused("ConnectorAlreadyCertified")
        request = Request(number, self.tag, certification)
        return replace(self, status="Processing", publish=request, publish_report=())

    def require_deletable(self) -> None:
        """Nothing that is being published or certified is deleted.

        Raises:
            Refused: it is.
        """
        if self.publish is not None:
            raise Refused("ConnectorStagedInProcess")

    # What the checks find

    def request(self, kind: str, number: int) -> Request | None:
        """A request, if it is under way yet."""
        request = self.preview if kind == "preview" else self.publish
        return request if request is not None and request.number == number else None

    def begun(self, kind: str, request: Request) -> Self:
        """When the first check has ended and the second one runs."""
        waiting = replace(request, waiting_for="check: structure")
        return self._entered(kind, SPECIFICATION)._with(kind, waiting)

    def ended(self, kind: str, request: Request) -> Self:
        """When all checks have ended."""
        passed = request.tag != BROKEN
        outcome = f"{STRUCTURE} {'succeeded' if passed else 'failed'}"
        after = self._entered(kind, outcome, *SKIPPED)
        after = replace(after, version=self.version + 1)
        if kind == "preview":
            return replace(after, previewable="true" if passed else "false", preview=None)
        if not passed:
            return replace(after, status="Failed", publish=None)
        if request.certification:
            after = after._with(kind, replace(request, waiting_for="a reviewer"))
            return replace(after, status="ReadyForCertification")
        return after._published(certified=False)

    def cancelled(self, kind: str) -> Self:
        """When an operator has cancelled the work of a request."""
        after = self._entered(kind, "The request was cancelled")
        after = replace(after, version=self.version + 1)
        if kind == "preview":
            return replace(after, previewable="none", preview=None)
        return replace(after, status="Failed", publish=None)

    # What reviewers do

    def reviewed(self, action: str, reviewer: str) -> Self:
        """After an act of a reviewer.

        Raises:
            Refused: it is not possible.
        """
        after = replace(self, version=self.version + 1)
        if action == "comment":
            if self.status not in UNDER_CERTIFICATION:
                raise Refused("ReviewNotPossible")
            return replace(after, comments=self.comments + 1)
        if self.reviewer is not None and (action == "take" or self.reviewer != reviewer):
            raise Refused("ReviewTaken")
        before = "ReadyForCertification" if action == "take" else "InCertification"
        if self.status != before or self.publish is None:
            raise Refused("ReviewNotPossible")
        if action == "take":
            taken = after._with("publish", replace(self.publish, waiting_for=reviewer))
            return replace(taken, status="InCertification", reviewer=reviewer)
        after = replace(after, reviewer=None)
        if action == "approve":
            return after._published(certified=True)
        rejected = after._entered("publish", "Certification rejected")
        return replace(rejected, status="Failed", publish=None, comments=self.comments + 1)

    def _published(self, *, certified: bool) -> Self:
        version = 1 if self.connector is None else self.connector.version + 1
        connector = Published(version, self.data, certified)
        return replace(self, status="Published", publish=None, connector=connector)

    def _entered(self, kind: str, *titles: str) -> Self:
        if kind == "preview":
            return replace(self, preview_report=(*(self.preview_report or ()), *titles))
        return replace(self, publish_report=(*(self.publish_report or ()), *titles))

    def _with(self, kind: str, request: Request) -> Self:
        if kind == "preview":
            return replace(self, preview=request)
        return replace(self, publish=request)

    # What is seen

    @property
    def data(self) -> tuple[Any, ...]:
        """What is published."""
        return self.name, self.types, self.tag

    @property
    def private(self) -> bool:
        return self.connector is None or not self.connector.certified

    @property
    def has_changes(self) -> bool:
        return self.connector is not None and self.connector.data != self.data

    @property
    def shown(self) -> Json:
        """What the API must show, as `shown` makes it of an answer."""
        request = self.publish or self.preview
        return {
            "version": self.version,
            "name": self.name,
            "tag": self.tag,
            "integrationTypes": self.types,
            "status": self.status,
            "isPreviewable": self.previewable,
            "alreadyListed": self.connector is not None and self.connector.listed,
            "hasChanges": self.has_changes,
            "private": self.private,
            "privateProjects": self.projects,
            "previewableReport": self.preview_report,
            "publishingReport": self.publish_report,
            "comments": self.comments,
            "waitingFor": request and request.waiting_for,
        }

    def found(self, project: str, owner: str) -> list[tuple[Any, ...]]:
        """What a search of a Project must find of the Connector: its version and its data."""
        connector = self.connector
        if connector is None or not connector.listed:
            return []
        if self.private and project not in (owner, *self.projects):
            return []
        return [(connector.version, connector.certified, *connector.data)]


def shown(body: Json) -> Json:
    """An answer of the API, as `Expected.shown` has it."""

    def titles(report: str) -> tuple[str, ...] | None:
        told = body.get(report)
        return None if told is None else tuple(each["title"] for each in told["entries"])

    same = ("version", "name", "status", "isPreviewable", "alreadyListed", "hasChanges", "private")
    return {name: body[name] for name in same} | {
        "tag": body["repository"]["tag"],
        "integrationTypes": tuple(body["integrationTypes"]),
        "privateProjects": tuple(body["privateProjects"]),
        "previewableReport": titles("previewableReport"),
        "publishingReport": titles("publishingReport"),
        "comments": len(body.get("certificationInfo", {"comments": ()})["comments"]),
        "waitingFor": body.get("waitingFor", {"what": None})["what"],
    }
