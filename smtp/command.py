"""Commands as values: each has one wire form (RFC 5321 §4.1.1)."""

import functools
import re
from dataclasses import dataclass

from .stage import Stage

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # or no character at all


@dataclass(slots=True, eq=False)
class Command:
    """One command line, which the server owes one reply.

    Attributes:
        stage: the stage that the command belongs to.
        line: the command without its line end.
        shown: what a transcript shows instead of a line that holds a secret, or None.

    Raises:
        ValueError: the line has a character that no command may have. Everything in it was
            checked before; this is the last guard against injection.
    """

    stage: Stage
    line: str
    shown: str | None = None

    def __post_init__(self) -> None:
        # isprintable() is a fast yes; a no may be a harmless character beyond ASCII.
        if not self.line.isprintable() and _CONTROL.search(self.line):
            raise ValueError(f"{self.stage} command has control characters")

    @property
    def wire(self) -> bytes:
        """The octets of the command, line end included."""
        return self.line.encode() + b"\r\n"


GREETING = Command(Stage.GREETING, "")
"""Stands for the greeting, which the server owes without being asked (RFC 5321 §3.1)."""
END_OF_DATA = Command(Stage.DOT, ".")
"""Stands for the final dot, which is written with the mail data."""
DATA = Command(Stage.DATA, "DATA")
QUIT = Command(Stage.QUIT, "QUIT")


@functools.lru_cache(maxsize=32)
def ehlo(name: str) -> Command:
    """Greet the server and ask for its extensions (RFC 5321 §4.1.1.1)."""
    return Command(Stage.EHLO, f"EHLO {name}")


def helo(name: str) -> Command:
    """Greet a server that does not know EHLO (RFC 5321 §3.2)."""
    return Command(Stage.EHLO, f"HELO {name}")


def mail(reverse_path: str, *parameters: str) -> Command:
    """Begin a mail transaction (RFC 5321 §4.1.1.2). An empty path is the null reverse-path."""
    return Command(Stage.MAIL, " ".join((f"MAIL FROM:<{reverse_path}>", *parameters)))


def rcpt(forward_path: str, *parameters: str) -> Command:
    """Name one recipient (RFC 5321 §4.1.1.3)."""
    return Command(Stage.RCPT, " ".join((f"RCPT TO:<{forward_path}>", *parameters)))
