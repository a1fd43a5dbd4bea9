"""An SMTP server for the tests of a program: it takes mails, and misbehaves on demand.

::

    from pykka_smtp.testing import Server, refuse

    with Server(refuse("RCPT", to="no@example.org")) as server:
        ...  # the program sends to server.host, server.port
        server.wait_for(lambda: server.mails)

Never anything of the client here: a server that shared its code would share its mistakes. Never
pytest, nor anything but the standard library, either.
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
