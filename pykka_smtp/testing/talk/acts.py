"""What a server does, step by step: it says octets, waits for the client's, or does something else.

A *talk* is a generator of such acts, and knows neither sockets nor time. Whoever performs it, a
*stage*, sends the result of each act into it.
"""

import enum
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """Read a command line; its octets without CRLF are the result.

    Attributes:
        expected: what is waited for, for people.
        within: seconds; after these the result is None.
    """

    expected: str = "*"
    within: float | None = None


@dataclass(slots=True, eq=False)
class Commands:
    """Read a command line. Those with a reply of their own may be answered at once, unseen.

    That is for stages that have to be quick; others read each line.

    Attributes:
        replies: what to say to a verb.
        last: the last verb that was answered unseen, or nothing.
    """

    replies: Mapping[bytes, bytes]
    last: bytes = b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Read the octets that a BDAT announced (RFC 3030 §2); they are the result.

    Attributes:
        size: how many.
        is_last: whether the mail is whole then.
    """

    size: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Drip:
    """Say octets one by one.

    Attributes:
        octets: what to say.
        is_endless: say the last of them again and again.
        interval: seconds between two; the stage's own, if None.
    """

    octets: bytes
    is_endless: bool = False
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for some seconds.

    Attributes:
        seconds: how many.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until an event is set.

    Attributes:
        event: which.
    """

    event: threading.Event


@dataclass(frozen=True, slots=True)
class Hold:
    """Do nothing until somebody says to go on.

    Attributes:
        begin: called at once, with what to call then.
    """

    begin: Callable[[Callable[[], None]], object]


class Deed(enum.Enum):
    """What needs no more words."""

    DATA = "read mail data, up to and including the lone dot; undoubled, they are the result"
    OCTETS = "wait until any octets have come"
    EOF = "expect that the client hangs up, and says nothing before"
    TLS = "begin TLS; whether it came about is the result"
    CLOSE = "close, once all before has been sent"
    RESET = "close hard"
    SILENCE = "read on, and say nothing more"
    DEAF = "do not even read any more"


Act = bytes | Line | Commands | Chunk | Drip | Pause | Wait | Hold | Deed
"""One step; octets are to be said."""
Talk = Generator[Act, Any, None]
"""All steps of one session."""

LINE = Line()
DATA = Deed.DATA
LAST = frozenset({Deed.CLOSE, Deed.RESET, Deed.SILENCE, Deed.DEAF})
"""After one of these, nothing more comes."""
