"""One mail transaction: what is said in it, and what the replies to it decide (RFC 5321 §3.3)."""

from collections.abc import Generator, Sequence
from typing import cast

from ...words.classification import SERVICE_CLOSING, ReplyClass, classify
from ...words.command import DATA, END_OF_DATA, RSET, Command, bdat
from ...words.reply import Reply
from ...words.shown import one_line
from ...words.stage import Stage
from ...words.verdict import MAX_DETAIL, FailureKind
from ..opening.session import Session
from ..refusal import Contradicted, ProtocolViolation, Refused, check
from ..step import CommandGroup, ExpectNoMoreInput, Script, SendMailData, Step
from .parameters import PreparedMail
from .recipients import Recipient, overall_rejection

MAX_SPECULATIVE_SIZE = 65_536
"""Octets of a mail that goes out before the server has said whether anybody may have it."""

_QUIET = ExpectNoMoreInput()


class Transaction:
    """One mail transaction, and what is known of it.

    Attributes:
        batch: its recipients; each knows what the server said of it.
        acceptance: the reply that accepted the mail for somebody, here or in a transaction before.
        has_reply: whether the server has answered the first command, here or in one before.
        speculative: the mail data, if it goes out before the server has said who may have it.
        refusal: that of a speculative transaction, as long as the mail data has no reply.
        is_chunk: whether the mail data goes out by BDAT.
        is_binary: whether it could not go out by DATA.
        is_unclear: whether a reply may come that nobody would know to place.
        is_stuck: whether nothing more can be said in the session, once the verdict is out.
    """

    __slots__ = (
        "_answered",
        "_group",
        "_last",
        "_session",
        "_taken_before",
        "acceptance",
        "batch",
        "has_reply",
        "is_binary",
        "is_chunk",
        "is_stuck",
        "is_unclear",
        "refusal",
        "speculative",
    )

    def __init__(
        self, session: Session, batch: Sequence[Recipient], before: "Transaction | None" = None
    ) -> None:
        """Prepare a transaction.

        Args:
            session: what is known of the session.
            batch: the recipients.
            before: the transaction before this one that had the same mail, if there was one.
        """
        self._session = session
        self.batch: Sequence[Recipient] = batch
        self.acceptance: Reply | None = None
        self._taken_before: Reply | None = None  # what `acceptance` was at first
        self.has_reply: bool = False
        self._last = before
        if before is not None:
            self.acceptance, self.has_reply = before.acceptance, before.has_reply
            self._taken_before = before.acceptance
            before._last = None  # nobody asks for what came before that
        self.speculative: SendMailData | None = None
        self.refusal: Refused | None = None
        self.is_chunk: bool = False
        self.is_binary: bool = False
        self.is_unclear: bool = False
        self.is_stuck: bool = False
        self._group: tuple[Command, ...] = ()  # went out together, and not all to be obeyed
        self._answered = 0  # how many of them were answered

    def script(self, offer: PreparedMail, *, may_be_speculative: bool) -> Script:
        """Run the transaction.

        Args:
            offer: the mail.
            may_be_speculative: whether all of it may go out in one go. That is worth it only where
                connections are kept: there it is the round trips that cost time.

        Raises:
            Refused: the server takes the mail for nobody.
            ProtocolViolation: the server broke the protocol.
            Contradicted: whether the server took it is in doubt.
        """
        session, batch = self._session, self.batch
        self.is_chunk, self.is_binary = offer.is_chunked, offer.rendition.is_binary
        commands: list[Command] = []
        for recipient in batch:
            commands.append(offer.rcpt(recipient.path))  # noqa: PERF401 - a cell for each mail
        replies: tuple[Reply, ...] | None = None
        if session.extensions.pipelining:
            group = (*((RSET,) if session.needs_reset else ()), offer.mail, *commands)
            if may_be_speculative and self._can_be_speculative(offer):
                self.speculative = SendMailData(offer.rendition, bdat(offer.size), before=group)
                yield self.speculative
                for recipient in batch:
                    recipient.is_speculative = True
                group = (*group, END_OF_DATA)
            else:
                if not offer.is_chunked:
                    group = (*group, DATA)
                step = CommandGroup(group, is_held=offer.is_chunked)
                yield step
                replies = step.replies
                del step
            if replies is None:
                self._group = group
            del group
        if replies is not None:
            # All that comes before the mail data was obeyed.
            self.has_reply = True
            session.mails += 1
            first = 2 if session.needs_reset else 1
            for recipient, reply in zip(batch, replies[first:], strict=False):
                recipient.answer = reply
            session.needs_reset = True
            # A mail may be on its way for minutes, and thousands with it: what is done with goes.
            del commands, replies
        else:
            is_held = offer.is_chunked and not session.extensions.pipelining
            try:
                if session.needs_reset:
                    self._on_rset_reply((yield from _held(RSET)) if is_held else (yield RSET))
                reply = (yield from _held(offer.mail)) if is_held else (yield offer.mail)
                self._answered += 1
                self.has_reply = True
                session.mails += 1  # RFC 9422 §4.1: those that are refused count, too
                check(Stage.MAIL, reply)
                session.needs_reset = True
                for recipient, command in zip(batch, commands, strict=True):
                    self._on_rcpt_reply(recipient, (yield command))
                refusal = overall_rejection(batch)
                if refusal is not None:
                    check(Stage.RCPT, refusal)
            except Refused as refused:
                if self.speculative is not None:
                    yield from self._hear_out(self.speculative, refused)
                raise
            if not (offer.is_chunked or self.speculative):
                reply = yield DATA
                self._answered += 1
                check(Stage.DATA, reply)
        if self.speculative is not None:
            reply = yield END_OF_DATA
            self._answered += 1
        else:
            chunk = bdat(offer.size) if offer.is_chunked else None
            owed: tuple[Command, ...] = (END_OF_DATA,)
            if session.is_lmtp:  # RFC 2033 §4.2: one reply for each recipient
                owed *= sum(recipient.awaits_final_reply for recipient in batch)
            reply = yield SendMailData(offer.rendition, chunk, owed)
        yield from self._on_final_reply(offer, reply)

    def settle(self) -> Generator[Step, Reply, Reply | None]:
        """Take the replies still owed to a group after the mail was refused (RFC 2920 §3.1).

        Returns:
            The reply after which nothing more can be said, or None.
        """
        while self._answered < len(self._group):
            command = self._group[self._answered]
            self._answered += 1
            reply = yield command
            if reply.code == SERVICE_CLOSING:
                return reply
            if command is DATA and reply.is_intermediate:
                # The server wants mail data for nobody. RFC 2920 would end it with a lone dot, to
                # go on with the session. But a server that is broken in this way may take the
                # lone dot for a mail, an empty one, and we have said that it took none. This
                # session has nothing more to do, and without the dot nothing can be taken.
                return reply
        return None

    def leave(self, refusal: Reply) -> Generator[Step, Reply, Reply | None]:
        """Leave the transaction, which was refused, so that another can begin (RFC 5321 §4.1.4).

        Args:
            refusal: the reply that refused it.

        Returns:
            The reply after which none can, or None.
        """
        reply = yield from self.settle()
        if reply is None:
            if self.is_unclear:
                return refusal
            self._last = None  # its final reply is not in doubt, whatever comes unsolicited now
            reply = (yield from _held(RSET)) if self.is_chunk else (yield RSET)
            if reply.is_positive:
                self._session.needs_reset = False
                return None
        if reply.code == SERVICE_CLOSING:
            raise Refused(Stage.MAIL, reply, ReplyClass.TRANSIENT)
        self.is_stuck = True
        return reply

    def take_last_back(self) -> bool:
        """Leave in doubt for whom the transaction before this one was taken.

        By LMTP also for whom it was not: which of its final replies was one too many?

        Returns:
            Whether anybody is in doubt.
        """
        last = self._last
        if last is None:
            return False
        decided = [(r, r.final) for r in last.batch if r.final is not None]
        doubtful = [r for r, final in decided if final.is_positive or r.has_own_final_reply]
        for recipient in doubtful:
            recipient.final = None
        self.acceptance = last._taken_before
        return bool(doubtful)

    def take_refusal_back(self) -> None:
        """Leave all recipients of a refused transaction in doubt.

        Their own replies are no truth either: they may be those to other commands.
        """
        self.refusal = None
        for recipient in self.batch:
            recipient.answer = recipient.final = None

    def _can_be_speculative(self, offer: PreparedMail) -> bool:
        """Whether all of a transaction can go out in one go.

        RFC 3030 §2 has the mail sent after all replies to MAIL and RCPT have been collected, and
        does not say that it must be. Exim and Google send it without, so servers know it.

        Only a mail that is no great loss if it turns out that nobody may have it. Not after RSET:
        were that refused, and the rest obeyed, the mail would be taken in a session that is over.
        Nor in a session that had mails before, with a server that leaves such without a word: MAIL
        alone, unanswered, would leave no doubt, and have another connection.
        """
        return (
            not self._session.needs_reset
            and not self._session.quirks.speaks_unasked
            and not (self._session.mails and self._session.quirks.leaves_unsaid)
            and offer.is_chunked
            and offer.size <= MAX_SPECULATIVE_SIZE
            and offer.rendition.data is not None
            and not self._session.is_lmtp
        )

    @property
    def is_unheard(self) -> bool:
        """Whether a speculative transaction, not a session's first, went out and had no answer."""
        speculative = self.speculative
        return (
            speculative is not None
            and speculative.is_out
            and not self.has_reply
            and self._session.mails > 0
        )

    def _on_rset_reply(self, reply: Reply) -> None:
        """See whether the transaction before this one is forgotten (RFC 5321 §4.1.1.5).

        If not, that is no refusal of this mail, of which nothing was heard yet.
        """
        self._answered += 1
        if reply.code == SERVICE_CLOSING:
            check(Stage.MAIL, reply)
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
        recipient.answer = reply
        if means is not ReplyClass.POSITIVE:
            recipient.final = reply

    def _hear_out(self, speculative: SendMailData, refused: Refused) -> Script:
        """Hear all that a server says of a speculative transaction that it has refused.

        The chunk went out with the command that was refused, so the server may have taken it all
        the same, and only its reply to the chunk can tell. To believe the refusal before would be
        to send the mail again that somebody has.

        Args:
            speculative: the transaction's mail data.
            refused: the first refusal: of MAIL, or of all recipients.

        Raises:
            Contradicted: what the server says afterwards leaves doubt.
        """
        if refused.cause is ReplyClass.UNEXPECTED:
            return  # leaves doubt in any case
        self.refusal = refused
        server, group = self._session.server, self._group
        is_leaving = refused.reply.code == SERVICE_CLOSING
        while self._answered < len(group):
            if not is_leaving:
                reply = yield group[self._answered]
            else:
                more = cast("Reply | None", (yield _QUIET)) if speculative.is_out else None
                if more is None:
                    break  # it leaves, and the rest is silence (RFC 5321 §3.8)
                reply = more
            command = group[self._answered]
            self._answered += 1
            if command is END_OF_DATA:
                # RFC 3030 §2: a server reads a chunk that it refuses to the end, and then says so.
                # One that does not (Exchange 2000) takes the mail for commands, and answers them.
                self.is_unclear = True
                self.is_stuck = reply.code == SERVICE_CLOSING
                said = "to the mail data"
            else:
                said = f"at {command.stage}, before it answered the mail data"
            if reply.code < 400 and (command is END_OF_DATA or not reply.is_positive):
                raise Contradicted(Stage.DOT, f"{server} said {reply} {said}")
            if reply.code == SERVICE_CLOSING and command is not END_OF_DATA and not is_leaving:
                detail = f"{server} said {reply} {said}"
                raise Contradicted(command.stage, detail, FailureKind.CONNECTION)
        self.refusal = None

    def _on_final_reply(self, offer: PreparedMail, reply: Reply) -> Script:
        """Judge the first reply to the mail data, which mostly is the only one."""
        session = self._session
        taken = [recipient for recipient in self.batch if recipient.awaits_final_reply]
        # A server that has refused the data may have done so before its end, and answer the end,
        # too. After a final dot that would be seen; after a chunk it would shift all replies.
        self.is_unclear = session.extensions.chunking
        # RFC 5321 §4.1.1.4: the dot ends the transaction, whatever comes of it.
        session.needs_reset = offer.is_chunked
        if session.is_lmtp:
            yield from self._on_final_replies(taken, reply)
        else:
            check(Stage.DOT, reply)
            # Octets behind the verdict: which of the two would be the one? Then there is none.
            yield _QUIET
            self._note_acceptance(reply)
            for recipient in taken:
                recipient.final = reply
        self.is_unclear = session.needs_reset = False

    def _on_final_replies(self, taken: Sequence[Recipient], reply: Reply) -> Script:
        """Take one reply for each recipient (RFC 2033 §4.2)."""
        before = self.acceptance
        for recipient in taken:
            if recipient is not taken[0]:
                # Also after 421: it says nothing of the recipients that come after this one.
                reply = yield END_OF_DATA
            if classify(Stage.DOT, reply.code) is ReplyClass.AMBIGUOUS:
                check(Stage.DOT, reply)
            recipient.final, recipient.has_own_final_reply = reply, True
            if reply.is_positive:
                self._note_acceptance(reply)
        # Octets behind the last verdict: one of them all was none, and nobody knows which. So none
        # counts until nothing more is here.
        verdicts, acceptance = [recipient.final for recipient in taken], self.acceptance
        self.acceptance = before
        for recipient in taken:
            recipient.final = None
        yield _QUIET
        self.acceptance = acceptance
        for recipient, verdict in zip(taken, verdicts, strict=True):
            recipient.final = verdict
        closing = [verdict for verdict in verdicts if verdict and verdict.code == SERVICE_CLOSING]
        refusal = closing[0] if closing else overall_rejection(taken)
        if refusal is not None:
            check(Stage.DOT, refusal)

    def _note_acceptance(self, reply: Reply) -> None:
        self.acceptance = reply
        if reply.contradicts_itself:
            self._session.warn(
                f"{self._session.server} took the mail with a reply whose text says otherwise"
                f" (the code counts, RFC 2034 §4): {one_line(str(reply), MAX_DETAIL)}"
            )


def _held(command: Command) -> Generator[Step, Reply, Reply]:
    """Send a command once no input is pending, and return the reply to it.

    Before a chunk: replies that lie unread as its transaction begins would shift those that follow,
    and nothing would show that. By DATA the 354 does.
    """
    step = CommandGroup((command,), is_held=True)
    yield step
    return step.replies[0] if step.replies else (yield command)
