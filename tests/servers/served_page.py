"""The operator's page of an outbox, served in this process."""

import contextlib
import http.client
import json
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykka_smtp.actors.outbox.sending.failures import CANCELLED
from pykka_smtp.actors.outbox.store.outside.acting import act
from pykka_smtp.cli.outbox_page.access import Access
from pykka_smtp.cli.outbox_page.overview import Overview
from pykka_smtp.cli.outbox_page.requests import Desk
from pykka_smtp.cli.outbox_page.server import PageServer

from .waiting import PATIENCE


@dataclass(kw_only=True)
class Answer:
    """What the server has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


@dataclass(kw_only=True)
class ServedPage:
    """A page that is served.

    Attributes:
        port: where, on 127.0.0.1.
        noted: what was done to emails.
    """

    port: int
    server: PageServer
    noted: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, path: str, given: Any = None, **headers: str) -> Answer:
        """Send a request; underscores in the names of headers are hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if given is not None:
            named = {"Content-Type": "application/json"} | named
        try:
            body = given if given is None or isinstance(given, bytes) else json.dumps(given)
            connection.request("GET" if given is None else "POST", path, body, named)
            reply = connection.getresponse()
            return Answer(status=reply.status, headers=dict(reply.headers), body=reply.read())
        finally:
            connection.close()

    def state(self, words: str = "", **headers: str) -> Any:
        """Return what the page is to show."""
        answer = self.ask(f"/api/state?{words}", **headers)
        assert answer.status == 200, answer.body
        return answer.json

    def act(self, action: str, key: str, alias: str = "shop") -> bool:
        """Do something to an email, as the page does."""
        given = {"action": action, "key": key, "alias": alias}
        answer = self.ask("/api/act", given, X_Csrf=self.state()["csrf"])
        assert answer.status == 200, answer.body
        return bool(answer.json["done"])


@contextlib.contextmanager
def serving(path: Path, token: str | None = None) -> Generator[ServedPage]:
    """Serve the page of an outbox while the block runs."""
    overview = Overview(path)
    noted: list[str] = []
    desk = Desk(
        overview=overview,
        access=Access(token, {"outbox.test"}),
        act=lambda step, alias, key: act(path, step, key, CANCELLED, alias=alias),
        note=noted.append,
    )
    with PageServer("127.0.0.1", 0, desk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield ServedPage(port=server.port, server=server, noted=noted)
        finally:
            server.shutdown()
            thread.join(PATIENCE)
            server.server_close()
            overview.close()
