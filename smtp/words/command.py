"""Commands as values: each has one wire form (RFC 5321 §4.1.1)."""

import functools
import re
from dataclasses import dataclass, field

from .stage import Stage

_MAIL, _RCPT = Stage.MAIL, Stage.RCPT

_CONTROL = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"  # lone surrogates, too


@dataclass(slots=True, eq=False)
class Command:
    """One command line, to which the server sends one reply.

    Attributes:
        stage: the stage that the command belongs to.
        line: the command without its line end.
        shown: what a transcript shows instead of a line that holds a secret, or None.

    Raises:
        ValueError: the line has a control character or a lone surrogate. All its parts were
            checked before; this is the last guard against command injection.
    """

    stage: Stage
    line: str = field(repr=False)
    shown: str | None = None

    def __post_init__(self) -> None:
        # isprintable() is fast. If it is false, a harmless non-ASCII character may be the reason.
        if not self.line.isprintable() and re.search(_CONTROL, self.line):
            raise ValueError(f"{self.stage} command has control characters")

    def __str__(self) -> str:
        return self.line if self.shown is None else self.shown

    @property
    def wire(self) -> bytes:
        """The octets of the command, with CRLF."""
        return self.line.encode() + b"\r\n"


def wire_of(commands: tuple[Command, ...]) -> bytes:
    """Return the octets of several commands that are sent together."""
    if len(commands) == 1:
        return commands[0].wire
    return "\r\n".join([*[command.line for command in commands], ""]).encode()


GREETING = Command(Stage.GREETING, "")
"""A placeholder for the greeting, a reply that needs no command (RFC 5321 §3.1)."""
END_OF_DATA = Command(Stage.DOT, ".")
"""A placeholder for the end of the mail data, which is written with the mail data."""
STARTTLS = Command(Stage.STARTTLS, "STARTTLS")
CANCEL_AUTH = Command(Stage.AUTH, "*")
"""Cancels an AUTH exchange (RFC 4954 §4)."""
DATA = Command(Stage.DATA, "DATA")
RSET = Command(Stage.MAIL, "RSET")
"""Aborts a transaction, so that another may begin (RFC 5321 §4.1.1.5)."""
QUIT = Command(Stage.QUIT, "QUIT")


@functools.lru_cache(maxsize=32)
def ehlo(name: str) -> Command:
    """Return EHLO, to which the server replies with its extensions (RFC 5321 §4.1.1.1)."""
    return Command(Stage.EHLO, f"EHLO {name}")


def helo(name: str) -> Command:
    """Return HELO, for a server that does not know EHLO (RFC 5321 §3.2)."""
    return Command(Stage.EHLO, f"HELO {name}")


@functools.lru_cache(maxsize=32)
def lhlo(name: str) -> Command:
    """Return LHLO, the EHLO of LMTP (RFC 2033 §4.1)."""
    return Command(Stage.EHLO, f"LHLO {name}")


def auth(mechanism: str, initial_response: str | None) -> Command:
    """Return AUTH (RFC 4954 §4). An empty initial response is sent as ``=``.

    Args:
        mechanism: the mechanism's name.
        initial_response: in base64, or None if the server begins with a challenge.
    """
    if initial_response is None:
        return Command(Stage.AUTH, f"AUTH {mechanism}")
    line = f"AUTH {mechanism} {initial_response or '='}"
    return Command(Stage.AUTH, line, shown=f"AUTH {mechanism} ***")


def auth_response(response: str) -> Command:
    """Return the response to a challenge (RFC 4954 §4), given in base64."""
    return Command(Stage.AUTH, response, shown="***")


def bdat(size: int) -> Command:
    """Return BDAT for all the mail data in one chunk of `size` octets, the last (RFC 3030 §2)."""
    return Command(Stage.DOT, f"BDAT {size} LAST")


def mail(reverse_path: str, *parameters: str) -> Command:
    """Return MAIL, which begins a transaction (RFC 5321 §4.1.1.2).

    Args:
        reverse_path: the sender; empty for the null reverse-path.
        parameters: the parameters of extensions, as they go over the wire.
    """
    return Command(_MAIL, " ".join((f"MAIL FROM:<{reverse_path}>", *parameters)))


def rcpt(forward_path: str, *parameters: str) -> Command:
    """Return RCPT, which adds one recipient (RFC 5321 §4.1.1.3)."""
    return Command(_RCPT, " ".join((f"RCPT TO:<{forward_path}>", *parameters)))
