"""A submission server for `servers.scripted`: STARTTLS, and AUTH that really checks (RFC 4954)."""

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

from pykka_smtp.testing import auth as server_auth
from pykka_smtp.testing.moods import Moment, Mood, Replies
from pykka_smtp.testing.polite import Polite

from .accounts import TOKEN, USER, USERS

SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")


class AuthServer(server_auth.AuthServer):
    """The server's side of AUTH, which knows the users of the tests, and SCRAM (RFC 5802).

    Args:
        users: passwords by name.
        tokens: users by OAuth 2.0 token.
        binding: the channel binding of the server's TLS (RFC 5929 §4), for ``-PLUS``.
        options: the others of `pykka_smtp.testing.auth.AuthServer`.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] = USERS,
        tokens: Mapping[str, str] | None = None,
        binding: bytes | None = None,
        **options: Any,
    ) -> None:
        super().__init__(users=users, tokens={TOKEN: USER} if tokens is None else tokens, **options)
        self._binding = binding

    def _scram(self) -> server_auth.Exchange:
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

    exchanges: ClassVar[Any] = {**server_auth.AuthServer.exchanges, **dict.fromkeys(SCRAM, _scram)}


MECHANISMS = tuple(AuthServer.exchanges)
"""All that the server can do."""


def submission(
    *extensions: str,
    tls: str = "starttls",
    auth: AuthServer | None = None,
    replies: Mapping[str, str] | None = None,
    inside: tuple[str, ...] | None = None,
) -> Polite:
    """Make a server for `servers.scripted.ScriptedServer`.

    Args:
        extensions: the lines of the EHLO reply besides STARTTLS.
        tls: ``"starttls"`` to offer that, ``"implicit"`` to begin with it, ``"off"`` for none.
        auth: who judges the credentials; without it, AUTH is unknown.
        replies: what to say to a command instead; see `pykka_smtp.testing.moods.Replies`.
        inside: the lines of the EHLO reply under TLS, where they differ.
    """

    def look_at_certificate(moment: Moment) -> None:
        """Whom the client's certificate names is known as soon as TLS is up."""
        client: Any = moment.client
        if auth is not None and client.tls:
            alternatives = (client.socket.getpeercert() or {}).get("subjectAltName", ())
            auth.subject = next((value for _, value in alternatives), None)

    moods: list[Mood] = [look_at_certificate, Replies(replies or {})]
    if auth is not None:
        moods.append(server_auth.Logins(lambda: auth))
    return Polite(
        *extensions,
        *(["STARTTLS"] if tls == "starttls" else []),
        moods=moods,
        implicit_tls=tls == "implicit",
        inside=inside,
    )
