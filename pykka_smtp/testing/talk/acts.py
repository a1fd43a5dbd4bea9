"""Acts: the steps of a server, such as to send bytes, or to read a line.

A *talk* is a generator of acts, and knows neither sockets nor time. A *stage* performs it, and
sends the result of each act into it.
"""

import enum
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """Read a command line; the result is its bytes without CRLF.

    Attributes:
        expected: the expected line, for people.
        within: the timeout in seconds, after which the result is None; or None.
    """

    expected: str = "*"
    within: float | None = None


@dataclass(slots=True, eq=False)
class Commands:
    """Read a command line. The stage may reply to some verbs itself, if it has to be fast.

    Attributes:
        replies: the reply to each of these verbs.
        last: the last verb to which the stage has replied itself, or empty.
    """

    replies: Mapping[bytes, bytes]
    last: bytes = b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Read the chunk of a BDAT (RFC 3030 §2); the result is its bytes.

    Attributes:
        size: the size in bytes.
        is_last: whether it is the last chunk of the email.
    """

    size: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Drip:
    """Send bytes one by one.

    Attributes:
        octets: the bytes.
        is_endless: whether to repeat the last of them forever.
        interval: seconds between two bytes; None for the stage's default.
    """

    octets: bytes
    is_endless: bool = False
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for some seconds.

    Attributes:
        seconds: the duration.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until an event is set.

    Attributes:
        event: the event.
    """

    event: threading.Event


@dataclass(frozen=True, slots=True)
class Hold:
    """Do nothing until a function is called.

    Attributes:
        begin: called at once, with that function.
    """

    begin: Callable[[Callable[[], None]], object]


class Deed(enum.Enum):
    """Acts without parameters."""

    DATA = "read mail data up to the final dot; the result is the data, dot stuffing undone"
    OCTETS = "wait for any input"
    EOF = "expect that the client closes the connection without sending more"
    TLS = "begin TLS; the result is whether the handshake succeeded"
    CLOSE = "close the connection, once everything is sent"
    RESET = "abort the connection by RST"
    SILENCE = "continue to read, but send nothing more"
    DEAF = "stop reading, too"


Act = bytes | Line | Commands | Chunk | Drip | Pause | Wait | Hold | Deed
"""One step; bytes are sent."""
Talk = Generator[Act, Any, None]
"""All steps of one session."""

LINE = Line()
DATA = Deed.DATA
LAST = frozenset({Deed.CLOSE, Deed.RESET, Deed.SILENCE, Deed.DEAF})
"""The acts that end a talk."""
