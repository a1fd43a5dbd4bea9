"""A submission server for `servers.scripted`: STARTTLS, and AUTH that really checks (RFC 4954)."""

import base64
import hmac
import importlib
import json
from collections.abc import Callable, Generator, Mapping
from typing import Any

from .accounts import TOKEN, USER, USERS
from .conn import Conn

AUTH_LINE = 512
"""Octets of an AUTH command: RFC 4954 §4 leaves it at what RFC 5321 §4.5.3.1.4 allows."""
RESPONSE_LINE = 12288
"""Octets of a response (RFC 4954 §4)."""
COMMANDS_MAX = 1000
"""Commands of one connection."""

Exchange = Generator[bytes, bytes, str | None]
"""Yields challenges, is sent the responses to them, and returns who has shown who he is."""


class AuthServer:
    """The server's side of AUTH, line by line, without any I/O.

    Args:
        users: passwords by name.
        tokens: users by OAuth 2.0 token.
        subject: whom the client's certificate names, for EXTERNAL.
        binding: the channel binding of the server's TLS (RFC 5929 §4), for ``-PLUS``.
        replies: what to say to ``AUTH NAME`` instead of beginning, by the mechanism's name.

    Attributes:
        asked: the mechanisms that a client began with, in order.
        who: who has authenticated, or None.
        lines: all lines that were heard, in clear.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] = USERS,
        tokens: Mapping[str, str] | None = None,
        subject: str | None = None,
        binding: bytes | None = None,
        replies: Mapping[str, str] | None = None,
    ) -> None:
        self.asked: list[str] = []
        self.lines: list[str] = []
        self.who: str | None = None
        self.subject = subject
        self._users = users
        self._tokens = {TOKEN: USER} if tokens is None else tokens
        self._binding = binding
        self._replies = dict(replies or {})
        self._exchange: Exchange | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether the client's next line belongs to an exchange."""
        return self._exchange is not None

    def hear(self, line: str) -> str:
        """Answer an AUTH command, or a line of its exchange."""
        self.lines.append(line)
        limit = RESPONSE_LINE if self.is_under_way else AUTH_LINE
        if len(line) + 2 > limit:
            self._exchange = None
            return "500 5.5.6 line too long"
        if self.is_under_way:
            if line == "*":
                self._exchange = None
                return "501 5.7.0 cancelled"
            return self._go_on(line)
        return self._begin(line)

    def _begin(self, line: str) -> str:
        _, name, *initial = line.split(" ")
        self.asked.append(name)
        if name in self._replies:
            return self._replies[name]
        self._exchange = self._exchanges[name](self)
        challenge = next(self._exchange)
        if not initial:
            return _challenge(challenge)
        if challenge:  # RFC 4954 §4: the server speaks first
            self._exchange = None
            return "501 5.5.2 no initial response here"
        return self._go_on("" if initial[0] == "=" else initial[0])

    def _go_on(self, line: str) -> str:
        assert self._exchange is not None
        try:
            return _challenge(self._exchange.send(base64.b64decode(line, validate=True)))
        except StopIteration as end:
            self._exchange = None
            self.who = end.value
            return "535 5.7.8 who?" if self.who is None else f"235 2.7.0 welcome {self.who}"

    def _password(self, user: bytes) -> bytes | None:
        password = self._users.get(user.decode())
        return None if password is None else password.encode()

    def _plain(self) -> Exchange:  # RFC 4616 §2
        message = yield b""
        authzid, user, password = message.split(b"\0")
        assert authzid in (b"", user)
        return user.decode() if self._password(user) == password else None

    def _login(self) -> Exchange:
        user = yield b"Username:"
        password = yield b"Password:"
        return user.decode() if self._password(user) == password else None

    def _cram_md5(self) -> Exchange:  # RFC 2195 §2
        challenge = b"<1896.697170952@mx.test>"
        user, _, digest = (yield challenge).rpartition(b" ")
        password = self._password(user)
        good = password and hmac.digest(password, challenge, "md5").hex().encode() == digest
        return user.decode() if good else None

    def _scram(self) -> Exchange:  # RFC 5802
        name = self.asked[-1]
        scramp: Any = importlib.import_module("scramp")
        mechanism = scramp.ScramMechanism(name)
        binding = None if self._binding is None else ("tls-server-end-point", self._binding)
        users: list[str] = []

        def look_up(user: str) -> Any:
            users.append(user)
            return mechanism.make_auth_info(self._users[user], iteration_count=4096)

        server = mechanism.make_server(look_up, channel_binding=binding)
        try:
            server.set_client_first((yield b"").decode())
            server.set_client_final((yield server.get_server_first().encode()).decode())
        except (scramp.ScramException, KeyError):
            return None
        assert (yield server.get_server_final().encode()) == b""
        return users[-1]

    def _xoauth2(self) -> Exchange:
        head, _, token = (yield b"").removesuffix(b"\x01\x01").partition(b"\x01auth=Bearer ")
        user = head.removeprefix(b"user=").decode()
        if self._tokens.get(token.decode()) == user:
            return user
        assert (yield json.dumps({"status": "401", "schemes": "bearer"}).encode()) == b""
        return None

    def _oauthbearer(self) -> Exchange:  # RFC 7628 §3.1
        head, *fields = (yield b"").removesuffix(b"\x01\x01").split(b"\x01")
        user = head.removeprefix(b"n,a=").removesuffix(b",").decode()
        given = dict(field.split(b"=", 1) for field in fields)
        assert {b"host", b"port", b"auth"} == set(given)
        token = given[b"auth"].removeprefix(b"Bearer ").decode()
        if self._tokens.get(token) == user:
            return user
        assert (yield b'{"status":"invalid_token"}') == b"\x01"
        return None

    def _external(self) -> Exchange:  # RFC 4422 appendix A
        authzid = (yield b"").decode()
        return self.subject if authzid in ("", self.subject) else None

    _exchanges: Mapping[str, Callable[["AuthServer"], Exchange]] = {
        "PLAIN": _plain,
        "LOGIN": _login,
        "CRAM-MD5": _cram_md5,
        "SCRAM-SHA-1": _scram,
        "SCRAM-SHA-1-PLUS": _scram,
        "SCRAM-SHA-256": _scram,
        "SCRAM-SHA-256-PLUS": _scram,
        "XOAUTH2": _xoauth2,
        "OAUTHBEARER": _oauthbearer,
        "EXTERNAL": _external,
    }


MECHANISMS = tuple(AuthServer._exchanges)
"""All that the server can do."""


def submission(
    *extensions: str,
    tls: str = "starttls",
    auth: AuthServer | None = None,
    replies: Mapping[str, str] | None = None,
    inside: tuple[str, ...] | None = None,
) -> Callable[[Conn], None]:
    """Make the script of a server.

    Args:
        extensions: the lines of the EHLO reply besides STARTTLS.
        tls: ``"starttls"`` to offer that, ``"implicit"`` to begin with it, ``"off"`` for none.
        auth: who judges the credentials; without it, AUTH is unknown.
        replies: what to say to a command instead, by its verb; ``"greeting"`` and ``"."`` count
            as verbs. More than one line is possible; the octets are CRLF between them.
        inside: the lines of the EHLO reply under TLS, where they differ.

    Returns:
        The script, for `servers.scripted.ScriptedServer`.
    """
    said = dict(replies or {})

    def script(conn: Conn) -> None:
        if tls == "implicit":
            start_tls(conn, auth)
        conn.send(said.get("greeting", "220 mx.test ESMTP"))
        for _ in range(COMMANDS_MAX):
            line = conn.line()
            verb = line.split(" ")[0].upper()
            if auth is not None and (auth.is_under_way or (verb == "AUTH" and verb not in said)):
                conn.send(auth.hear(line))
            elif verb in said:
                conn.send(said[verb])
            elif verb == "EHLO":
                offered = inside if conn.session.tls and inside is not None else extensions
                offers_tls = tls == "starttls" and conn.session.tls is None
                texts = ["mx.test", *offered, *(["STARTTLS"] if offers_tls else [])]
                conn.send(*[f"250-{text}" for text in texts[:-1]], f"250 {texts[-1]}")
            elif verb == "STARTTLS":
                conn.send("220 2.0.0 go ahead")
                start_tls(conn, auth)
            elif verb == "DATA":
                conn.send("354 go ahead")
                conn.body()
                conn.send(said.get(".", "250 2.0.0 taken"))
            else:
                known = verb in ("MAIL", "RCPT", "RSET", "QUIT")
                conn.send("250 2.0.0 Ok" if known else "502 5.5.1 not known here")
            if verb == "QUIT":
                return

    return script


def start_tls(conn: Conn, auth: AuthServer | None = None) -> None:
    """Start TLS; whom the client's certificate names is then known to ``auth``."""
    conn.starttls()
    if auth is not None:
        sock: Any = conn._sock
        names = [value for kind, value in (sock.getpeercert() or {}).get("subjectAltName", ())]
        auth.subject = names[0] if names else None


def _challenge(octets: bytes) -> str:
    return f"334 {base64.b64encode(octets).decode()}"
