"""What the script asks of the dialog, and the dialog of the connection.

A script is a generator. It yields a `Command` and is sent the `Reply` to it; the command is
written first unless it went out with a `CommandGroup` before. The other steps are below.

A dialog asks for actions: octets to write, a verdict, or one of those below. What it can't do
itself it hands on: then the step is the action.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from ..mail.content import Rendition
from ..sasl.secret import Secret
from ..words.command import END_OF_DATA, Command, wire_of
from ..words.reply import Reply
from ..words.verdict import Accepted, Failed, Verdict


@dataclass(slots=True)
class CommandGroup:
    """Write these commands at once (RFC 2920).

    Mostly all replies come together, and each says to go on: then the step ends with `replies`.
    Else it ends without, and the replies are asked for one by one.

    Where it is held, the dialog hands it on. The connection writes it once no input is pending,
    and calls `Dialog.begin_held` as it does.

    Attributes:
        commands: what is written.
        is_held: whether it goes out only while no input is pending: that would be taken for the
            replies to it, and shift all that follow.
        replies: one to each command; the dialog notes them.
        wire: the octets of the commands, if they are known already.
    """

    commands: tuple[Command, ...]
    is_held: bool = False
    replies: tuple[Reply, ...] | None = None
    wire: bytes | None = None

    @property
    def octets(self) -> bytes:
        """The octets to write."""
        return wire_of(self.commands) if self.wire is None else self.wire


@dataclass(slots=True)
class ReportVerdict:
    """Say what became of the mail. Comes once; what follows is courtesy."""

    verdict: Verdict


@dataclass(slots=True)
class ExpectNoMoreInput:
    """Continue only if no input is pending: if the last reply was the final one."""


@dataclass(slots=True)
class Abort:
    """Drop the connection: the server waits for mail data that it must not get."""


@dataclass(slots=True, init=False)
class SendMailData:
    """Send the mail data; answered by the first reply to it.

    The connection writes `head` and the rendition, and calls `Dialog.mail_data_sent` when all
    of it is out. Right before the last octets it looks whether some have come that were not given
    to `Dialog.receive_data` yet, and whether `Dialog.may_end_mail_data` still holds. Where all goes
    out in one go they are the first, too: then it calls `Dialog.begin_held` as they do.

    Attributes:
        rendition: the mail.
        chunk: the BDAT command that announces it (RFC 3030), or None: then it goes out with
            transparency and a final dot.
        owed: a command for each final reply to expect: in LMTP, one for each
            recipient (RFC 2033 §4.2).
        before: commands that go out with it, in the same write: then the step has no answer of
            its own, and all replies are asked for one by one.
        is_chunk: whether it goes out as a chunk of BDAT: without transparency and final dot.
        is_speculative: whether head and mail go out in one go.
        is_out: whether all of it has gone out; the dialog notes that.
        wire: the octets of `head`, if they are known already.
    """

    rendition: Rendition
    chunk: Command | None
    owed: tuple[Command, ...]
    before: tuple[Command, ...]
    is_chunk: bool
    is_speculative: bool
    is_out: bool
    wire: bytes | None

    def __init__(
        self,
        rendition: Rendition,
        chunk: Command | None = None,
        owed: tuple[Command, ...] = (END_OF_DATA,),
        before: tuple[Command, ...] = (),
    ) -> None:
        self.rendition = rendition
        self.chunk = chunk
        self.owed = owed
        self.before = before
        self.is_chunk = chunk is not None
        self.is_speculative = before != ()
        self.is_out = False
        self.wire = None

    @staticmethod
    def plain(rendition: Rendition, wire: bytes, *, is_speculative: bool) -> "SendMailData":
        """Return the step for one final reply, with the octets of `head` instead of commands.

        Args:
            rendition: the mail.
            wire: what goes out before it; empty if it goes out by DATA.
            is_speculative: whether both go out in one go.
        """
        step = SendMailData(rendition)
        step.wire = wire
        step.is_chunk = wire != b""
        step.is_speculative = is_speculative
        return step

    @property
    def head(self) -> bytes:
        """Octets to write before the mail."""
        if self.wire is not None:
            return self.wire
        if self.chunk is None:
            return b""
        return wire_of((*self.before, self.chunk)) if self.is_speculative else self.chunk.wire


@dataclass(slots=True)
class StartTls:
    """Start TLS, and call `Dialog.tls_started`; the script goes on when it is up."""


@dataclass(slots=True)
class RunCallable:
    """Call a function of the program's where it may block.

    The connection passes the result to `Dialog.callable_returned`.

    Attributes:
        function: what to call.
        result: what it returned; the dialog notes it.
    """

    function: Callable[[], Secret]
    result: Secret | None = None


@dataclass(slots=True)
class Release:
    """Let the connection be: nothing more is to be said for this mail, and another may follow."""


@dataclass(slots=True)
class Close:
    """Close the connection once all is written.

    Attributes:
        reset: drop it hard: the server must not take what it has for a complete mail.
    """

    reset: bool = False


Step: TypeAlias = (
    Command
    | CommandGroup
    | SendMailData
    | ExpectNoMoreInput
    | ReportVerdict
    | StartTls
    | RunCallable
    | Release
    | Abort
)
Script: TypeAlias = Generator[Step, Reply, None]
Action: TypeAlias = (
    bytes
    | SendMailData
    | CommandGroup
    | StartTls
    | RunCallable
    | Accepted
    | Failed
    | Release
    | Close
)
