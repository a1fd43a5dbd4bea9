"""The scripted server, and all that a script of a test needs: `pykka_smtp.testing`'s, in one."""

from collections.abc import Callable

from pykka_smtp.testing.polite import Polite, polite
from pykka_smtp.testing.stages.conn import ClientGone, Conn
from pykka_smtp.testing.stages.scripted import Script, ScriptedServer
from pykka_smtp.testing.talk.ledger import Ledger as Session
from pykka_smtp.testing.talk.ledger import ReceivedMail
from pykka_smtp.testing.talk.script import Action, ScriptMismatch, Step, parse_script

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
