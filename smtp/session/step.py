"""The steps of a script: what the policy asks the dialog to do next.

A script is a generator. It yields a `Command` and is sent the `Reply` to it; the command is
written first unless it went out with a `Group` before. The other steps are below.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from ..mail.content import Rendition
from ..sasl.secret import Secret
from ..words.command import END_OF_DATA, Command
from ..words.reply import Reply
from ..words.verdict import Verdict


@dataclass(slots=True)
class Group:
    """Write these commands at once (RFC 2920).

    Mostly all replies come together, and each says to go on: then the step ends with `replies`.
    Else it ends without, and the replies are asked for one by one.

    Attributes:
        commands: what is written.
        replies: one to each command; the dialog notes them.
    """

    commands: tuple[Command, ...]
    replies: tuple[Reply, ...] | None = None


@dataclass(slots=True)
class Transfer:
    """Send the mail data; answered by the first reply to it.

    Attributes:
        rendition: the mail.
        chunk: the BDAT command that announces it (RFC 3030), or None: then it goes out with
            transparency and a final dot.
        owed: a command for each reply that the server owes to the mail: in LMTP, one for each
            recipient (RFC 2033 §4.2).
        before: commands that go out with it, in the same write: then the step has no answer of
            its own, and all replies are asked for one by one.
        is_out: whether all of it has gone out; the dialog notes that.
    """

    rendition: Rendition
    chunk: Command | None = None
    owed: tuple[Command, ...] = (END_OF_DATA,)
    before: tuple[Command, ...] = ()
    is_out: bool = False


@dataclass(slots=True)
class Decide:
    """Say what became of the mail. Comes once; what follows is courtesy."""

    verdict: Verdict


@dataclass(slots=True)
class Quiet:
    """Go on once nothing more is here to read: what was heard last was the last."""


@dataclass(slots=True)
class Handshake:
    """Start TLS now; the script goes on when it is up."""


@dataclass(slots=True)
class Call:
    """Call a function of the program's, which may block; then `result` has what it returned."""

    function: Callable[[], Secret]
    result: Secret | None = None


@dataclass(slots=True)
class Keep:
    """Let the connection be: another mail may follow on it."""


@dataclass(slots=True)
class HangUp:
    """Drop the connection: the server waits for mail data that it must not get."""


Step: TypeAlias = Command | Group | Transfer | Quiet | Decide | Handshake | Call | Keep | HangUp
Script: TypeAlias = Generator[Step, Reply, None]
