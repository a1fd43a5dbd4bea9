"""The scripted server, and all that a script of a test needs: `pykka_smtp.testing`'s, in one."""

from pykka_smtp.testing.conn import ClientGone, Conn
from pykka_smtp.testing.ledger import Ledger as Session
from pykka_smtp.testing.ledger import ReceivedMail
from pykka_smtp.testing.polite import Polite, polite
from pykka_smtp.testing.script import Action, ScriptMismatch, Step, parse_script
from pykka_smtp.testing.scripted import Script, ScriptedServer

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
    "Step",
    "parse_script",
    "polite",
]
