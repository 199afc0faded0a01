"""ConnectorStaged that are created, changed, previewed and published, and what must become of them.

What a request makes of a ConnectorStaged is known here without asking the program: `State` before
and `State` after. Where the request was acknowledged, and its work has ended, it is the one after;
where the answer was lost in a crash, it is one of the two, and nothing between.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import httpx
import sqlalchemy
from sqlalchemy import Connection

from connectory.database.tables import connector_versions, connectors
from tests.staging.repositories import Repositories

#: How soon a request must have ended, on a machine that has much else to do.
SETTLED_SECONDS = 60.0
TAGS = ("v1.0.0", "v2.0.0", "v3.0.0")
#: What each step adds to a report: once, and in this order.
REPORT = (
    "Connector specification file validation check succeeded",
    "Connector structure check succeeded",
    "Secrets in the source check skipped",
    "SAST and SCA analysis check skipped",
    "Connector image build check skipped",
)

Json = dict[str, Any]
CREATE, EDIT, PREVIEW, PUBLISH, BOTH = "create", "edit", "preview", "publish", "both"
#: What may be done to a ConnectorStaged that is there.
CHANGES = (EDIT, PREVIEW, PUBLISH, BOTH)


@dataclass(frozen=True)
class State:
    """What a ConnectorStaged is when none of its requests is under way.

    `published` has the name and the tag of each version of its Connector.
    """

    version: int
    name: str
    tag: str
    previewable: str = "none"
    previewed: bool = False
    published: tuple[tuple[str, str], ...] = ()
    works: int = 0

    def after(self, doing: str) -> Self:
        """The state when a request and its work have ended; each costs a version."""
        if doing == EDIT:
            return replace(
                self,
                version=self.version + 1,
                name=f"Acme {self.version + 1}",
                tag=TAGS[(TAGS.index(self.tag) + 1) % len(TAGS)],
                previewable="none",
            )
        state = replace(self, version=self.version + 1)
        if doing in (PREVIEW, BOTH):
            state = replace(state._worked(), previewable="true", previewed=True)
        if doing in (PUBLISH, BOTH):
            state = replace(state._worked(), published=(*self.published, (self.name, self.tag)))
        return state

    def _worked(self) -> Self:
        return replace(self, version=self.version + 1, works=self.works + 1)

    @property
    def shown(self) -> Json:
        """What the API must show of it."""
        published = self.published[-1] if self.published else None
        return {
            "version": self.version,
            "name": self.name,
            "tag": self.tag,
            "status": "Published" if published else "Draft",
            "isPreviewable": self.previewable,
            "alreadyListed": published is not None,
            "hasChanges": published not in (None, (self.name, self.tag)),
            "previewableReport": REPORT if self.previewed else None,
            "publishingReport": REPORT if published else None,
            "waitingFor": None,
        }


def shown(body: Json) -> Json:
    """The same of an answer of the API."""
    fields = State(0, "", TAGS[0]).shown
    told = {name: body.get(name) for name in fields} | {"tag": body["repository"]["tag"]}
    for report in ("previewableReport", "publishingReport"):
        if told[report] is not None:
            entries = told[report]["entries"]
            moments = [entry["createdAt"] for entry in entries]
            assert moments == sorted(moments), entries
            told[report] = tuple(entry["title"] for entry in entries)
    return told


@dataclass
class Draft:
    """A ConnectorStaged that a client works on, one request at a time."""

    key: str
    repositories: Repositories
    #: The commit of each of its tags, which are not moved.
    commits: Mapping[str, str]
    http: httpx.Client
    headers: dict[str, str]
    id: str = ""
    #: What it is for certain; None: it does not exist.
    state: State | None = None
    #: What it is if the request that was sent last was carried out, and whether that was said.
    sent: State | None = None
    acknowledged: bool = False
    #: What has been done to it, for the message of a failure.
    done: list[str] = field(default_factory=list)

    def do(self, url: str, doing: str) -> None:
        """Send a request to a node; no answer is not one."""
        first = State(1, "Acme 1", TAGS[0])
        self.sent = first if self.state is None else self.state.after(doing)
        self.acknowledged = False
        try:
            answer = self._request(url, doing)
        except httpx.TransportError:
            self.done.append(f"{doing}, lost")
            return
        assert answer.status_code == 201, answer.text
        self.done.append(doing)
        self.id = answer.json()["id"]
        self.acknowledged = True

    def _request(self, url: str, doing: str) -> httpx.Response:
        if self.state is None or self.sent is None:
            return self._post(f"{url}/connectors/drafts", self._draft())
        edit = [{"action": "setName", "name": self.sent.name}]
        edit.append({"action": "setRepository", "tag": self.sent.tag})
        preview = [{"action": "updatePreviewable"}]
        publish = [{"action": "publish", "certification": False}]
        actions = {EDIT: edit, PREVIEW: preview, PUBLISH: publish, BOTH: [*preview, *publish]}
        body = {"version": self.state.version, "actions": actions[doing]}
        return self._post(f"{url}/connectors/drafts/key={self.key}", body)

    def _draft(self) -> Json:
        return {
            "key": self.key,
            "name": "Acme 1",
            "creator": {"email": "connect@acme.example"},
            "repository": {"url": self.repositories.url(), "tag": TAGS[0]},
        }

    def _post(self, url: str, body: Json) -> httpx.Response:
        return self.http.post(url, json=body, headers=self.headers)

    def _get(self, url: str) -> Json | None:
        answer = self.http.get(url, headers=self.headers)
        assert answer.status_code in (200, 404), answer.text
        return dict(answer.json()) if answer.status_code == 200 else None

    def settle(self, url: str) -> None:
        """Wait until its work has ended, and see that it is what it must be."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while (body := self._get(f"{url}/connectors/drafts/key={self.key}")) is not None and (
            body["status"] == "Processing" or body["isPreviewable"] == "pending"
        ):
            assert time.monotonic() < deadline, f"it is stuck: {self.done}, {body}"
            time.sleep(0.02)
        possible = [self.sent] if self.acknowledged else [self.state, self.sent]
        seen = None if body is None else shown(body)
        there = [each for each in possible if (each and each.shown) == seen]
        assert there, f"{self.done}: {seen} is none of {[each and each.shown for each in possible]}"
        self.id = "" if body is None else body["id"]
        self.state = self.sent = there[0]
        self.acknowledged = True
        self._look_at_connector(url)

    def _look_at_connector(self, url: str) -> None:
        """See that a node serves the Connector that was published last, if one was."""
        found = self._get(f"{url}/connectors/search?key={self.key}")
        assert found is not None
        published = self.state.published if self.state else ()
        last = {(self.id, len(published), *published[-1])} if published else set()
        assert {
            (each["id"], each["version"], each["name"], each["repository"]["tag"])
            for each in found["results"]
        } == last

    def look_in_database(self, connection: Connection) -> None:
        """See that each publish has made one version of the Connector, of the right commit."""
        published = self.state.published if self.state else ()
        versions = connector_versions.c
        query = (
            sqlalchemy.select(versions.version, versions.commit)
            .where(versions.connector_id == self.id)
            .order_by(versions.version)
        )
        rows = [tuple(row) for row in connection.execute(query)]
        commits = [self.commits[tag] for _, tag in published]
        assert rows == list(enumerate(commits, start=1)), self.done
        current = sqlalchemy.select(connectors.c.version).where(connectors.c.id == self.id)
        assert connection.execute(current).scalar_one_or_none() == (len(published) or None)
