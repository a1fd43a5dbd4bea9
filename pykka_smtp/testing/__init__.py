"""For the tests of a program: recorded emails, and an SMTP server that misbehaves on demand.

::

    from pykka_smtp.testing import record_mails

    with record_mails() as outbox:
        ...  # the program sends
        assert outbox[0].subject == "Party"

Or, with a server on the loopback interface::

    from pykka_smtp.testing import Server, refuse

    with Server(refuse("RCPT", to="no@example.org")) as server:
        ...  # the program sends to server.host, server.port
        server.wait_for(lambda: server.mails)

Never code of the client in the server: it would share its mistakes. Never pytest, or anything else
but the standard library, in either.
"""

from .auth import logins
from .moods import answer, defer, drip, drop, early, hold, refuse, reset, silence
from .recorded.recorded_mail import Attachment, RecordedMail
from .recorded.recorded_mails import RecordedMails, record_mails
from .server import Server
from .talk.ledger import ReceivedMail

__all__ = [
    "Attachment",
    "ReceivedMail",
    "RecordedMail",
    "RecordedMails",
    "Server",
    "answer",
    "defer",
    "drip",
    "drop",
    "early",
    "hold",
    "logins",
    "record_mails",
    "refuse",
    "reset",
    "silence",
]
