"""The dialog: what is legal now, and what each event means for the mail.

The dialog runs a script (`Delivery.script`: the policy) against the octets of one connection,
and keeps the one rule that all truth depends on: **a reply counts only when it is owed**. A
reply is owed to each command from the moment it is written, and to the final dot from the moment
it is written; octets that come when nothing is owed are never taken for an answer to something
that goes out later (RFC 5321 §4.3.1, RFC 2920 §3.1).

How to use it, whoever does the I/O: call `connected` once, then `receive_data` for all that comes,
and whatever of the other methods fits what happened. Each returns a list of actions to perform,
in order: octets to write; `SendBody`; a verdict, which comes exactly once; `Close` or `Release`.
After either nothing more is asked for. The dialog has no clock: whoever does the I/O measures the
steps (`steps` changes with each) and calls `time_out`.
"""

import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..mail.content import Rendition
from ..sasl.secret import MASK, Masking, Secret
from ..words.classification import CLOSING, Meaning, meaning
from ..words.command import END_OF_DATA, GREETING, Command, wire_of
from ..words.quirks import Quirks
from ..words.reply import Reply
from ..words.reply_parser import ReplyError, ReplyParser
from ..words.stage import Stage, activity
from ..words.verdict import Accepted, Failed, FailureKind, Verdict
from .errand import Errand
from .session import Session
from .step import Call, Decide, Group, Handshake, HangUp, Keep, Quiet, Script, Step, Transfer


@dataclass(slots=True)
class SendBody:
    """Write the rendition as mail data, and call `Dialog.dot_sent` when all of it is out.

    Right before the last octets, look whether some have come that were not given to
    `receive_data` yet, and whether `Dialog.may_send_dot` still holds. Where all goes out in one go
    they are the first, too; call `Dialog.begin_bold` as they do.

    Attributes:
        rendition: the mail.
        is_chunk: whether it goes out as a chunk of BDAT: without transparency and final dot.
        head: octets to write before it.
        is_bold: whether head and mail go out in one go.
    """

    rendition: Rendition
    is_chunk: bool
    head: bytes = b""
    is_bold: bool = False


@dataclass(slots=True)
class StartTls:
    """Start TLS, and call `Dialog.tls_started`."""


@dataclass(slots=True)
class RunCallable:
    """Call the function where it may block, and give what it returns to `Dialog.supply`."""

    function: Callable[[], Secret]


@dataclass(slots=True)
class Release:
    """Nothing more is to be said for this mail; the connection may serve another."""


@dataclass(slots=True)
class Close:
    """Close the connection once all is written.

    Attributes:
        reset: drop it hard: the server must not take what it has for a complete mail.
    """

    reset: bool = False


Action: TypeAlias = bytes | SendBody | StartTls | RunCallable | Accepted | Failed | Release | Close
Trace: TypeAlias = Callable[[str, str], object]

_NONSENSE = Meaning.NONSENSE
# Replies whose text is more than a message for people: RFC 5321 §4.1.1.1, RFC 4954 §4.
_UNDERSTOOD = frozenset({(Stage.EHLO, 250), (Stage.AUTH, 334)})


class Dialog:
    """One session's conversation, without I/O.

    Attributes:
        steps: a counter that changes with each step of the conversation.
        verdict: what became of the mail, once it is decided.
        is_over: whether the dialog has asked to close, or to release, the connection.
        has_unread: whether octets are here that nobody can read yet, half a TLS record; whoever
            does the I/O says so. Like a part of a reply, they hold back what would go out next.
        bold: a transaction that is to go out in one go, and has not begun to. Nothing is owed to it
            yet: what comes by then was said before it, and is no answer.
    """

    # At first, once for all dialogs: most carry one mail.
    steps: int = 0
    verdict: Verdict | None = None
    is_over: bool = False
    has_unread = False
    bold: Transfer | None = None
    _heard = 0  # octets of replies
    _due: Step | None = None  # to be done as soon as nothing more is here to read
    _group: Group | None = None  # written, and no reply to it was heard yet
    _sending: Transfer | None = None
    _waiting: Handshake | Call | None = None  # for whoever does the I/O
    _dot_out = False
    _stage = Stage.CONNECT

    def __init__(
        self,
        delivery: Errand,
        trace: Trace | None = None,
        scrub: Callable[[str], str] | None = None,
    ) -> None:
        """Prepare a session that does one errand.

        Args:
            delivery: what is to be done, and what is known of the session.
            trace: called with ``"C"`` or ``"S"`` and a line for each line that the client or the
                server says; secrets are masked. Its errors are its own affair.
            scrub: masks secrets in a text of the server's, which may repeat what it was sent.
        """
        self._delivery = delivery
        self._trace = None if trace is None else _guarded(trace)
        self._scrub = None if scrub is None else _masking_of(delivery.session, scrub)
        self._script: Script = delivery.script()
        self._parser = ReplyParser(self._scrub)
        self._most = delivery.max_replies
        self._owed: deque[Command] = deque()  # written, and not answered yet

    @property
    def stage(self) -> Stage:
        """Where the session stands."""
        # Due is enough: a refusal right behind the 354 is one of the mail data, however the
        # octets were cut on their way. Where MAIL is still to go out as well, there is no 354.
        if self._sending is not None or (isinstance(self._due, Transfer) and not self._due.before):
            return Stage.BODY
        return self._owed[0].stage if self._owed else self._stage

    @property
    def may_send_dot(self) -> bool:
        """Whether the mail data is still wanted and no part of an early reply is here."""
        is_wanted = self._sending is not None or self.bold is not None
        return is_wanted and not (self.is_over or self._is_more_here)

    @property
    def _is_more_here(self) -> bool:
        """Whether octets have come that are no complete reply yet."""
        return self.has_unread or self._parser.is_pending

    @property
    def needs_channel_binding(self) -> bool:
        """Whether there is a use for the channel binding of TLS."""
        authentication = self._delivery.session.authentication
        return authentication is not None and authentication.can_bind

    @property
    def quirks(self) -> Quirks:
        """What is known of the server's bad habits."""
        return self._delivery.session.quirks

    def connected(self) -> list[Action]:
        """Begin: the connection stands, and the server owes its greeting."""
        if self.is_over:
            return []
        self._owed.append(GREETING)
        actions: list[Action] = []
        self._take_step(next(self._script), actions)
        return actions

    def receive_data(self, data: bytes) -> list[Action]:
        """Take octets from the server; none, where `has_unread` has changed."""
        if self.is_over:
            return []
        actions: list[Action] = []
        if self._waiting is not None and isinstance(self._waiting, Handshake):
            # It was to hear our first octet under TLS before it says another word.
            self._inject_suspected(actions)
            return actions
        self._heard += len(data)
        if self._heard > self._most and not self._dot_out:
            # Each reply has its bound; a group of thousands of commands is owed thousands of them.
            self._broke_protocol("too much text in its replies", actions)
            return actions
        replies = None if self.has_unread else self._parser.familiar(data)
        if replies is None:
            self._parser.feed(data)
            return self._go_on()
        # The same, where it is known that nothing else is here to read.
        group = self._group
        if group is not None and self._are_all_good(replies):
            self._take_all(group, replies, actions)
        else:
            for reply in replies:
                if not self.is_over:
                    self._take_reply(reply, actions)
        while self._due is not None and not self.is_over:
            self._do(self._due, actions)
        return actions

    def resumed(self) -> list[Action]:
        """Begin on a connection that another dialog has released: no greeting is owed."""
        if self.is_over:
            return []
        self._stage = Stage.MAIL
        actions: list[Action] = []
        self._take_step(next(self._script), actions)
        if self._due is not None:
            self._do(self._due, actions)
        return actions

    def tls_started(self, *, verified: bool, binding: bytes | None = None) -> list[Action]:
        """Take note that TLS is up.

        Args:
            verified: whether the server's certificate was verified, name included.
            binding: the channel binding of this TLS (RFC 5929), if it is known.
        """
        if self.is_over:
            return []
        self.tls_is_up(verified=verified, binding=binding)
        return self._answer_waiting()

    def tls_is_up(self, *, verified: bool, binding: bytes | None = None) -> None:
        """Take note that the connection began with TLS (RFC 8314 §3); call `connected` next."""
        session = self._delivery.session
        session.is_encrypted, session.is_verified = True, verified
        session.channel_binding = binding
        if self._trace is not None:
            self._trace("C", "<TLS, verified>" if verified else "<TLS, not verified>")

    def supply(self, result: Secret) -> list[Action]:
        """Take what a `RunCallable` returned."""
        if self.is_over:
            return []
        assert isinstance(self._waiting, Call)
        if self._scrub is not None:
            self._scrub.learn(result)
        self._waiting.result = result
        return self._answer_waiting()

    def _answer_waiting(self) -> list[Action]:
        self._waiting = None
        self.steps += 1
        actions: list[Action] = []
        self._advance(None, actions)
        return actions + self._go_on()

    def _go_on(self) -> list[Action]:
        """Take the replies that are here; then do what is due."""
        actions: list[Action] = []
        parser = self._parser
        while not self.is_over:
            try:
                reply = parser.next_reply()
            except ReplyError as error:
                if isinstance(self._due, Handshake):
                    self._inject_suspected(actions)
                else:
                    hint = "; is this its SMTP port?" if self.stage is Stage.GREETING else ""
                    self._broke_protocol(f"{error}{hint}", actions)
                break
            if reply is not None:
                if parser.saw_bare_lf:
                    warning = f"{self._server} ends lines in LF alone (RFC 5321 §2.3.8)"
                    self._delivery.session.warn(warning)
                self._take_reply(reply, actions)
            elif self._due is None:
                break
            elif not self._is_more_here:
                self._do(self._due, actions)
            elif isinstance(self._due, Handshake):
                self._inject_suspected(actions)
            else:
                # With a part of a reply here that is not owed, nothing goes out: what follows
                # must not be taken for the answer to it.
                break
        return actions

    def begin_bold(self) -> None:
        """Note that all of a transaction goes out now, in one go: replies are owed from here on."""
        transfer, self.bold = self.bold, None
        assert transfer is not None
        assert transfer.chunk is not None
        self._owed.extend(transfer.before)
        self._sending = transfer
        if self._trace is not None:
            self._trace_commands(self._trace, (*transfer.before, transfer.chunk))
        self._advance(None, [])  # to the first reply that is owed

    def dot_sent(self) -> None:
        """Note that all of the mail has gone out: from now on the server may have it."""
        transfer = self._sending
        assert transfer is not None
        self._sending = None
        transfer.is_out = self._dot_out = True
        if self._owed or not self._is_more_here:
            self._owed.extend(transfer.owed)
        # Else a reply began before the mail was out: it is none to the mail, and is not owed. Half
        # a TLS record may be one, too.
        self.steps += 1
        if self._trace is not None:
            facts = transfer.rendition.facts
            self._trace("C", "<mail data>" if facts is None else f"<{facts.size} octets of mail>")
            if transfer.chunk is None:
                self._trace("C", ".")

    def receive_eof(self) -> list[Action]:
        """Take note that the server closed the connection."""
        return self.connection_lost("read", None, "the server closed the connection")

    def connection_lost(self, operation: str, errno: int | None, reason: str) -> list[Action]:
        """Take note that the connection is gone.

        Args:
            operation: what failed: ``"read"`` or ``"write"``.
            errno: its error number, or None for a clean end.
            reason: a few words, as the system gives them.
        """
        return self.fail(
            FailureKind.CONNECTION,
            f"lost the connection {self._activity}: {reason}",
            operation=operation,
            errno=errno,
        )

    def time_out(self, seconds: float, *, whole: bool = False, hint: str = "") -> list[Action]:
        """Take note that the server was too slow.

        Args:
            seconds: how long it had.
            whole: whether it is the whole send that took too long, not this step.
            hint: what may be the reason, or may help; follows the detail.
        """
        if isinstance(self._waiting, Call):
            detail = f"no token for {self._server}: the token callable took over {seconds:g} s"
        else:
            what = "exceeded the deadline of" if whole else "timed out after"
            detail = f"{what} {seconds:g} s {self._activity}{hint}"
        return self.fail(FailureKind.TIMEOUT, detail)

    def cancel(self) -> list[Action]:
        """Take note that the mail is not to be sent any more."""
        return self.fail(
            FailureKind.CANCELLED,
            f"stopped at {self.stage}, before {self._server} had decided",
        )

    def fail(
        self,
        kind: FailureKind,
        detail: str,
        *,
        operation: str | None = None,
        errno: int | None = None,
        retryable: bool | None = None,
        stage: Stage | None = None,
    ) -> list[Action]:
        """End the session for a reason that no reply gives.

        A mail that was decided stays decided: then this only closes the connection.

        Args:
            kind: why.
            detail: one line for people.
            operation: the system operation that failed.
            errno: its error number.
            retryable: overrides what follows from the kind.
            stage: where it failed. Default: where the session stands.
        """
        if self.is_over:
            return []
        actions: list[Action] = []
        if self.verdict is None:
            in_doubt = self._dot_out
            if self.bold is not None and (kind is FailureKind.PROTOCOL or self._is_more_here):
                # Nothing has gone out since the verdict before: so this came behind that one, and
                # which of the two was it? See `Quiet`.
                in_doubt = self._delivery.doubt_last()
            failed = self._delivery.failed(
                kind,
                stage or self.stage,
                detail,
                maybe_accepted=in_doubt,
                operation=operation,
                errno=errno,
                retryable=retryable,
            )
            self._decide(failed, actions)
        self._end(actions, reset=True)
        return actions

    @property
    def _server(self) -> str:
        return self._delivery.session.server

    @property
    def _activity(self) -> str:
        return activity(self.stage, self._server)

    def _take_reply(self, reply: Reply, actions: list[Action]) -> None:
        as_said = reply
        if self._scrub is not None:
            reply = _scrubbed(reply, self._scrub)
        if self._trace is not None:
            self._trace_reply(self._trace, reply)
        if self._group is not None:
            # Something is not as it mostly is.
            self._group = None
            self._advance(None, actions)
        if not self._owed:
            self._take_surplus(reply, actions)
            return
        stage = self._stage = self._owed.popleft().stage
        self.steps += 1
        if reply is not as_said and (stage, reply.code) in _UNDERSTOOD:
            # To be understood, not shown: some password may be the name of an extension.
            reply = as_said
        self._advance(reply, actions)

    def _are_all_good(self, replies: tuple[Reply, ...]) -> bool:
        """Whether these are the replies to all that they are owed to, and each says to go on."""
        if len(replies) != len(self._owed) or self._scrub is not None:
            return False
        for command, reply in zip(self._owed, replies, strict=True):
            if meaning(command.stage, reply.code) is not Meaning.GO_ON:
                return False
        return True

    def _take_all(self, group: Group, replies: tuple[Reply, ...], actions: list[Action]) -> None:
        """Take the replies to a group all at once."""
        if self._trace is not None:
            for reply in replies:
                self._trace_reply(self._trace, reply)
        self._stage = self._owed[-1].stage
        self._owed.clear()
        self.steps += len(replies)
        self._group = None
        group.replies = replies
        self._advance(None, actions)

    def _take_surplus(self, reply: Reply, actions: list[Action]) -> None:
        """Judge a reply that was not owed."""
        due = self._due
        if isinstance(due, Handshake):
            self._inject_suspected(actions)
            return
        # RFC 5321 does not forbid a server to refuse mail data before its end.
        may_refuse = self.stage is Stage.BODY and meaning(Stage.BODY, reply.code) is not _NONSENSE
        if reply.code != CLOSING and not may_refuse:
            self.quirks.speaks_unasked = True
        if isinstance(due, Quiet):
            # Octets behind the verdict: which of the two replies was meant for the dot? Only 421
            # may come uncalled (RFC 5321 §3.8): it ends the session, and leaves the verdict.
            if reply.code == CLOSING:
                self._do(due, actions)
                self._close_early(reply, actions)
                return
        elif self.verdict is not None:
            self._end(actions)
            return
        elif reply.code == CLOSING or may_refuse:
            self._close_early(reply, actions)
            return
        self._broke_protocol(f"a reply that was not asked for: {reply}", actions)

    def _close_early(self, reply: Reply, actions: list[Action]) -> None:
        """End the session on a reply that ends it without being owed."""
        if self.verdict is None:
            self._decide(self._delivery.refused_uncalled(self.stage, reply), actions)
        if not self.is_over:
            self._end(actions, reset=True)

    def _advance(self, reply: Reply | None, actions: list[Action]) -> None:
        """Let the script go on to its next step, with the reply that it waits for, if it does."""
        try:
            step = next(self._script) if reply is None else self._script.send(reply)
        except StopIteration:
            self._end(actions)
            return
        if self._owed and step is self._owed[0]:
            return  # the most common case: it waits for what is on its way
        self._take_step(step, actions)

    def _take_step(self, step: Step, actions: list[Action]) -> None:
        """Note what is to be done next; do at once what need not wait."""
        while isinstance(step, Decide):
            self._decide(step.verdict, actions)
            following = next(self._script, None)
            if following is None:
                self._end(actions)
                return
            step = following
        if self._owed and step is self._owed[0]:
            return
        if step is END_OF_DATA:
            return  # it will be owed as soon as it is out
        if isinstance(step, HangUp):
            # Whatever is still owed, and may be here already, is not waited for.
            self._end(actions, reset=True)
            return
        self._due = step

    def _do(self, step: Step, actions: list[Action]) -> None:
        """Do what is due: nothing more is here to read."""
        self._due = None
        self.steps += 1
        # Those first that each mail has; a `match` asks for more of each than its class.
        if isinstance(step, Group):
            self._write(step.commands, actions)
            self._group = step
        elif isinstance(step, Transfer):
            self._begin_transfer(step, actions)
        elif isinstance(step, Quiet):
            self._advance(None, actions)
        elif isinstance(step, Command):
            self._write((step,), actions)
        elif isinstance(step, Keep):
            self.is_over = True
            self._script.close()
            actions.append(Release())
        elif isinstance(step, Handshake):
            self._waiting = step
            self._stage = Stage.STARTTLS
            actions.append(StartTls())
        elif isinstance(step, Call):
            self._waiting = step
            self._stage = Stage.AUTH
            actions.append(RunCallable(step.function))
        else:  # pragma: no cover - are never due: see `_take_step`
            raise AssertionError("a verdict, or the end, was put off")  # noqa: TRY004

    def _begin_transfer(self, transfer: Transfer, actions: list[Action]) -> None:
        before, chunk = transfer.before, transfer.chunk
        if before:
            assert chunk is not None
            self._dot_out = False  # a transaction of its own
            self.bold = transfer
            actions.append(SendBody(transfer.rendition, True, wire_of((*before, chunk)), True))
            return
        self._sending = transfer
        head = b""
        if chunk is not None:
            head = chunk.wire
            if self._trace is not None:
                self._trace_commands(self._trace, (chunk,))
        actions.append(SendBody(transfer.rendition, chunk is not None, head))

    def _write(self, commands: tuple[Command, ...], actions: list[Action]) -> None:
        if commands[0].stage is Stage.MAIL:
            self._dot_out = False  # a transaction of its own
        self._owed.extend(commands)
        actions.append(wire_of(commands))
        if self._trace is not None:
            self._trace_commands(self._trace, commands)

    @staticmethod
    def _trace_reply(trace: Trace, reply: Reply) -> None:
        for line in reply.lines[:-1]:
            trace("S", f"{reply.code}-{line}")
        trace("S", f"{reply.code} {reply.lines[-1]}".rstrip())

    @staticmethod
    def _trace_commands(trace: Trace, commands: tuple[Command, ...]) -> None:
        for command in commands:
            trace("C", str(command))

    def _decide(self, verdict: Verdict, actions: list[Action]) -> None:
        self._due = None
        if self._scrub is not None:
            # Replies were scrubbed when they came; a detail may tell what the server offers.
            warnings = tuple([self._scrub(warning) for warning in verdict.warnings])
            verdict = dataclasses.replace(verdict, warnings=warnings)
            if isinstance(verdict, Failed):
                verdict = dataclasses.replace(verdict, detail=self._scrub(verdict.detail))
        self.verdict = verdict
        actions.append(verdict)

    def _broke_protocol(self, what: str, actions: list[Action]) -> None:
        actions += self.fail(
            FailureKind.PROTOCOL, f"{self._server} broke the protocol at {self.stage}: {what}"
        )

    def _inject_suspected(self, actions: list[Action]) -> None:
        """End it: octets came in clear after the server's word that TLS begins.

        RFC 3207 §6: they would count as the first replies under TLS, whoever sent them.
        """
        self._delivery.session.is_suspect = True
        actions += self.fail(
            FailureKind.SECURITY,
            f"{self._server} sent plaintext after it had accepted STARTTLS:"
            " possible response injection (RFC 3207 §6)",
        )

    def _end(self, actions: list[Action], *, reset: bool = False) -> None:
        self.is_over = True
        self._due = None
        self._script.close()
        # What is not out yet of a mail must not go out either.
        actions.append(Close(reset=reset or self._sending is not None))


def _masking_of(session: Session, scrub: Callable[[str], str]) -> Masking:
    """Return what masks secrets in this session: those that earlier mails in it learned, too."""
    masking = session.masking = Masking(scrub, session.masking)
    return masking


def _scrubbed(reply: Reply, scrub: Masking) -> Reply:
    """Mask the secrets in a reply, also one that the server has spread over its lines."""
    lines = tuple([scrub(line) for line in reply.lines])
    if len(lines) > 1 and scrub(together := "".join(lines)) != together:
        lines = (MASK,) * len(lines)
    return Reply(reply.code, lines)


def _guarded(trace: Trace) -> Trace:
    """Keep a listener's errors from coming between the server's verdict and the program.

    All of them: a log handler that raises SystemExit must not make anything of the mail unknown.
    """

    def guarded(who: str, line: str) -> None:
        with contextlib.suppress(BaseException):
            trace(who, line)

    return guarded
