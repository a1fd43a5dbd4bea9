"""The scripted server, and all that a script of a test needs: `pykka_smtp.testing`'s, in one."""

from collections.abc import Callable

from pykka_smtp.testing.conn import ClientGone, Conn
from pykka_smtp.testing.ledger import Ledger as Session
from pykka_smtp.testing.ledger import ReceivedMail
from pykka_smtp.testing.polite import Polite, polite
from pykka_smtp.testing.script import Action, ScriptMismatch, Step, parse_script
from pykka_smtp.testing.scripted import Script, ScriptedServer

Start = Callable[..., ScriptedServer]
"""What starts a server: the fixture ``scripted_server``."""

__all__ = [
    "Action",
    "ClientGone",
    "Conn",
    "Polite",
    "ReceivedMail",
    "Script",
    "ScriptMismatch",
    "ScriptedServer",
    "Session",
    "Start",
    "Step",
    "parse_script",
    "polite",
]
