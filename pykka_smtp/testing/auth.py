"""A mood that lets clients log in, and really checks who they are (RFC 4954)."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from .moods import Moment, said
from .talk.acts import LINE, Act, Talk

AUTH_LINE = 512
"""Octets of an AUTH command: RFC 4954 §4 leaves it at what RFC 5321 §4.5.3.1.4 allows."""
RESPONSE_LINE = 12288
"""Octets of a response (RFC 4954 §4)."""
ROUNDS_MAX = 100
"""Challenges of one exchange."""

Exchange = Generator[bytes, bytes, str | None]
"""Yields challenges, is sent the responses to them, and returns who has shown who he is."""


class AuthServer:
    """The server's side of AUTH, line by line, without any I/O.

    Args:
        users: passwords by name.
        tokens: users by OAuth 2.0 token.
        subject: whom the client's certificate names, for EXTERNAL.
        replies: what to say to ``AUTH NAME`` instead of beginning, by the mechanism's name.

    Attributes:
        asked: the mechanisms that a client began with, in order.
        who: who has authenticated, or None.
        lines: all lines that were heard, in clear.
        subject: see above.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str],
        tokens: Mapping[str, str] | None = None,
        subject: str | None = None,
        replies: Mapping[str, str] | None = None,
    ) -> None:
        self.asked: list[str] = []
        self.lines: list[str] = []
        self.who: str | None = None
        self.subject = subject
        self._users = users
        self._tokens = tokens or {}
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
        if name not in self.exchanges:
            return "504 5.5.4 not known here"
        self._exchange = self.exchanges[name](self)
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
        except binascii.Error:
            self._exchange = None
            return "501 5.5.2 no base64"

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

    exchanges: ClassVar[Mapping[str, Callable[[Any], Exchange]]] = {
        "PLAIN": _plain,
        "LOGIN": _login,
        "CRAM-MD5": _cram_md5,
        "XOAUTH2": _xoauth2,
        "OAUTHBEARER": _oauthbearer,
        "EXTERNAL": _external,
    }


class Logins:
    """The mood of a server that clients log in to.

    Args:
        begin: gives the server's side of AUTH, for each exchange.
        mechanisms: what is offered.
        is_required: take no mail from a client that has not logged in.
    """

    stages: tuple[str, ...] = ("AUTH", "MAIL")

    def __init__(
        self,
        begin: Callable[[], AuthServer],
        mechanisms: Sequence[str] = (),
        *,
        is_required: bool = False,
    ) -> None:
        self.offers: tuple[str, ...] = (f"AUTH {' '.join(mechanisms)}",) if mechanisms else ()
        self._begin = begin
        self._is_required = is_required

    def __call__(self, moment: Moment) -> Iterable[Act] | Talk | None:
        """Lead an exchange; refuse the mail of who has not."""
        if moment.stage == "AUTH":
            return self._talk(moment)
        if moment.stage == "MAIL" and self._is_required and moment.client.user is None:
            return [said("530 5.7.0 log in first")]
        return None

    def _talk(self, moment: Moment) -> Talk:
        auth, line = self._begin(), moment.line
        for _ in range(ROUNDS_MAX):
            yield said(auth.hear(line.decode("utf-8", "surrogateescape")))
            if not auth.is_under_way:
                moment.client.user = auth.who
                return
            line = yield LINE


def logins(users: Mapping[str, str], *mechanisms: str) -> Logins:
    """Let clients log in, and take mails only from those who have.

    Args:
        users: passwords by name.
        mechanisms: what to offer; ``PLAIN`` and ``LOGIN`` by default.
    """
    offered = mechanisms or ("PLAIN", "LOGIN")
    return Logins(lambda: AuthServer(users=users), offered, is_required=True)


def _challenge(octets: bytes) -> str:
    return f"334 {base64.b64encode(octets).decode()}"
