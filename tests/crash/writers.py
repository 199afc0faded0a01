"""Writers that are at work when the power goes, and what they were told before it went."""

import json
import random
import threading
import time
from dataclasses import dataclass, field

import httpx

from tests.crash.catalogues import Line
from tests.harness import Credentials, Installation, Server
from tests.processes import FedProcess


@dataclass
class Acknowledged:
    """What has to be so after a crash. What was asked for and not answered is in none of them."""

    tokens: set[str] = field(default_factory=set)
    revoked_tokens: set[str] = field(default_factory=set)
    clients: set[Credentials] = field(default_factory=set)
    revoked_clients: set[Credentials] = field(default_factory=set)


class Writer(threading.Thread):
    """Does one thing after the other until it is stopped or what it talks to dies."""

    def __init__(self, acknowledged: Acknowledged, chance: random.Random) -> None:
        super().__init__()
        self.acknowledged = acknowledged
        self.chance = random.Random(chance.random())
        self.stopped = threading.Event()
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stopped.is_set() and self.write():
                pass
        except BaseException as fault:  # noqa: BLE001 - it is raised in the test by `end`
            self.fault = fault

    def write(self) -> bool:
        """One write; whether there is to be another."""
        raise NotImplementedError

    def end(self) -> None:
        self.stopped.set()
        self.join(60)
        if self.fault is not None:
            raise self.fault


class TokenWriter(Writer):
    """Issues tokens and revokes some of them, through a server."""

    def __init__(
        self,
        server: Server,
        credentials: Credentials,
        acknowledged: Acknowledged,
        chance: random.Random,
    ) -> None:
        super().__init__(acknowledged, chance)
        auth = (credentials.client_id, credentials.client_secret)
        self._http = httpx.Client(base_url=server.url, auth=auth, timeout=60)

    def write(self) -> bool:
        try:
            if self.acknowledged.tokens and self.chance.random() < 0.3:
                self._revoke()
            else:
                self._issue()
        except httpx.TransportError:  # the server is gone, before it answered
            return False
        time.sleep(0.005)
        return True

    def end(self) -> None:
        super().end()
        self._http.close()

    def _issue(self) -> None:
        answer = self._http.post("/oauth/token", data={"grant_type": "client_credentials"})
        assert answer.status_code == 200, answer.text
        self.acknowledged.tokens.add(answer.json()["access_token"])

    def _revoke(self) -> None:
        token = self.chance.choice(sorted(self.acknowledged.tokens))
        self.acknowledged.tokens.remove(token)
        answer = self._http.post("/oauth/token/revoke", data={"token": token})
        assert answer.status_code == 200, answer.text
        self.acknowledged.revoked_tokens.add(token)


class ClientWriter(Writer):
    """Creates API Clients and revokes some of them, by commands."""

    def __init__(
        self, installation: Installation, acknowledged: Acknowledged, chance: random.Random
    ) -> None:
        super().__init__(acknowledged, chance)
        self._installation = installation
        self._running: FedProcess | None = None
        self._killed = False
        self._lock = threading.Lock()

    def kill(self) -> None:
        """Kill the command that runs; no other is started."""
        with self._lock:
            self._killed = True
            if self._running is not None:
                self._running.kill()

    def write(self) -> bool:
        clients = self.acknowledged.clients
        if clients and self.chance.random() < 0.4:
            ended = self.chance.choice(sorted(clients, key=lambda each: each.client_id))
            clients.remove(ended)
            if self._said("client", "revoke", ended.client_id) is not None:
                self.acknowledged.revoked_clients.add(ended)
        else:
            arguments = ("client", "create", "--project", "shop", "--scope", "manage_project")
            said = self._said(*arguments, "--json")
            if said is not None:
                made = json.loads(said)
                clients.add(Credentials(made["clientId"], made["clientSecret"]))
        return not self._killed

    def _said(self, *arguments: str) -> str | None:
        """What a command said that succeeded; None for one that was killed before it did."""
        with self._lock:
            if self._killed:
                return None
            self._running = FedProcess(*arguments, environment=self._installation.environment)
        with self._running as running:
            status, said = running.end()
        with self._lock:
            self._running = None
            assert status == 0 or self._killed, said
        return said if status == 0 else None


class Import(FedProcess):
    """An import that is given its lines part by part."""

    def __init__(self, installation: Installation, lines: list[Line]) -> None:
        super().__init__("import", "-", environment=installation.environment)
        self._text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self._given = 0

    def give_part(self, part: float) -> None:
        """Go on to a part of all lines, from 0 to 1; all but the last 64 kB of that is read."""
        until = int(len(self._text) * part)
        self.give(self._text[self._given : until])
        self._given = until
