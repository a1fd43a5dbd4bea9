"""What happens in the sessions of one email, published for those who want to watch it.

Made only if somebody has connected to `smtp_send_progress` or `smtp_server_reply`.
"""

from collections import deque

from ..signals.bus import publish_event, smtp_send_progress, smtp_server_reply
from ..signals.send_mail import SendMail
from ..smtp.mail.content import Content
from ..smtp.words.reply import Reply
from .loop.event_loop import event_loop
from .net.wire.connection import Connection

_MOST_OUTSTANDING = 100_000
"""Commands without a reply; a server that never replies is given up long before."""


class SessionWatcher:
    """Publishes replies as they come, and progress ten times a second. On the loop thread.

    Args:
        mail: the email.
        alias: the alias of its actor.
    """

    def __init__(self, mail: SendMail, alias: str) -> None:
        self._mail = mail
        self._alias = alias
        self._connection: Connection | None = None
        self._size: int | None = None
        self._commands: deque[str] = deque(maxlen=_MOST_OUTSTANDING)
        self._lines: list[str] = []

    def begin(self, connection: Connection, content: Content | None) -> None:
        """Watch a session.

        Args:
            connection: where it takes place.
            content: what is sent.
        """
        self._commands.clear()
        self._lines.clear()
        self._connection = connection
        if not smtp_send_progress.receivers:
            return
        facts = None if content is None else content.render(eight_bit=True).facts
        self._size = None if facts is None else facts.size
        event_loop().add_ticking(self)

    def end(self) -> None:
        """Watch no more."""
        self._connection = None
        event_loop().remove_ticking(self)

    def note_line(self, who: str, line: str) -> None:
        """Take a line of the session; secrets are redacted.

        Args:
            who: ``"C"`` or ``"S"``.
            line: the line.
        """
        if who == "C":
            if not line.startswith("<"):  # mail data, and TLS
                self._commands.append(line)
            return
        self._lines.append(line[4:])
        if line[3:4] == "-":
            return
        reply = Reply(int(line[:3]), tuple(self._lines))
        self._lines.clear()
        # The greeting, and 421 before the end, answer nothing.
        command = self._commands.popleft() if self._commands else ""
        publish_event(smtp_server_reply, self._alias, mail=self._mail, command=command, reply=reply)

    def on_tick(self, now: float) -> None:  # noqa: ARG002 - the time does not matter
        """Called ten times a second: publish how far it is."""
        connection = self._connection
        if connection is None:
            return
        stage, sent = connection.progress
        if self._size is not None:
            sent = min(sent, self._size)  # without escaped dots, and the end
        publish_event(
            smtp_send_progress,
            self._alias,
            mail=self._mail,
            stage=stage,
            sent=sent,
            size=self._size,
        )

    def crashed(self, error: BaseException) -> None:  # noqa: ARG002 - see `guard.Guarded`
        """Watch no more: that is all that an error here costs."""
        self.end()
