"""The lines of a session, as people are shown them."""

import contextlib
from collections.abc import Callable
from typing import TypeAlias

from ..words.command import Command
from ..words.reply import Reply
from .step import SendMailData

Trace: TypeAlias = Callable[[str, str], object]


class Transcript:
    """Tells a listener what either side of a session says.

    Its errors stay here, all of them: a log handler that raises SystemExit must not come between
    the server's verdict and the program.
    """

    __slots__ = ("_listener",)

    def __init__(self, listener: Trace) -> None:
        """Prepare to tell.

        Args:
            listener: called with ``"C"`` or ``"S"`` and a line for each line that the client or
                the server says.
        """
        self._listener = listener

    def _tell(self, who: str, line: str) -> None:
        with contextlib.suppress(BaseException):
            self._listener(who, line)

    def reply(self, reply: Reply) -> None:
        """Tell what the server says; its secrets are masked by now."""
        for line in reply.lines[:-1]:
            self._tell("S", f"{reply.code}-{line}")
        self._tell("S", f"{reply.code} {reply.lines[-1]}".rstrip())

    def commands(self, commands: tuple[Command, ...]) -> None:
        """Tell what the client says, as a command shows itself."""
        for command in commands:
            self._tell("C", str(command))

    def mail_data(self, sent: SendMailData) -> None:
        """Tell that the mail is out, but not what is in it."""
        facts = sent.rendition.facts
        self._tell("C", "<mail data>" if facts is None else f"<{facts.size} octets of mail>")
        if sent.chunk is None:
            self._tell("C", ".")

    def tls(self, *, verified: bool) -> None:
        """Tell that TLS is up."""
        self._tell("C", "<TLS, verified>" if verified else "<TLS, not verified>")
