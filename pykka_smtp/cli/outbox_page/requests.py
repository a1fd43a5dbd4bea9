"""What the page asks, and what it gets."""

import http.server
import importlib.resources
import json
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, cast

from ...actors.outbox.rules.states import Step
from ...actors.outbox.store.errors import OutboxError
from ...actors.outbox.store.outside.acting import BY_HAND
from .access import Access
from .overview import Overview, is_view

_MOST_BODY = 4_096
_MOST_EMAILS = 499
_MAX_SEARCH = 320
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What requests are about.

    Attributes:
        overview: looks at the outbox.
        access: who may.
        act: does something to an email, named by alias and key; returns whether it was done.
        note: is told in a line what was done.
    """

    overview: Overview
    access: Access
    act: Callable[[Step, str, str], bool]
    note: Callable[[str], object]


class _Refusal(Exception):  # noqa: N818 - an answer
    """What is wrong with a request."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class PageRequest(http.server.BaseHTTPRequestHandler):
    """Answers one request, and closes the connection: none is kept, so none holds a thread."""

    protocol_version: str = "HTTP/1.0"
    timeout: ClassVar[float | None] = 5.0
    server_version: str = "pykka-smtp"
    sys_version: str = ""

    @property
    def _desk(self) -> Desk:
        desk: Desk = cast("Any", self.server).desk
        return desk

    @property
    def _cookie(self) -> str:
        # Cookies are those of a host: two pages on two ports would share one.
        return f"outbox-{cast('Any', self.server).server_port}"

    def do_GET(self) -> None:
        """Send a file of the page, or what it is to show."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Log in, or do something to an email."""
        self._answer(self._post)

    def _answer(self, make: Callable[[str, dict[str, str]], None]) -> None:
        try:
            self._check_origin()
            make(*self._asked())
        except _Refusal as refusal:
            self._send_json({"error": refusal.text}, refusal.status)
        except OutboxError as error:
            self._send_json({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)

    def _asked(self) -> tuple[str, dict[str, str]]:
        try:
            url = urllib.parse.urlsplit(self.path)
            words = urllib.parse.parse_qsl(url.query, max_num_fields=10) if url.query else []
        except ValueError:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "That is no request of this page.") from None
        return url.path, dict(words)

    def _check_origin(self) -> None:
        if not self._desk.access.is_own_name(self.headers.get("Host")):
            text = "This page has another name. Open it by its address, or give --name."
            raise _Refusal(HTTPStatus.MISDIRECTED_REQUEST, text)
        if self.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
            raise _Refusal(HTTPStatus.FORBIDDEN, "Another site has asked. Open the page itself.")

    def _check_let_in(self) -> None:
        if not self._desk.access.is_let_in(self.headers.get("Cookie"), self._cookie):
            raise _Refusal(HTTPStatus.UNAUTHORIZED, "The token, please.")

    # GET

    def _get(self, path: str, words: dict[str, str]) -> None:
        if path in _FILES:
            name, kind = _FILES[path]
            folder = importlib.resources.files(__name__.rpartition(".")[0]) / "static"
            self._send((folder / name).read_bytes(), kind)
        elif path == "/api/state":
            self._check_let_in()
            desk = self._desk
            self._send_json(self._state(words) | {"csrf": desk.access.csrf})
        else:
            raise _Refusal(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _state(self, words: dict[str, str]) -> dict[str, Any]:
        overview = self._desk.overview
        most = _number(words.get("most", "50"), _MOST_EMAILS)
        search = words.get("search", "").strip()[:_MAX_SEARCH]
        if search:
            before = words.get("before")
            return overview.search(search, _number(before, 1 << 62) if before else None, most)
        view = words.get("view", "waiting")
        if not is_view(view):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "There is no such view.")
        return overview.view(view, most)

    # POST

    def _post(self, path: str, _words: dict[str, str]) -> None:
        given = self._body()
        if path == "/api/login":
            session = self._desk.access.log_in(given.get("token", ""))
            if session is None:
                raise _Refusal(HTTPStatus.FORBIDDEN, "That is not the token.")
            cookie = f"{self._cookie}={session}; Path=/; HttpOnly; SameSite=Strict"
            self._send_json({"done": True}, cookie=cookie)
        elif path == "/api/act":
            self._check_let_in()
            if not self._desk.access.is_csrf(self.headers.get("X-Csrf")):
                raise _Refusal(HTTPStatus.FORBIDDEN, "The page is of an earlier start: reload it.")
            self._act(given)
        else:
            raise _Refusal(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _body(self) -> dict[str, str]:
        wrong = _Refusal(HTTPStatus.BAD_REQUEST, "That is no request of this page.")
        length = self.headers.get("Content-Length", "")
        # A form of another site can send other types without asking first, not this one.
        if self.headers.get_content_type() != "application/json" or not length.isdecimal():
            raise wrong
        if int(length) > _MOST_BODY:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too long.")
        try:
            made: object = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise wrong from None
        if not isinstance(made, dict):
            raise wrong
        return {str(k): v for k, v in cast("Any", made).items() if isinstance(v, str)}

    def _act(self, given: dict[str, str]) -> None:
        steps = {step.value: step for step in BY_HAND}
        step, alias, key = steps.get(given.get("action", "")), given.get("alias"), given.get("key")
        if step is None or alias is None or not key:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "That is no request of this page.")
        done = self._desk.act(step, alias, key)
        self._desk.overview.look_anew()
        self._desk.note(f"{step} {key} ({alias}): {'done' if done else 'too late'}")
        self._send_json({"done": done})

    # Answers

    def _send_json(
        self, value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, cookie: str | None = None
    ) -> None:
        text = json.dumps(value, separators=(",", ":"))
        self._send(text.encode(), "application/json", status, cookie)

    def _send(
        self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, cookie: str | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if cookie is not None:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request that is understood."""
        del message, explain  # they may quote the request
        self.request_version = "HTTP/1.0"
        self._send_json({"error": "That is no request of this page."}, HTTPStatus(code))

    def version_string(self) -> str:
        """Return the server's name, without its version."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: a request can have addresses in it."""


def _number(text: str, most: int) -> int:
    if not text.isdecimal() or len(text) > 20:
        raise _Refusal(HTTPStatus.BAD_REQUEST, "That is no number.")
    return max(1, min(int(text), most))
