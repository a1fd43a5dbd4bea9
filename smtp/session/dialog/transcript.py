"""The transcript of a session, as shown to people."""

import contextlib
from collections.abc import Callable
from typing import TypeAlias

from ...words.command import Command
from ...words.reply import Reply
from ..step import SendMailData

Trace: TypeAlias = Callable[[str, str], object]


class Transcript:
    """Passes the lines of both sides of a session to a listener.

    All exceptions of the listener are suppressed: a log handler that raises SystemExit must not
    keep the outcome from the program.
    """

    __slots__ = ("_listener",)

    def __init__(self, listener: Trace) -> None:
        """Make a transcript for a listener.

        Args:
            listener: called with ``"C"`` or ``"S"`` and a line, for each line that the client or
                the server sends.
        """
        self._listener = listener

    def _write(self, side: str, line: str) -> None:
        with contextlib.suppress(BaseException):
            self._listener(side, line)

    def reply(self, reply: Reply) -> None:
        """Write the lines of a reply, which is redacted already."""
        for line in reply.lines[:-1]:
            self._write("S", f"{reply.code}-{line}")
        self._write("S", f"{reply.code} {reply.lines[-1]}".rstrip())

    def commands(self, commands: tuple[Command, ...]) -> None:
        """Write commands, in the form of `Command.shown`."""
        for command in commands:
            self._write("C", str(command))

    def mail_data(self, sent: SendMailData) -> None:
        """Write that the mail data was sent, and its size, but not its content."""
        facts = sent.rendition.facts
        self._write("C", "<mail data>" if facts is None else f"<{facts.size} octets of mail>")
        if sent.chunk is None:
            self._write("C", ".")

    def tls(self, *, verified: bool) -> None:
        """Write that TLS is established."""
        self._write("C", "<TLS, verified>" if verified else "<TLS, not verified>")
