"""The dialog of a session that nobody uses: whatever comes ends it."""

from ..words.command import QUIT
from ..words.quirks import Quirks
from ..words.stage import Stage
from .step import Action, Close

_CLOSING = b"421"  # may come at any time (RFC 5321 §3.8), and in pieces


class IdleDialog:
    """Stands in for a `Dialog` while a connection waits for the next mail.

    RFC 5321 §4.3.1: the server has nothing to say now. If it speaks, that is 421, and the end; or
    it is what would be taken for the answer to the next command.

    Attributes:
        is_over: whether it has asked to close the connection.
    """

    steps = 0
    stage = Stage.QUIT
    verdict = None
    may_end_mail_data = False
    has_unread = False
    needs_channel_binding = False

    def __init__(self, quirks: Quirks | None = None) -> None:
        """Prepare to wait.

        Args:
            quirks: what is known of the server; a reply that comes now belongs there.
        """
        self.is_over: bool = False
        self._quirks = quirks

    def receive_data(self, data: bytes) -> list[Action]:
        """Close: what came was not asked for."""
        if not data:
            return []  # a TLS record without text, such as a session ticket
        if self._quirks is not None and data[: len(_CLOSING)] != _CLOSING[: len(data)]:
            self._quirks.speaks_unasked = True
        return self._end(Close(reset=True))

    def receive_eof(self) -> list[Action]:
        """Close, as the server did."""
        return self._end(Close())

    def connection_lost(self, *_facts: object) -> list[Action]:
        """Take note that the connection is gone."""
        self.is_over = True
        return []

    def fail(self, *_facts: object) -> list[Action]:
        """Close, on a defect of ours."""
        return self._end(Close(reset=True))

    def cancel(self) -> list[Action]:
        """Take leave, and don't wait for the answer: nothing depends on it."""
        return self._end(QUIT.wire, Close())

    def _end(self, *actions: Action) -> list[Action]:
        if self.is_over:
            return []
        self.is_over = True
        return list(actions)
