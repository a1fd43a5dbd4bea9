"""An SMTP server for the tests of a program: it accepts emails, and misbehaves on demand.

::

    from pykka_smtp.testing import Server, refuse

    with Server(refuse("RCPT", to="no@example.org")) as server:
        ...  # the program sends to server.host, server.port
        server.wait_for(lambda: server.mails)

Never code of the client: a server that shared it would share its mistakes. Never pytest, or
anything else but the standard library.
"""

from .auth import logins
from .moods import answer, defer, drip, drop, early, hold, refuse, reset, silence
from .server import Server
from .talk.ledger import ReceivedMail

__all__ = [
    "ReceivedMail",
    "Server",
    "answer",
    "defer",
    "drip",
    "drop",
    "early",
    "hold",
    "logins",
    "refuse",
    "reset",
    "silence",
]
