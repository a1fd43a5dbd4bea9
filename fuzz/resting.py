"""The client's side of a session that has been left to another mail, which has not come yet."""

from pykka_smtp.smtp.session.dialog.idle_dialog import IdleDialog
from pykka_smtp.smtp.session.step import Action, Close
from pykka_smtp.smtp.words.verdict import FailureKind

from .ledger import Ledger
from .violation import insist


class Resting:
    """Keeps a session, until it is used again or ends.

    Args:
        ledger: hears what goes out.

    Attributes:
        is_over: whether the session has ended.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._rest = IdleDialog()
        self.is_over = False

    def hear(self, octets: bytes) -> None:
        """The server says something, though nobody has asked."""
        self._ledger.server(octets)
        self._perform(self._rest.receive_data(octets))

    def end(self, how: int) -> None:
        """Something ends the session from outside; 0 is a farewell of ours."""
        match how:
            case 0 | 1 | 2:
                self._perform(self._rest.cancel())
            case 3:
                self._perform(self._rest.receive_eof())
            case 4:
                self._perform(self._rest.connection_lost("read", None, "closed"))
                self.is_over = True
            case _:
                self._perform(self._rest.fail(FailureKind.INTERNAL, "defect"))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            insist(not self.is_over, "an action after the close")
            if isinstance(action, bytes):
                self._ledger.client(action)
            else:
                insist(isinstance(action, Close), f"a session that rests asks for {action!r}")
                self.is_over = True
        insist(self._rest.is_over, "it rests in a session that has ended")
        nothing = [*self._rest.receive_data(b"x"), *self._rest.cancel(), *self._rest.receive_eof()]
        insist(nothing == [], "it goes on after the end")
