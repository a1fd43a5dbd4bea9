"""One mail transaction: its commands, and what the replies to them decide (RFC 5321 §3.3)."""

from collections.abc import Generator, Sequence
from typing import cast

from ...words.classification import SERVICE_CLOSING, ReplyClass, classify
from ...words.command import DATA, END_OF_DATA, RSET, Command, bdat
from ...words.reply import Reply
from ...words.shown import one_line
from ...words.stage import Stage
from ...words.verdict import MAX_DETAIL, FailureKind
from ..opening.session import Session
from ..refusal import Contradicted, ProtocolViolation, Refused, raise_unless_positive
from ..step import CommandGroup, ExpectNoMoreInput, Script, SendMailData, Step
from .parameters import PreparedMail
from .recipients import Recipient, overall_rejection
from .speculation import can_be_speculative

_EXPECT_NO_MORE_INPUT = ExpectNoMoreInput()


class Transaction:
    """The state of one mail transaction.

    Attributes:
        batch: its recipients, with the replies that concern each.
        acceptance: the reply that accepted the email for a recipient, in this transaction or in an
            earlier one of the same email.
        has_reply: whether the first command has a reply, in this transaction or an earlier one.
        speculative: the mail data of a speculative transfer: it is sent before RCPT has a reply.
        refusal: the rejection of a speculative transfer whose mail data has no reply yet.
        is_chunk: whether the mail data is sent by BDAT.
        is_binary: whether it cannot be sent by DATA.
        may_be_desynchronized: whether a surplus reply may shift all later replies by one.
        must_abort: whether no command can follow in the session, once the verdict is reported.
    """

    __slots__ = (
        "_acceptance_before",
        "_answered",
        "_group",
        "_last",
        "_session",
        "acceptance",
        "batch",
        "has_reply",
        "is_binary",
        "is_chunk",
        "may_be_desynchronized",
        "must_abort",
        "refusal",
        "speculative",
    )

    def __init__(
        self, session: Session, batch: Sequence[Recipient], before: "Transaction | None" = None
    ) -> None:
        """Prepare a transaction.

        Args:
            session: the state of the session.
            batch: the recipients.
            before: the previous transaction of the same email, or None.
        """
        self._session = session
        self.batch: Sequence[Recipient] = batch
        self.acceptance: Reply | None = None
        self._acceptance_before: Reply | None = None  # what `acceptance` was at first
        self.has_reply: bool = False
        self._last = before
        if before is not None:
            self.acceptance, self.has_reply = before.acceptance, before.has_reply
            self._acceptance_before = before.acceptance
            before._last = None  # only the previous one is ever needed; free those before it
        self.speculative: SendMailData | None = None
        self.refusal: Refused | None = None
        self.is_chunk: bool = False
        self.is_binary: bool = False
        self.may_be_desynchronized: bool = False
        self.must_abort: bool = False
        self._group: tuple[Command, ...] = ()  # written together; not all replies are positive
        self._answered = 0  # how many of them have a reply

    def script(self, prepared: PreparedMail, *, may_be_speculative: bool) -> Script:
        """Run the transaction.

        Args:
            prepared: the email, prepared for this server.
            may_be_speculative: whether the transfer may be speculative. That pays only on reused
                connections, where round trips take most of the time.

        Raises:
            Refused: the server accepted the email for no recipient.
            ProtocolViolation: the server violated the protocol.
            Contradicted: the server rejected the email, and may have accepted it nevertheless.
        """
        self.is_chunk, self.is_binary = prepared.is_chunked, prepared.rendition.is_binary
        commands: list[Command] = []
        for recipient in self.batch:
            # A comprehension would make closure cells, for each of thousands of emails in flight.
            commands.append(prepared.rcpt(recipient.path))  # noqa: PERF401
        is_speculative = may_be_speculative and can_be_speculative(self._session, prepared)
        if not (yield from self._send_group(prepared, commands, is_speculative=is_speculative)):
            yield from self._take_replies(prepared, commands)
        # Thousands of emails may be in flight for minutes: free what is not needed any more.
        del commands
        yield from self._send_mail_data(prepared)

    def _send_group(
        self, prepared: PreparedMail, commands: list[Command], *, is_speculative: bool
    ) -> Generator[Step, Reply, bool]:
        """Write all commands at once if the server offers PIPELINING (RFC 2920).

        Args:
            prepared: the email.
            commands: RCPT for each recipient.
            is_speculative: whether the mail data is written with them.

        Returns:
            Whether all of them have positive replies. If not, they are still to be taken.
        """
        session, batch = self._session, self.batch
        if not session.extensions.pipelining:
            return False
        group = (*((RSET,) if session.needs_reset else ()), prepared.mail, *commands)
        if is_speculative:
            self.speculative = SendMailData(prepared.rendition, bdat(prepared.size), before=group)
            yield self.speculative
            for recipient in batch:
                recipient.is_speculative = True
            self._group = (*group, END_OF_DATA)
            return False
        if not prepared.is_chunked:
            group = (*group, DATA)
        step = CommandGroup(group, is_held=prepared.is_chunked)
        yield step
        replies = step.replies
        if replies is None:
            self._group = group
            return False
        self.has_reply = True
        session.transactions += 1
        first = 2 if session.needs_reset else 1
        for recipient, reply in zip(batch, replies[first:], strict=False):
            recipient.rcpt_reply = reply
        session.needs_reset = True
        return True

    def _take_replies(self, prepared: PreparedMail, commands: list[Command]) -> Script:
        """Write the commands one by one, or read the replies to the group, and judge each."""
        session, batch = self._session, self.batch
        is_held = prepared.is_chunked and not session.extensions.pipelining
        try:
            if session.needs_reset:
                self._on_rset_reply((yield from _held(RSET)) if is_held else (yield RSET))
            reply = (yield from _held(prepared.mail)) if is_held else (yield prepared.mail)
            self._answered += 1
            self.has_reply = True
            session.transactions += 1  # RFC 9422 §4.1: a rejected MAIL counts, too
            raise_unless_positive(Stage.MAIL, reply)
            session.needs_reset = True
            for recipient, command in zip(batch, commands, strict=True):
                self._on_rcpt_reply(recipient, (yield command))
            refusal = overall_rejection(batch)
            if refusal is not None:
                raise_unless_positive(Stage.RCPT, refusal)
        except Refused as refused:
            if self.speculative is not None:
                yield from self._read_replies_after(self.speculative, refused)
            raise
        if not (prepared.is_chunked or self.speculative):
            reply = yield DATA
            self._answered += 1
            raise_unless_positive(Stage.DATA, reply)

    def _send_mail_data(self, prepared: PreparedMail) -> Script:
        """Send the mail data, unless it is sent already, and take the final reply."""
        if self.speculative is not None:
            reply = yield END_OF_DATA
            self._answered += 1
        else:
            chunk = bdat(prepared.size) if prepared.is_chunked else None
            owed: tuple[Command, ...] = (END_OF_DATA,)
            if self._session.is_lmtp:  # RFC 2033 §4.2: one reply for each recipient
                owed *= sum(recipient.awaits_final_reply for recipient in self.batch)
            reply = yield SendMailData(prepared.rendition, chunk, owed)
        yield from self._on_final_reply(prepared, reply)

    def read_outstanding_replies(self) -> Generator[Step, Reply, Reply | None]:
        """Read the outstanding replies of a group after a rejection (RFC 2920 §3.1).

        Return the reply after which no command can follow, or None.
        """
        while self._answered < len(self._group):
            command = self._group[self._answered]
            self._answered += 1
            reply = yield command
            if reply.code == SERVICE_CLOSING:
                return reply
            if command is DATA and reply.is_intermediate:
                # The server expects mail data, although it accepted no recipient. RFC 2920 §3.1
                # ends that with a lone dot. But a server with this fault could accept an empty
                # email then, after the verdict has said that it accepted none. Without the dot it
                # can accept nothing, so the session ends here.
                return reply
        return None

    def reset(self, refusal: Reply) -> Generator[Step, Reply, Reply | None]:
        """Reset the rejected transaction, so that another can begin (RFC 5321 §4.1.4).

        Args:
            refusal: the reply that rejected it.

        Returns:
            The reply after which no other can begin, or None.
        """
        reply = yield from self.read_outstanding_replies()
        if reply is None:
            if self.may_be_desynchronized:
                return refusal
            self._last = None  # its final reply is not in doubt, whatever comes unsolicited now
            reply = (yield from _held(RSET)) if self.is_chunk else (yield RSET)
            if reply.is_positive:
                self._session.needs_reset = False
                return None
        if reply.code == SERVICE_CLOSING:
            raise Refused(Stage.MAIL, reply, ReplyClass.TRANSIENT)
        self.must_abort = True
        return reply

    def discard_final_replies(self) -> bool:
        """Discard the final replies of the previous transaction: one reply was a surplus one.

        Over SMTP its rejected recipients stay rejected. Over LMTP they have final replies of their
        own, any of which may be the surplus one. Return whether there were such replies.
        """
        last = self._last
        if last is None:
            return False
        decided = [(r, r.final_reply) for r in last.batch if r.final_reply is not None]
        doubtful = [r for r, final in decided if final.is_positive or r.has_own_final_reply]
        for recipient in doubtful:
            recipient.final_reply = None
        self.acceptance = last._acceptance_before
        return bool(doubtful)

    def discard_all_replies(self) -> None:
        """Discard all replies of a rejected transaction, as they may belong to other commands."""
        self.refusal = None
        for recipient in self.batch:
            recipient.rcpt_reply = recipient.final_reply = None

    @property
    def is_without_reply(self) -> bool:
        """Whether a speculative transfer, not the session's first, is complete without a reply."""
        speculative = self.speculative
        return (
            speculative is not None
            and speculative.is_out
            and not self.has_reply
            and self._session.transactions > 0
        )

    def _on_rset_reply(self, reply: Reply) -> None:
        """Check that the previous transaction was aborted (RFC 5321 §4.1.1.5).

        A failure is not a rejection of this email, of which nothing was sent yet.
        """
        self._answered += 1
        if reply.code == SERVICE_CLOSING:
            raise_unless_positive(Stage.MAIL, reply)
        if not reply.is_positive:
            raise ProtocolViolation(
                Stage.MAIL, f"{self._session.server} did not obey RSET: {reply}"
            )
        self._session.needs_reset = False

    def _on_rcpt_reply(self, recipient: Recipient, reply: Reply) -> None:
        self._answered += 1
        means = classify(Stage.RCPT, reply.code)
        if means is ReplyClass.UNEXPECTED or reply.code == SERVICE_CLOSING:
            raise Refused(Stage.RCPT, reply, means)
        recipient.rcpt_reply = reply
        if means is not ReplyClass.POSITIVE:
            recipient.final_reply = reply

    def _read_replies_after(self, speculative: SendMailData, refused: Refused) -> Script:
        """Read all replies to a speculative transfer after a rejection.

        The chunk was sent together with the rejected command, so the server may have accepted it
        nevertheless; only the reply to the chunk shows that. A verdict before that reply could lead
        to a duplicate.

        Args:
            speculative: the transaction's mail data.
            refused: the first rejection: of MAIL, or of all recipients.

        Raises:
            Contradicted: a later reply makes it unknown whether the email was accepted.
        """
        if refused.cause is ReplyClass.UNEXPECTED:
            return  # an invalid reply: ambiguous whatever follows
        self.refusal = refused
        server, group = self._session.server, self._group
        is_leaving = refused.reply.code == SERVICE_CLOSING
        while self._answered < len(group):
            if not is_leaving:
                reply = yield group[self._answered]
            else:
                more = (
                    cast("Reply | None", (yield _EXPECT_NO_MORE_INPUT))
                    if speculative.is_out
                    else None
                )
                if more is None:
                    break  # after 421 the server need not send the other replies (RFC 5321 §3.8)
                reply = more
            command = group[self._answered]
            self._answered += 1
            if command is END_OF_DATA:
                # RFC 3030 §2: a server that rejects a chunk reads all of it before its reply. One
                # that does not (Exchange 2000) parses the mail data as commands, with replies.
                self.may_be_desynchronized = True
                self.must_abort = reply.code == SERVICE_CLOSING
                said = "to the mail data"
            else:
                said = f"at {command.stage}, before it answered the mail data"
            if reply.code < 400 and (command is END_OF_DATA or not reply.is_positive):
                raise Contradicted(Stage.DOT, f"{server} said {reply} {said}")
            if reply.code == SERVICE_CLOSING and command is not END_OF_DATA and not is_leaving:
                detail = f"{server} said {reply} {said}"
                raise Contradicted(command.stage, detail, FailureKind.CONNECTION)
        self.refusal = None

    def _on_final_reply(self, prepared: PreparedMail, reply: Reply) -> Script:
        """Process the first reply to the mail data, usually the only one."""
        session = self._session
        awaiting = [recipient for recipient in self.batch if recipient.awaits_final_reply]
        # A server may reject mail data before its end, and send another reply at the end. After a
        # final dot that would be noticed; after a chunk, all later replies would be shifted by one.
        self.may_be_desynchronized = session.extensions.chunking
        # RFC 5321 §4.1.1.4: the final dot ends the transaction, accepted or not.
        session.needs_reset = prepared.is_chunked
        if session.is_lmtp:
            yield from self._on_final_replies(awaiting, reply)
        else:
            raise_unless_positive(Stage.DOT, reply)
            # Data after the final reply makes it ambiguous which one is final, so none counts.
            yield _EXPECT_NO_MORE_INPUT
            self._note_acceptance(reply)
            for recipient in awaiting:
                recipient.final_reply = reply
        self.may_be_desynchronized = session.needs_reset = False

    def _on_final_replies(self, awaiting: Sequence[Recipient], reply: Reply) -> Script:
        """Process one final reply for each recipient (RFC 2033 §4.2)."""
        before = self.acceptance
        for recipient in awaiting:
            if recipient is not awaiting[0]:
                # Even after 421, which says nothing about the recipients after this one.
                reply = yield END_OF_DATA
            if classify(Stage.DOT, reply.code) is ReplyClass.AMBIGUOUS:
                raise_unless_positive(Stage.DOT, reply)
            recipient.final_reply, recipient.has_own_final_reply = reply, True
            if reply.is_positive:
                self._note_acceptance(reply)
        # Data after the last final reply would mean that one of them is a surplus reply, and it is
        # unknown which. So none counts until it is clear that no input is pending.
        verdicts, acceptance = [recipient.final_reply for recipient in awaiting], self.acceptance
        self.acceptance = before
        for recipient in awaiting:
            recipient.final_reply = None
        yield _EXPECT_NO_MORE_INPUT
        self.acceptance = acceptance
        for recipient, verdict in zip(awaiting, verdicts, strict=True):
            recipient.final_reply = verdict
        closing = [verdict for verdict in verdicts if verdict and verdict.code == SERVICE_CLOSING]
        refusal = closing[0] if closing else overall_rejection(awaiting)
        if refusal is not None:
            raise_unless_positive(Stage.DOT, refusal)

    def _note_acceptance(self, reply: Reply) -> None:
        self.acceptance = reply
        if reply.contradicts_itself:
            self._session.warn(
                f"{self._session.server} accepted the email with a reply whose text says otherwise"
                f" (the code counts, RFC 2034 §4): {one_line(str(reply), MAX_DETAIL)}"
            )


def _held(command: Command) -> Generator[Step, Reply, Reply]:
    """Send a command once no input is pending, and return the reply to it.

    For transactions with BDAT: a surplus reply that is pending when one begins would unnoticeably
    shift all later replies. With DATA it would be noticed, at the latest instead of 354.
    """
    step = CommandGroup((command,), is_held=True)
    yield step
    return step.replies[0] if step.replies else (yield command)
