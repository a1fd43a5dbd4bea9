"""The dialog of an idle session: any input ends it."""

from ...words.command import QUIT
from ...words.quirks import Quirks
from ...words.stage import Stage
from ..step import Action, Close

_CLOSING = b"421"  # may come at any time (RFC 5321 §3.8), and in pieces


class IdleDialog:
    """Replaces the `Dialog` while a connection is idle.

    RFC 5321 §4.3.1: the server sends no reply without a command. Anything that it sends now is
    421, and it closes; or it is a reply that would be taken for the reply to the next command.

    Attributes:
        is_over: whether it has returned `Close`, or the connection was lost.
    """

    steps = 0
    stage = Stage.QUIT
    verdict = None
    may_end_mail_data = False
    has_unread = False
    needs_channel_binding = False

    def __init__(self, quirks: Quirks | None = None) -> None:
        """Make the dialog of a connection that becomes idle.

        Args:
            quirks: the known faults of the server, to which an unsolicited reply is added; or None.
        """
        self.is_over: bool = False
        self._quirks = quirks

    def receive_data(self, data: bytes) -> list[Action]:
        """Close the connection, because the data is unsolicited."""
        if not data:
            return []  # a TLS record without text, such as a session ticket
        if self._quirks is not None and data[: len(_CLOSING)] != _CLOSING[: len(data)]:
            self._quirks.sends_unsolicited = True
        return self._end(Close(reset=True))

    def receive_eof(self) -> list[Action]:
        """Close the connection, as the server did."""
        return self._end(Close())

    def connection_lost(self, *_facts: object) -> list[Action]:
        """Called when the connection was lost; nothing is left to do."""
        self.is_over = True
        return []

    def fail(self, *_facts: object) -> list[Action]:
        """Close the connection after an internal error."""
        return self._end(Close(reset=True))

    def cancel(self) -> list[Action]:
        """Send QUIT and close, without waiting for the reply: nothing depends on it."""
        return self._end(QUIT.wire, Close())

    def _end(self, *actions: Action) -> list[Action]:
        if self.is_over:
            return []
        self.is_over = True
        return list(actions)
