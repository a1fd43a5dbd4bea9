"""Steps, which a script yields to the dialog, and actions, which the dialog returns for I/O.

A script is a generator. It yields a `Command` and is sent the `Reply` to it; the command is
written first, unless it was written already as part of a `CommandGroup`. The other steps are below.

An action is octets to write, a verdict, or one of those below. A step that needs I/O is also the
action: the dialog passes it on.
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

    Usually all replies arrive together, and all are positive: then the step ends with `replies`.
    Otherwise it ends without, and the script yields the commands again, one for each reply.

    If it is held, it is an action, too. The connection writes it once no input is pending, and
    calls `Dialog.begin_held` when it does.

    Attributes:
        commands: the commands.
        is_held: whether to write it only while no input is pending. That input would be taken for
            the first of the replies, and shift all others.
        replies: one reply to each command, set by the dialog; or None.
        wire: the octets of the commands, if they are known already.
    """

    commands: tuple[Command, ...]
    is_held: bool = False
    replies: tuple[Reply, ...] | None = None
    wire: bytes | None = None

    @property
    def octets(self) -> bytes:
        """Octets to write."""
        return wire_of(self.commands) if self.wire is None else self.wire


@dataclass(slots=True)
class ReportVerdict:
    """Report the verdict, exactly once. Later steps only end the session in order."""

    verdict: Verdict


@dataclass(slots=True)
class ExpectNoMoreInput:
    """Continue only if no input is pending: if the last reply was the final one."""


@dataclass(slots=True)
class Abort:
    """Abort the connection, because the session cannot be ended in order by QUIT."""


@dataclass(slots=True, init=False)
class SendMailData:
    """Send the mail data; the script is sent the first reply to it.

    The connection writes `head` and the rendition, and calls `Dialog.mail_data_sent` when all of it
    is written. Right before the last octets it reads all pending input, and checks that
    `Dialog.may_end_mail_data` is still true. A speculative transfer is a single write: the
    connection makes the same check before it, and calls `Dialog.begin_held`.

    Attributes:
        rendition: the mail data.
        chunk: the BDAT command before it (RFC 3030), or None to send it after DATA, with dot
            stuffing and a final dot.
        owed: a command for each final reply to expect: with LMTP, one for each recipient
            (RFC 2033 §4.2).
        before: the commands of a speculative transfer, sent in the same write. The step itself has
            no reply then; the script yields the commands again, one for each reply.
        is_chunk: whether it is sent by BDAT.
        is_speculative: whether it is sent before MAIL and RCPT have replies.
        is_out: whether all of it is written, set by the dialog.
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
        *,
        wire: bytes | None = None,
        is_speculative: bool = False,
    ) -> None:
        """Make the step.

        Args:
            rendition: see the class, as for all others.
            chunk: None, if the octets are given.
            owed: as above.
            before: empty, if the octets are given.
            wire: the octets of `head`, instead of the commands; empty to send it after DATA.
            is_speculative: whether it is, if the octets are given.
        """
        self.rendition = rendition
        self.chunk = chunk
        self.owed = owed
        self.before = before
        self.is_chunk = chunk is not None or bool(wire)
        self.is_speculative = is_speculative or before != ()
        self.is_out = False
        self.wire = wire

    @property
    def head(self) -> bytes:
        """Octets to write before the mail data."""
        if self.wire is not None:
            return self.wire
        if self.chunk is None:
            return b""
        return wire_of((*self.before, self.chunk)) if self.is_speculative else self.chunk.wire


@dataclass(slots=True)
class StartTls:
    """Start TLS. The connection calls `Dialog.tls_started` after the handshake."""


@dataclass(slots=True)
class RunCallable:
    """Call a function of the program in a worker thread, where it may block.

    The connection passes the result to `Dialog.callable_returned`.

    Attributes:
        function: the function.
        result: its result, set by the dialog.
    """

    function: Callable[[], Secret]
    result: Secret | None = None


@dataclass(slots=True)
class Release:
    """Leave the connection open, idle, for the next email."""


@dataclass(slots=True)
class Close:
    """Close the connection once all output is written.

    Attributes:
        reset: abort it by RST instead, so that the server does not take what it has received for a
            complete email.
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
