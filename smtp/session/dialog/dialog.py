"""The dialog: what is legal now, and what each event means for the mail.

The dialog runs a script (`Delivery.script`: the policy) against the octets of one connection,
and keeps the one rule that all truth depends on: **a reply counts only when a command is
outstanding**. A command is outstanding from the moment it is written, and so is the final dot;
bytes that come when nothing is outstanding are never taken for the reply to something
that goes out later (RFC 5321 §4.3.1, RFC 2920 §3.1).

The connection, which does the I/O, calls `connected` once, then `receive_data` for all input, and
the method for each other event. Each returns a list of actions to perform, in order: those of
`step.Action`. A verdict comes exactly once; `Close` or `Release` is the last action. The dialog has
no clock: the connection measures the steps (`steps` changes with each) and calls `timed_out`.

What no outstanding command decides is elsewhere: `uncalled` judges unsolicited replies, `ending`
ends the dialog for other reasons, and `sending` notes when the mail data is out.
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
from .redaction import masking_of, redacted_reply
from .sending import Sending
from .transcript import Trace, Transcript
from .uncalled import Uncalled, judge_uncalled

# Replies whose text is more than a message for people: RFC 5321 §4.1.1.1, RFC 4954 §4.
_UNDERSTOOD = frozenset({(Stage.EHLO, 250), (Stage.AUTH, 334)})


class Dialog(Sending):
    """One session's conversation, without I/O.

    Attributes:
        verdict: what became of the mail, once it is decided.
        is_over: whether the dialog has asked to close, or to release, the connection.
        has_unread: whether bytes are here that cannot be read yet, half a TLS record; the
            connection sets it. Like a part of a reply, they hold back what would go out next.
    """

    # At first, once for all dialogs: most carry one mail.
    has_unread: bool = False
    _reply_bytes = 0  # octets of replies
    _stage = Stage.CONNECT

    def __init__(
        self,
        delivery: SessionPolicy,
        trace: Trace | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Prepare a dialog that follows one policy.

        Args:
            delivery: what is to be done, and what is known of the session.
            trace: called with ``"C"`` or ``"S"`` and a line for each line that the client or the
                server says; secrets are masked. Its errors are its own affair.
            redact: masks secrets in a text of the server's, which may repeat what it was sent.
        """
        self._delivery = delivery
        self._trace = None if trace is None else Transcript(trace)
        self._redact = None if redact is None else masking_of(delivery.session, redact)
        self._script = delivery.script()
        self._parser = ReplyParser(self._redact)
        self._max_reply_bytes = delivery.max_replies
        self._outstanding: deque[Command] = deque()  # written, and not answered yet

    @property
    def stage(self) -> Stage:
        """Where the session stands."""
        due = self._next_step
        # Due is enough: a refusal right behind the 354 is one of the mail data, however the
        # octets were cut on their way. Where MAIL is still to go out as well, there is no 354.
        if self._sending is not None or (isinstance(due, SendMailData) and not due.is_speculative):
            return Stage.BODY
        return self._outstanding[0].stage if self._outstanding else self._stage

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
        self._outstanding.append(GREETING)
        actions: list[Action] = []
        self._take_step(next(self._script), actions)
        return actions

    def receive_data(self, data: bytes) -> list[Action]:
        """Take octets from the server; none, where `has_unread` has changed."""
        if self.is_over:
            return []
        actions: list[Action] = []
        if self._waiting is not None and isinstance(self._waiting, StartTls):
            # The server must not send anything before the client begins TLS.
            self._fail_on_injection(actions)
            return actions
        self._reply_bytes += len(data)
        if self._reply_bytes > self._max_reply_bytes and not self._data_sent:
            # Each reply has its bound; a group of thousands of commands gets thousands of them.
            self._broke_protocol("too much text in its replies", actions)
            return actions
        replies = None if self.has_unread else self._parser.parse_cached(data)
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
        while self._next_step is not None and not self.is_over:
            self._do(self._next_step, actions)
        return actions

    def start_next(self) -> list[Action]:
        """Begin on a connection that another dialog has released: no greeting is due."""
        if self.is_over:
            return []
        self._stage = Stage.MAIL
        actions: list[Action] = []
        self._take_step(next(self._script), actions)
        if self._next_step is not None:
            self._do(self._next_step, actions)
        return actions

    def tls_started(self, *, verified: bool, binding: bytes | None = None) -> list[Action]:
        """Note that TLS is up, and go on.

        Args:
            verified: whether the server's certificate was verified, name included.
            binding: the channel binding of this TLS (RFC 5929), if it is known.
        """
        if self.is_over:
            return []
        self.tls_is_up(verified=verified, binding=binding)
        return self._answer_waiting()

    def tls_is_up(self, *, verified: bool, binding: bytes | None = None) -> None:
        """Note that the connection began with TLS (RFC 8314 §3); call `connected` next."""
        session = self._delivery.session
        session.is_encrypted, session.is_verified = True, verified
        session.channel_binding = binding
        if self._trace is not None:
            self._trace.tls(verified=verified)

    def callable_returned(self, result: Secret) -> list[Action]:
        """Take what a `RunCallable` returned."""
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
        """Take the replies that are here; then do what is due."""
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
                    self._broke_protocol(f"{error}{hint}", actions)
                break
            if reply is not None:
                if parser.saw_bare_lf:
                    warning = f"{self._server} ends lines in LF alone (RFC 5321 §2.3.8)"
                    self._delivery.session.warn(warning)
                self._take_reply(reply, actions)
            elif self._next_step is None:
                break
            elif not self._is_more_here:
                self._do(self._next_step, actions)
            elif isinstance(self._next_step, StartTls):
                self._fail_on_injection(actions)
            else:
                # With a part of an unsolicited reply here, nothing goes out: what follows
                # must not be taken for the answer to it.
                break
        return actions

    def _take_reply(self, reply: Reply, actions: list[Action]) -> None:
        as_said = reply
        if self._redact is not None:
            reply = redacted_reply(reply, self._redact)
        if self._trace is not None:
            self._trace.reply(reply)
        if self._group is not None:
            # Something is not as it mostly is.
            self._group = None
            self._advance(None, actions)
        if not self._outstanding:
            self._on_unsolicited_reply(reply, actions)
            return
        stage = self._stage = self._outstanding.popleft().stage
        self._steps += 1
        if reply is not as_said and (stage, reply.code) in _UNDERSTOOD:
            # To be understood, not shown: some password may be the name of an extension.
            reply = as_said
        self._advance(reply, actions)

    def _are_all_good(self, replies: tuple[Reply, ...]) -> bool:
        """Whether these are the replies to all outstanding commands, and each is positive."""
        if len(replies) != len(self._outstanding) or self._redact is not None:
            return False
        for command, reply in zip(self._outstanding, replies, strict=True):
            if classify(command.stage, reply.code) is not ReplyClass.POSITIVE:
                return False
        return True

    def _take_all(
        self, group: CommandGroup, replies: tuple[Reply, ...], actions: list[Action]
    ) -> None:
        """Take the replies to a group all at once."""
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
        match judge_uncalled(reply, self.stage, due, quirks, is_decided=is_decided):
            case Uncalled.INJECTION:
                self._fail_on_injection(actions)
            case Uncalled.REFUSAL:
                if isinstance(due, ExpectNoMoreInput):
                    self._do(due, actions)
                self._close_early(reply, actions)
            case Uncalled.END:
                self._end(actions)
            case Uncalled.UNEXPECTED:
                self._broke_protocol(f"a reply that was not asked for: {reply}", actions)

    def _advance(self, reply: Reply | None, actions: list[Action]) -> None:
        """Let the script go on to its next step, with the reply that it waits for, if it does."""
        try:
            step = next(self._script) if reply is None else self._script.send(reply)
        except StopIteration:
            self._end(actions)
            return
        if self._outstanding and step is self._outstanding[0]:
            return  # the most common case: it waits for what is on its way
        self._take_step(step, actions)

    def _take_step(self, step: Step, actions: list[Action]) -> None:
        """Note what is to be done next; do at once what need not wait."""
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
            return  # it is outstanding as soon as it is out
        if isinstance(step, Abort):
            # Outstanding replies, even if here already, are not waited for.
            self._end(actions, reset=True)
            return
        self._next_step = step

    def _do(self, step: Step, actions: list[Action]) -> None:
        """Do what is due: nothing more is here to read."""
        self._next_step = None
        self._steps += 1
        # Those first that each mail has; a `match` asks for more of each than its class.
        if isinstance(step, CommandGroup):
            if step.is_held:
                self._held = step
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
        else:  # pragma: no cover - are never due: see `_take_step`
            raise AssertionError("a verdict, or the end, was put off")  # noqa: TRY004

    def _write(self, commands: tuple[Command, ...], actions: list[Action]) -> None:
        if commands[0].stage is Stage.MAIL:
            self._data_sent = False  # a transaction of its own
        self._outstanding.extend(commands)
        actions.append(wire_of(commands))
        if self._trace is not None:
            self._trace.commands(commands)
