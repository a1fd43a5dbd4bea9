"""`Server`: the server for the tests of a program."""

import ssl
from collections.abc import Sequence

from .moods import Mood
from .polite import Polite
from .stages.scripted import ScriptedServer


class Server(ScriptedServer):
    """An SMTP server on a free port of the loopback interface; it accepts every email.

    It runs in threads of this process, within a ``with`` block::

        with Server(refuse("RCPT", to="no@example.org")) as server:
            ...  # the program sends to server.host, server.port
            server.wait_for(lambda: server.mails)

    Args:
        moods: what it does differently; the first that applies decides. See `moods`.
        offers: the lines of its EHLO reply, such as ``"SIZE 1000"``.
        tls: a context with certificate and key; the server then offers STARTTLS.
        implicit_tls: begin TLS before the greeting, instead of offering STARTTLS.
        name: its name in the greeting.
        host: ``"127.0.0.1"`` or ``"::1"``.
        patience: seconds that it waits for a client, at most.

    Attributes:
        host: the address on which it listens.
        port: a free port, chosen by the system.

    Raises:
        ValueError: `implicit_tls` is set without `tls`.
    """

    def __init__(
        self,
        *moods: Mood,
        offers: Sequence[str] = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"),
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        name: str = "mx.test",
        host: str = "127.0.0.1",
        patience: float = 30.0,
    ) -> None:
        if implicit_tls and tls is None:
            raise ValueError("implicit_tls needs tls, an ssl.SSLContext with a certificate")
        starttls = ["STARTTLS"] if tls is not None and not implicit_tls else []
        logins = [line for mood in moods for line in getattr(mood, "offers", ())]
        polite = Polite(
            *offers, *logins, *starttls, moods=moods, name=name, implicit_tls=implicit_tls
        )
        super().__init__(polite, host=host, context=tls, patience=patience)
