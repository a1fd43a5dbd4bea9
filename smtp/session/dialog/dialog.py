"""The dialog: which command may be sent now, and what each event means for the email.

The dialog runs a script (`Delivery.script`: the policy) on the octets of one connection, and
enforces the rule that every verdict relies on: **a reply counts only when a command is
outstanding**. A command is outstanding from when it is written until its reply is complete, and so
is the end of mail data. Input that arrives when nothing is outstanding is never the reply to a
command that is sent later (RFC 5321 §4.3.1, RFC 2920 §3.1).

The connection, which does the I/O, calls `connected` once, then `receive_data` for all input, and
the method for each other event. Each returns a list of actions to perform, in order: those of
`step.Action`. A verdict comes exactly once; `Close` or `Release` is the last action. The dialog has
no clock: the connection measures the steps (`steps` changes with each) and calls `timed_out`.

The rest is elsewhere: `unsolicited` judges replies without an outstanding command, `ending` ends
the dialog for other reasons, and `sending` tracks the transfer of the mail data.
"""

from collections import deque
from collections.abc import Callable

from ...sasl.secret import Secret
from ...words.classification import ReplyClass, classify
from ...words.command import END_OF_DATA, GREETING, Command, wire_of
from ...words.quirks import Quirks
from ...words.reply import Reply
from ...words.reply_parser import ReplyError, ReplyParser
from ...words.stage import Stage
from ..opening.session import Session
from ..step import (
    Abort,
    Action,
    CommandGroup,
    ExpectNoMoreInput,
    Release,
    ReportVerdict,
    RunCallable,
    SendMailData,
    StartTls,
    Step,
)
from .policy import SessionPolicy
from .redaction import redacted_reply, redactor_of
from .sending import Sending
from .transcript import Trace, Transcript
from .unsolicited import Unsolicited, judge_unsolicited

# Replies whose text the client has to parse: RFC 5321 §4.1.1.1, RFC 4954 §4.
_UNDERSTOOD = frozenset({(Stage.EHLO, 250), (Stage.AUTH, 334)})


class Dialog(Sending):
    """The client's side of one session, or of one email in it, without I/O.

    Attributes:
        session: the state of the session.
        verdict: the verdict, once it is decided.
        is_over: whether the dialog has returned `Close` or `Release`.
        held: the transfer or group that the connection writes once no input is pending, or None. It
            is not outstanding yet: input that arrives before it is written is no reply to it.
        has_unread: whether input is pending that cannot be decrypted yet: a partial TLS record. The
            connection sets it. Like a partial reply, it delays the next command.
    """

    session: Session
    held: SendMailData | CommandGroup | None

    # Initial values are on the class: most dialogs are for one email, and change few of them.
    has_unread: bool = False
    _reply_bytes = 0
    _stage = Stage.CONNECT

    def __init__(
        self,
        delivery: SessionPolicy,
        trace: Trace | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Prepare a dialog that follows one policy.

        Args:
            delivery: the policy, with the state of the session.
            trace: called with ``"C"`` or ``"S"`` and a line, for each line that the client or the
                server sends. Secrets are redacted, and its exceptions suppressed.
            redact: redacts secrets in a text of the server, which may repeat what it was sent.
        """
        self._delivery, self.session = delivery, delivery.session
        self._trace = None if trace is None else Transcript(trace)
        self._redact = None if redact is None else redactor_of(delivery.session, redact)
        self._script = delivery.script()
        self._parser = ReplyParser(self._redact)
        self._max_reply_bytes = delivery.max_replies
        self._outstanding: deque[Command] = deque()  # written, without a reply so far

    @property
    def stage(self) -> Stage:
        """How far the session has come."""
        due = self._next_step
        # BODY begins at 354, even if no mail data is written yet: a rejection right after 354 is
        # one of the mail data, however TCP has split the two. A speculative transfer, which sends
        # MAIL along, has no 354.
        if self._sending is not None or (isinstance(due, SendMailData) and not due.is_speculative):
            return Stage.BODY
        return self._outstanding[0].stage if self._outstanding else self._stage

    @property
    def _is_input_pending(self) -> bool:
        """Whether input is pending that is not a complete reply yet."""
        return self.has_unread or self._parser.is_pending

    @property
    def needs_channel_binding(self) -> bool:
        """Whether authentication can use the channel binding of TLS."""
        authentication = self.session.authentication
        return authentication is not None and authentication.can_bind

    @property
    def quirks(self) -> Quirks:
        """The server's known protocol faults."""
        return self.session.quirks

    @property
    def delivery(self) -> SessionPolicy:
        """The purpose of the session."""
        return self._delivery

    def connected(self) -> list[Action]:
        """Called once the connection is established: expect the greeting."""
        if self.is_over:
            return []
        self._outstanding.append(GREETING)
        actions: list[Action] = []
        self._take_step(next(self._script), actions)
        return actions

    def receive_data(self, data: bytes) -> list[Action]:
        """Process octets from the server; empty if only `has_unread` has changed."""
        if self.is_over:
            return []
        actions: list[Action] = []
        if self._waiting is not None and isinstance(self._waiting, StartTls):
            # The server must not send anything before the client begins TLS.
            self._fail_on_injection(actions)
            return actions
        self._reply_bytes += len(data)
        if self._reply_bytes > self._max_reply_bytes and not self._data_sent:
            # The parser bounds each reply, but a session with thousands of commands has thousands.
            # The bound ends with the mail data: see `SessionPolicy.max_replies`.
            self._fail_on_violation("too much text in its replies", actions)
            return actions
        replies = None if self.has_unread else self._parser.parse_cached(data)
        if replies is None:
            self._parser.feed(data)
            return self._go_on()
        # A fast path of `_go_on`: these replies are all the input there is.
        group = self._group
        if group is not None and self._are_all_positive(replies):
            self._take_all(group, replies, actions)
        else:
            for reply in replies:
                if not self.is_over:
                    self._take_reply(reply, actions)
        while self._next_step is not None and not self.is_over:
            self._do(self._next_step, actions)
        return actions

    def start_next(self) -> list[Action]:
        """Begin on a connection that another dialog has released: there is no greeting."""
        if self.is_over:
            return []
        self._stage = Stage.MAIL
        actions: list[Action] = []
        self._take_step(next(self._script), actions)
        if self._next_step is not None:
            self._do(self._next_step, actions)
        return actions

    def tls_started(self, *, verified: bool, binding: bytes | None = None) -> list[Action]:
        """Called when the TLS handshake after `StartTls` is complete.

        Args:
            verified: whether the server's certificate was verified, name included.
            binding: the channel binding of this TLS connection (RFC 5929), or None if unknown.
        """
        if self.is_over:
            return []
        self.tls_is_up(verified=verified, binding=binding)
        return self._answer_waiting()

    def tls_is_up(self, *, verified: bool, binding: bytes | None = None) -> None:
        """Called after the handshake of implicit TLS (RFC 8314 §3); call `connected` next."""
        session = self._delivery.session
        session.is_encrypted, session.is_verified = True, verified
        session.channel_binding = binding
        if self._trace is not None:
            self._trace.tls(verified=verified)

    def callable_returned(self, result: Secret) -> list[Action]:
        """Called with the result of a `RunCallable`."""
        if self.is_over:
            return []
        assert isinstance(self._waiting, RunCallable)
        if self._redact is not None:
            self._redact.learn(result)
        self._waiting.result = result
        return self._answer_waiting()

    def _answer_waiting(self) -> list[Action]:
        self._waiting = None
        self._steps += 1
        actions: list[Action] = []
        self._advance(None, actions)
        return actions + self._go_on()

    def _go_on(self) -> list[Action]:
        """Process the pending replies, then do the next step."""
        actions: list[Action] = []
        parser = self._parser
        while not self.is_over:
            try:
                reply = parser.next_reply()
            except ReplyError as error:
                if isinstance(self._next_step, StartTls):
                    self._fail_on_injection(actions)
                else:
                    hint = "; is this its SMTP port?" if self.stage is Stage.GREETING else ""
                    self._fail_on_violation(f"{error}{hint}", actions)
                break
            if reply is not None:
                if parser.saw_bare_lf:
                    warning = f"{self._server} ends lines in LF alone (RFC 5321 §2.3.8)"
                    self._delivery.session.warn(warning)
                self._take_reply(reply, actions)
            elif self._next_step is None:
                break
            elif not self._is_input_pending:
                self._do(self._next_step, actions)
            elif isinstance(self._next_step, StartTls):
                self._fail_on_injection(actions)
            else:
                # Part of an unsolicited reply is pending. If a command were sent now, the rest of
                # that reply would be taken for the reply to the command.
                break
        return actions

    def _take_reply(self, reply: Reply, actions: list[Action]) -> None:
        as_said = reply
        if self._redact is not None:
            reply = redacted_reply(reply, self._redact)
        if self._trace is not None:
            self._trace.reply(reply)
        if self._group is not None:
            # Not all replies to the group came together, or not all are positive.
            self._group = None
            self._advance(None, actions)
        if not self._outstanding:
            self._on_unsolicited_reply(reply, actions)
            return
        stage = self._stage = self._outstanding.popleft().stage
        self._steps += 1
        if reply is not as_said and (stage, reply.code) in _UNDERSTOOD:
            # To be parsed, not shown: a password may equal the name of an extension.
            reply = as_said
        self._advance(reply, actions)

    def _are_all_positive(self, replies: tuple[Reply, ...]) -> bool:
        """Whether these are the replies to all outstanding commands, and each is positive.

        With secrets to redact it is False, because only `_take_reply` redacts.
        """
        if len(replies) != len(self._outstanding) or self._redact is not None:
            return False
        for command, reply in zip(self._outstanding, replies, strict=True):
            if classify(command.stage, reply.code) is not ReplyClass.POSITIVE:
                return False
        return True

    def _take_all(
        self, group: CommandGroup, replies: tuple[Reply, ...], actions: list[Action]
    ) -> None:
        """Process all replies to a group at once."""
        if self._trace is not None:
            for reply in replies:
                self._trace.reply(reply)
        self._stage = self._outstanding[-1].stage
        self._outstanding.clear()
        self._steps += len(replies)
        self._group = None
        group.replies = replies
        self._advance(None, actions)

    def _on_unsolicited_reply(self, reply: Reply, actions: list[Action]) -> None:
        """Judge an unsolicited reply."""
        quirks, due, is_decided = self.quirks, self._next_step, self.verdict is not None
        match judge_unsolicited(reply, self.stage, due, quirks, is_decided=is_decided):
            case Unsolicited.INJECTION:
                self._fail_on_injection(actions)
            case Unsolicited.REFUSAL:
                if isinstance(due, ExpectNoMoreInput):
                    self._do(due, actions)
                self._close_early(reply, actions)
            case Unsolicited.END:
                self._end(actions)
            case Unsolicited.UNEXPECTED:
                self._fail_on_violation(f"a reply that was not asked for: {reply}", actions)

    def _advance(self, reply: Reply | None, actions: list[Action]) -> None:
        """Resume the script, with the reply that it waits for, up to its next step."""
        try:
            step = next(self._script) if reply is None else self._script.send(reply)
        except StopIteration:
            self._end(actions)
            return
        if self._outstanding and step is self._outstanding[0]:
            return  # the most common case: the script waits for an outstanding reply
        self._take_step(step, actions)

    def _take_step(self, step: Step, actions: list[Action]) -> None:
        """Make this the next step, or do it at once if it need not wait for pending input."""
        while isinstance(step, ReportVerdict):
            self._decide(step.verdict, actions)
            following = next(self._script, None)
            if following is None:
                self._end(actions)
                return
            step = following
        if self._outstanding and step is self._outstanding[0]:
            return
        if step is END_OF_DATA:
            return  # outstanding once the mail data is sent
        if isinstance(step, Abort):
            # Outstanding replies are ignored, even those that have arrived already.
            self._end(actions, reset=True)
            return
        self._next_step = step

    def _do(self, step: Step, actions: list[Action]) -> None:
        """Do the next step. Called when no input is pending."""
        self._next_step = None
        self._steps += 1
        # In order of frequency, and not by `match`, which is slower.
        if isinstance(step, CommandGroup):
            if step.is_held:
                self.held = step
                actions.append(step)
            else:
                self._write(step.commands, actions)
                self._group = step
        elif isinstance(step, SendMailData):
            self._begin_transfer(step, actions)
        elif isinstance(step, ExpectNoMoreInput):
            self._advance(None, actions)
        elif isinstance(step, Command):
            self._write((step,), actions)
        elif isinstance(step, Release):
            self.is_over = True
            self._script.close()
            actions.append(step)
        elif isinstance(step, StartTls):
            self._waiting = step
            self._stage = Stage.STARTTLS
            actions.append(step)
        elif isinstance(step, RunCallable):
            self._waiting = step
            self._stage = Stage.AUTH
            actions.append(step)
        else:  # pragma: no cover - never the next step: see `_take_step`
            raise AssertionError("a verdict, or the end, was postponed")  # noqa: TRY004

    def _write(self, commands: tuple[Command, ...], actions: list[Action]) -> None:
        if commands[0].stage is Stage.MAIL:
            self._data_sent = False  # a transaction of its own
        self._outstanding.extend(commands)
        actions.append(wire_of(commands))
        if self._trace is not None:
            self._trace.commands(commands)
