"""Commands as values: each has one wire form (RFC 5321 §4.1.1)."""

import functools
import re
from dataclasses import dataclass, field

from .stage import Stage

_MAIL, _RCPT = Stage.MAIL, Stage.RCPT

_CONTROL = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"  # or no character at all


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
    line: str = field(repr=False)
    shown: str | None = None

    def __post_init__(self) -> None:
        # isprintable() is a fast yes; a no may be a harmless character beyond ASCII.
        if not self.line.isprintable() and re.search(_CONTROL, self.line):
            raise ValueError(f"{self.stage} command has control characters")

    def __str__(self) -> str:
        return self.line if self.shown is None else self.shown

    @property
    def wire(self) -> bytes:
        """The octets of the command, line end included."""
        return self.line.encode() + b"\r\n"


def wire_of(commands: tuple[Command, ...]) -> bytes:
    """Return the octets of several commands that go out together."""
    if len(commands) == 1:
        return commands[0].wire
    return "\r\n".join([*[command.line for command in commands], ""]).encode()


GREETING = Command(Stage.GREETING, "")
"""Stands for the greeting, which the server owes without being asked (RFC 5321 §3.1)."""
END_OF_DATA = Command(Stage.DOT, ".")
"""Stands for the final dot, which is written with the mail data."""
STARTTLS = Command(Stage.STARTTLS, "STARTTLS")
CANCEL_AUTH = Command(Stage.AUTH, "*")
"""Ends an AUTH dialog that can't go on (RFC 4954 §4)."""
DATA = Command(Stage.DATA, "DATA")
RSET = Command(Stage.MAIL, "RSET")
"""Ends a transaction that came to nothing, so that another may begin (RFC 5321 §4.1.1.5)."""
QUIT = Command(Stage.QUIT, "QUIT")


@functools.lru_cache(maxsize=32)
def ehlo(name: str) -> Command:
    """Greet the server and ask for its extensions (RFC 5321 §4.1.1.1)."""
    return Command(Stage.EHLO, f"EHLO {name}")


def helo(name: str) -> Command:
    """Greet a server that does not know EHLO (RFC 5321 §3.2)."""
    return Command(Stage.EHLO, f"HELO {name}")


@functools.lru_cache(maxsize=32)
def lhlo(name: str) -> Command:
    """Greet an LMTP server (RFC 2033 §4.1)."""
    return Command(Stage.EHLO, f"LHLO {name}")


def auth(mechanism: str, initial_response: str | None) -> Command:
    """Begin to authenticate (RFC 4954 §4). An empty response is sent as ``=``.

    Args:
        mechanism: its name.
        initial_response: in base64, or None when the server speaks first.
    """
    if initial_response is None:
        return Command(Stage.AUTH, f"AUTH {mechanism}")
    line = f"AUTH {mechanism} {initial_response or '='}"
    return Command(Stage.AUTH, line, shown=f"AUTH {mechanism} ***")


def auth_response(response: str) -> Command:
    """Answer a challenge (RFC 4954 §4), with base64."""
    return Command(Stage.AUTH, response, shown="***")


def bdat(size: int) -> Command:
    """Announce the whole mail as one chunk, the last (RFC 3030 §2)."""
    return Command(Stage.DOT, f"BDAT {size} LAST")


def mail(reverse_path: str, *parameters: str) -> Command:
    """Begin a mail transaction (RFC 5321 §4.1.1.2). An empty path is the null reverse-path."""
    return Command(_MAIL, " ".join((f"MAIL FROM:<{reverse_path}>", *parameters)))


def rcpt(forward_path: str, *parameters: str) -> Command:
    """Name one recipient (RFC 5321 §4.1.1.3)."""
    return Command(_RCPT, " ".join((f"RCPT TO:<{forward_path}>", *parameters)))
