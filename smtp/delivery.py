"""The delivery of one mail: the script of a session, and the verdict it comes to."""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from itertools import chain
from typing import cast

from .classification import CLOSING, COMMAND_UNKNOWN, Meaning, meaning
from .command import DATA, END_OF_DATA, RSET, Command, bdat
from .content import Content
from .envelope import Envelope
from .next_address import is_of_the_address
from .parameters import Offer, make_offer
from .recipients import USUAL_MAX, Recipient, decisive_refusal, in_batches, in_pieces
from .refusal import Contradicted, Garbled, Insecure, Refused, Unsendable, check
from .reply import Reply
from .session import Session, close_session, open_session
from .shown import one_line
from .stage import Stage
from .step import Decide, Group, HangUp, Keep, Quiet, Script, Step, Transfer
from .verdict import Accepted, Failed, FailureKind, Left, Verdict

MAX_REPLIES = 1_048_576
"""Characters in all replies of a session, and `MAX_REPLIES_EACH` more for each recipient."""
MAX_REPLIES_EACH = 512
"""The length of a reply line in RFC 5321 §4.5.3.1.5."""
MAX_DETAIL = 500
"""Characters of a verdict's detail: a server's reply may have more than a line can show."""

BOLD_SIZE = 65_536
"""Octets of a mail that goes out before the server has said whether anybody may have it."""

_QUIET = Quiet()

# What a later attempt could change. The others need a change to the mail, or to the options.
_PASSING = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.PROTOCOL,
        FailureKind.CANCELLED,
    }
)


class Delivery:
    """One mail on its way through one session.

    Attributes:
        session: what is known of the session.
        has_begun: whether the server has answered the first command of this mail's.
    """

    # At first, once for all deliveries.
    has_begun = False
    _batch: Sequence[Recipient] = ()  # those of the transaction under way
    _decisive: Reply | None = None  # the reply to the mail data
    _left: Left | None = None
    _is_stuck = False  # nothing more can be said, once the verdict is out
    _is_unclear = False  # a reply may come that nobody would know to place
    _bold: Transfer | None = None  # that of the transaction under way
    _refusal: Refused | None = None  # of a bold one, whose chunk has no reply yet
    _is_chunk = False  # whether it goes out by BDAT, and could by DATA
    _is_bdat_refused = False
    _group: tuple[Command, ...] = ()  # commands that went out together
    _answered = 0  # how many of them were

    def __init__(
        self, session: Session, envelope: Envelope, content: Content, *, keeps: bool = False
    ) -> None:
        """Prepare a delivery.

        Args:
            session: what is known of the session. It may be open, with mails before this one.
            envelope: who sends, and to whom.
            content: the mail.
            keeps: leave the connection to the next mail, where that can be done.
        """
        self.session = session
        self._envelope = envelope
        self._content = content
        self._keeps = keeps
        self._recipients = [Recipient(path) for path in envelope.forward_paths]

    @property
    def max_replies(self) -> int:
        """Characters that all replies of this session may have together, up to the dot."""
        return MAX_REPLIES + MAX_REPLIES_EACH * len(self._recipients)

    def warn(self, warning: str) -> None:
        """Note what is odd but does not matter; once is enough."""
        if warning not in self.session.warnings:
            self.session.warnings += (warning,)

    def script(self) -> Script:
        """Converse from the greeting to QUIT, and decide on the way."""
        try:
            if self.session.is_open:
                self.session.warnings = self.session.warnings[: self.session.lasting]
            else:
                yield from open_session(self.session)
            yield from self._transact_all()
            yield Decide(self._accepted())
        except Refused as refused:
            yield Decide(self.refused(refused))
            if refused.ends_session:
                return
            if refused.stage is Stage.MAIL and _says_too_late(refused.reply):
                self._is_stuck = True  # "bad connection": of no use to the next mail either
        except Unsendable as unsendable:
            yield Decide(self.failed(FailureKind.LOCAL, unsendable.stage, str(unsendable)))
        except Insecure as insecure:
            yield Decide(
                self.failed(
                    FailureKind.SECURITY,
                    insecure.stage,
                    str(insecure),
                    retryable=insecure.is_passing,
                )
            )
            if insecure.farewell is not None:
                yield insecure.farewell
        except Contradicted as contradicted:
            yield Decide(self._contradicted(contradicted))
            return
        except Garbled as garbled:
            yield Decide(self.failed(FailureKind.PROTOCOL, garbled.stage, str(garbled)))
            if garbled.farewell is not None:
                yield garbled.farewell
            return
        if self._is_stuck or (yield from self._settle()) is not None:
            yield HangUp()
        if self._keeps and self._can_keep:
            yield Keep()
        yield from close_session()

    @property
    def _can_keep(self) -> bool:
        """Whether another mail may follow in this session."""
        session = self.session
        return (
            session.is_open
            and session.may_be_reused
            and not self._is_unclear
            and not session.is_used_up
        )

    def _transact_all(self) -> Script:
        """Say how to transfer the mail: in as few transactions as the limits allow (RFC 9422)."""
        session = self.session
        offer = make_offer(session, self._envelope, self._content)
        batches, left = in_batches(
            self._recipients,
            session.extensions,
            mails_before=session.mails,
            usual_max=len(self._recipients) if offer.is_read_once else USUAL_MAX,
        )
        if offer.is_read_once and len(batches) > 1:
            raise Unsendable(
                f"{self.session.server} takes the mail for {len(batches[0])} recipients at a time,"
                " and it can be read only once; give a path, or bytes"
            )
        if len(self._recipients) == 1 and not left:
            return self._transact(offer, batches[0])
        return self._transact_batches(offer, batches, left)

    def _transact_batches(
        self,
        offer: Offer,
        batches: Sequence[Sequence[Recipient]],
        left: Sequence[Recipient],
    ) -> Script:
        """Transfer the mail in as many transactions as it takes.

        After each at least one more recipient is decided, so there are never more than recipients.

        Args:
            offer: the mail.
            batches: the recipients of each transaction.
            left: those for whom the session has none.
        """
        session = self.session
        reason = f"takes {session.extensions.mail_max} mails in a session (LIMITS MAILMAX)"
        refusals: list[Refused] = []
        waiting = deque(batches)
        while waiting and not session.is_used_up:
            batch = waiting.popleft()
            for recipient in batch:
                recipient.ask_anew()
            try:
                yield from self._transact(offer, batch)
            except Refused as refused:
                if refused.ends_session:
                    raise
                for recipient in batch:
                    recipient.final = recipient.final or refused.reply
                refusals.append(refused)
                waiting = _without_those_too_many(waiting)
                if not waiting or session.is_used_up:
                    break
                stop = yield from self._clear(refused.reply)
                if stop is not None:
                    reason = f"can't begin another transaction ({one_line(str(stop), MAX_DETAIL)})"
                    break
            else:
                if any(r.is_one_too_many for r in batch) and not offer.is_read_once:
                    waiting, left = _with_those_too_many(batch, (*chain(*waiting), *left)), ()
        self._leave((*chain(*waiting), *left), reason)
        if self._decisive is None:
            raise next((r for r in refusals if r.cause is Meaning.TRANSIENT), refusals[-1])

    def _leave(self, left: Sequence[Recipient], reason: str) -> None:
        """Note for whom the session had no transaction."""
        if not left:
            return
        for recipient in left:
            recipient.ask_anew()
        warning = (
            f"{self.session.server} {reason}; {len(left)} of {len(self._recipients)}"
            " recipients not tried, send to them again"
        )
        self.warn(warning)
        # Where nobody was taken, and not for want of room, there is no hurry.
        if self._decisive is not None or self.session.is_used_up:
            self._left = Left(tuple(recipient.path for recipient in left), warning)

    def _clear(self, refusal: Reply) -> Generator[Step, Reply, Reply | None]:
        """Leave a transaction that was refused, so that another can begin (RFC 5321 §4.1.4).

        Args:
            refusal: the reply that refused it.

        Returns:
            The reply after which none can, or None.
        """
        reply = yield from self._settle()
        if reply is None:
            if self._is_unclear:
                return refusal
            reply = yield RSET
            if reply.is_positive:
                self.session.needs_reset = False
                return None
        if reply.code == CLOSING:
            raise Refused(Stage.MAIL, reply, Meaning.TRANSIENT)
        self._is_stuck = True
        return reply

    def _transact(self, offer: Offer, batch: Sequence[Recipient]) -> Script:
        """Run one mail transaction (RFC 5321 §3.3)."""
        session = self.session
        self._batch = batch
        self._is_chunk = offer.is_chunked and not offer.rendition.is_binary
        commands: list[Command] = []
        for recipient in batch:
            commands.append(offer.rcpt(recipient.path))  # noqa: PERF401 - a cell for each mail
        self._bold = None
        replies: tuple[Reply, ...] | None = None
        if session.extensions.pipelining:
            group = (*((RSET,) if session.needs_reset else ()), offer.mail, *commands)
            if self._is_bold(offer):
                self._bold = Transfer(offer.rendition, bdat(offer.size), before=group)
                yield self._bold
                for recipient in batch:
                    recipient.is_bold = True
                group = (*group, END_OF_DATA)
            else:
                if not offer.is_chunked:
                    group = (*group, DATA)
                step = Group(group)
                yield step
                replies = step.replies
                del step
            self._group, self._answered = group, 0
            del group
        if replies is not None:
            self._hear_all(batch, replies)
            # A mail may be on its way for minutes, and thousands with it: what is done with goes.
            del commands, replies
        else:
            try:
                if session.needs_reset:
                    self._hear_rset((yield RSET))
                reply = yield offer.mail
                self.has_begun = True
                session.mails += 1  # RFC 9422 §4.1: those that are refused count, too
                self._check_next(Stage.MAIL, reply)
                session.needs_reset = True
                for recipient, command in zip(batch, commands, strict=True):
                    self._hear_rcpt(recipient, (yield command))
                refusal = decisive_refusal(batch)
                if refusal is not None:
                    check(Stage.RCPT, refusal)
            except Refused as refused:
                if self._bold is not None:
                    yield from self._hear_out(self._bold, refused)
                raise
            if not (offer.is_chunked or self._bold):
                self._check_next(Stage.DATA, (yield DATA))
        if self._bold is not None:
            reply = yield END_OF_DATA
            self._answered += 1
        else:
            chunk = bdat(offer.size) if offer.is_chunked else None
            reply = yield Transfer(offer.rendition, chunk, self._verdicts(batch))
        yield from self._hear_verdict(offer, batch, reply)

    def _hear_out(self, bold: Transfer, refused: Refused) -> Script:
        """Hear all that a server says of a bold transaction that it has refused.

        The chunk went out with the command that was refused, so the server may have taken it all
        the same, and only its reply to the chunk can tell. To believe the refusal before would be
        to send the mail again that somebody has.

        Args:
            bold: the transaction's mail data.
            refused: the first refusal: of MAIL, or of all recipients.

        Raises:
            Contradicted: what the server says afterwards leaves doubt.
        """
        if refused.cause is Meaning.NONSENSE:
            return  # leaves doubt in any case
        self._refusal = refused
        server, group = self.session.server, self._group
        is_leaving = refused.reply.code == CLOSING
        while self._answered < len(group):
            if not is_leaving:
                reply = yield group[self._answered]
            else:
                more = cast("Reply | None", (yield _QUIET)) if bold.is_out else None
                if more is None:
                    break  # it leaves, and the rest is silence (RFC 5321 §3.8)
                reply = more
            command = group[self._answered]
            self._answered += 1
            if command is END_OF_DATA:
                # RFC 3030 §2: a server reads a chunk that it refuses to the end, and then says so.
                # One that does not (Exchange 2000) takes the mail for commands, and answers them.
                self._is_unclear = True
                self._is_stuck = reply.code == CLOSING
                said = "to the mail data"
            else:
                said = f"at {command.stage}, before it answered the mail data"
            if reply.code < 400 and (command is END_OF_DATA or not reply.is_positive):
                raise Contradicted(Stage.DOT, f"{server} said {reply} {said}")
            if reply.code == CLOSING and command is not END_OF_DATA and not is_leaving:
                detail = f"{server} said {reply} {said}"
                raise Contradicted(command.stage, detail, FailureKind.CONNECTION)
        self._refusal = None

    def _is_bold(self, offer: Offer) -> bool:
        """Whether all of a transaction goes out in one go.

        RFC 3030 §2 has the mail sent after all replies to MAIL and RCPT have been collected, and
        does not say that it must be. Exim and Google send it without, so servers know it.

        Only where connections are kept: there it is the round trips that cost time. And only a
        mail that is no great loss if it turns out that nobody may have it. Not after RSET: were
        that refused, and the rest obeyed, the mail would be taken in a session that is over.
        """
        return (
            self._keeps
            and not self.session.needs_reset
            and not self.session.quirks.speaks_unasked
            and offer.is_chunked
            and offer.size <= BOLD_SIZE
            and offer.rendition.data is not None
            and not self.session.is_lmtp
        )

    def _verdicts(self, batch: Sequence[Recipient]) -> tuple[Command, ...]:
        """Return a command for each reply to the mail data: in LMTP, one for each recipient."""
        if not self.session.is_lmtp:
            return (END_OF_DATA,)
        return (END_OF_DATA,) * sum(recipient.is_taken for recipient in batch)

    def _hear_verdict(self, offer: Offer, batch: Sequence[Recipient], reply: Reply) -> Script:
        """Hear what the server says of the mail data."""
        taken = [recipient for recipient in batch if recipient.is_taken]
        # A server that has refused the data may have done so before its end, and answer the end,
        # too. After a final dot that would be seen; after a chunk it would shift all replies.
        self._is_unclear = self.session.extensions.chunking
        # RFC 5321 §4.1.1.4: the dot ends the transaction, whatever comes of it.
        self.session.needs_reset = offer.is_chunked
        if self.session.is_lmtp:
            yield from self._hear_verdicts(taken, reply)
        else:
            check(Stage.DOT, reply)
            # Octets behind the verdict: which of the two would be the one? Then there is none.
            yield _QUIET
            self._note_acceptance(reply)
            for recipient in taken:
                recipient.final = reply
        self._is_unclear = self.session.needs_reset = False

    def _hear_verdicts(self, taken: Sequence[Recipient], reply: Reply) -> Script:
        """Hear one verdict for each recipient (RFC 2033 §4.2)."""
        before = self._decisive
        for recipient in taken:
            if recipient is not taken[0]:
                # Also after 421: it says nothing of the recipients that come after this one.
                reply = yield END_OF_DATA
            if meaning(Stage.DOT, reply.code) is Meaning.DOUBT:
                check(Stage.DOT, reply)
            recipient.final, recipient.is_final_own = reply, True
            if reply.is_positive:
                self._note_acceptance(reply)
        # Octets behind the last verdict: one of them all was none, and nobody knows which.
        verdicts, decisive = [recipient.final for recipient in taken], self._decisive
        self._take_back(taken, before)
        yield _QUIET
        self._decisive = decisive
        for recipient, verdict in zip(taken, verdicts, strict=True):
            recipient.final = verdict
        closing = [verdict for verdict in verdicts if verdict and verdict.code == CLOSING]
        refusal = closing[0] if closing else decisive_refusal(taken)
        if refusal is not None:
            check(Stage.DOT, refusal)

    def _take_back(self, taken: Sequence[Recipient], before: Reply | None) -> None:
        """Forget the verdicts of a transaction."""
        self._decisive = before
        for recipient in taken:
            recipient.final = None

    def _note_acceptance(self, reply: Reply) -> None:
        self._decisive = reply
        if reply.contradicts_itself:
            self.warn(
                f"{self.session.server} took the mail with a reply whose text says otherwise"
                f" (the code counts, RFC 2034 §4): {one_line(str(reply), MAX_DETAIL)}"
            )

    def _hear_all(self, batch: Sequence[Recipient], replies: tuple[Reply, ...]) -> None:
        """Hear that a group of commands was obeyed: all that come before the mail data."""
        self._group = ()
        self._answered = 0
        self.has_begun = True
        self.session.mails += 1
        first = 2 if self.session.needs_reset else 1
        for recipient, reply in zip(batch, replies[first:], strict=False):
            recipient.answer = reply
        self.session.needs_reset = True

    def _hear_rset(self, reply: Reply) -> None:
        """Hear whether the transaction before this one is forgotten (RFC 5321 §4.1.1.5).

        If not, that is no refusal of this mail, of which nothing was heard yet.
        """
        self._answered += 1
        if reply.code == CLOSING:
            check(Stage.MAIL, reply)
        if not reply.is_positive:
            raise Garbled(Stage.MAIL, f"{self.session.server} did not obey RSET: {reply}")
        self.session.needs_reset = False

    def _check_next(self, stage: Stage, reply: Reply) -> None:
        self._answered += 1
        check(stage, reply)

    def _hear_rcpt(self, recipient: Recipient, reply: Reply) -> None:
        self._answered += 1
        means = meaning(Stage.RCPT, reply.code)
        if means is Meaning.NONSENSE or reply.code == CLOSING:
            raise Refused(Stage.RCPT, reply, means)
        recipient.answer = reply
        if means is not Meaning.GO_ON:
            recipient.final = reply

    def _settle(self) -> Generator[Step, Reply, Reply | None]:
        """Take the replies still owed to a group after the mail was refused (RFC 2920 §3.1).

        Returns:
            The reply after which nothing more can be said, or None.
        """
        while self._answered < len(self._group):
            command = self._group[self._answered]
            self._answered += 1
            reply = yield command
            if reply.code == CLOSING:
                return reply
            if command is DATA and reply.is_intermediate:
                # The server wants mail data for nobody. RFC 2920 would end it with a lone dot, to
                # go on with the session. But a server that is broken in this way may take the
                # lone dot for a mail, an empty one, and we have said that it took none. This
                # session has nothing more to do, and without the dot nothing can be taken.
                return reply
        return None

    def humbler(self, failed: Failed) -> "Delivery | None":
        """Return another attempt that asks less of the server, or None if there is none.

        Args:
            failed: what this attempt came to. Nothing of the mail was sent in it.
        """
        if self._is_bdat_refused:
            session: Session | None = self.session.by_data(failed.detail)
        else:
            session = self.session.humbler(failed.kind, failed.stage, failed.detail)
        if session is None:
            return None
        return Delivery(session, self._envelope, self._content, keeps=self._keeps)

    def elsewhere(self, failed: Failed, address: str) -> "Delivery | None":
        """Return another attempt, for the server's next address, or None if that can't help.

        Args:
            failed: what this attempt came to.
            address: where it was.
        """
        if not is_of_the_address(failed):
            return None
        session = self.session.elsewhere(address, failed.detail)
        return Delivery(session, self._envelope, self._content, keeps=self._keeps)

    def came_too_late(self, failed: Failed) -> bool:
        """Whether the session was over before the server had heard of this mail.

        A server may leave at any time between two mails, and say so by 421, or with the enhanced
        status code X.4.2, "bad connection" (RFC 3463 §3.5), as Amazon's does. So it is where the
        session can't be used for another mail: RSET was refused, or rubbish came.

        Args:
            failed: what this attempt came to, in a session that had mails before.
        """
        if failed.maybe_accepted:
            return False
        if failed.reply is not None:
            return failed.stage is Stage.MAIL and _says_too_late(failed.reply)
        is_broken = failed.kind in (FailureKind.CONNECTION, FailureKind.PROTOCOL)
        return is_broken and not self.has_begun

    # Verdicts.

    def _accepted(self) -> Accepted:
        """Sum up: the server took the mail, for somebody at least."""
        assert self._decisive is not None
        return Accepted(
            reply=self._decisive,
            recipients=tuple(
                [r.result(None, retryable=True, maybe_accepted=False) for r in self._recipients]
            ),
            warnings=self.session.warnings,
            left=self._left,
        )

    def refused_uncalled(self, stage: Stage, reply: Reply) -> Verdict:
        """Judge a refusal that came without being owed: in the mail data, or 421 anywhere."""
        return self.refused(self._refusal or Refused(stage, reply, meaning(stage, reply.code)))

    def refused(self, refused: Refused) -> Verdict:
        """Judge a reply that ends the mail's way."""
        cause, reply, stage = refused.cause, refused.reply, refused.stage
        if cause is Meaning.NONSENSE and self._bold is not None and self._bold.is_out:
            cause = Meaning.DOUBT  # it makes no sense of the mail either, which the server has
        kind, retryable, maybe_accepted = cause.failure
        detail = self._describe(kind, stage, reply)
        if refused.detail and kind is FailureKind.SMTP:
            detail = refused.detail
        if self._is_chunk and stage in (Stage.BODY, Stage.DOT) and self._means_bdat(reply):
            self._is_bdat_refused = True
            detail = f"{self.session.server} offers CHUNKING, but refused BDAT: {reply}"
        if kind is FailureKind.SMTP:
            # Before the first transaction it concerns them all.
            for recipient in self._batch or self._recipients:
                recipient.final = recipient.final or reply
            retryable = retryable or any(r.final is None for r in self._recipients)
        return self._failed(
            kind,
            stage,
            detail,
            retryable=retryable,
            retryable_undecided=True,
            maybe_accepted=maybe_accepted,
            reply=reply,
            reply_to_undecided=reply if refused.ends_session and not maybe_accepted else None,
        )

    def _means_bdat(self, reply: Reply) -> bool:
        """Whether a refusal is one of the command, not of the mail, for all recipients."""
        finals = [r.final or reply for r in self._batch if r.answer and r.answer.is_positive]
        return all(final.code in COMMAND_UNKNOWN for final in finals)

    def _contradicted(self, contradicted: Contradicted) -> Verdict:
        """Judge a bold transaction that was refused, and perhaps taken."""
        bold, refused = self._bold, self._refusal
        assert bold is not None
        assert refused is not None
        if not bold.is_out:
            return self.refused(refused)  # whatever it says: it can't have the mail
        if contradicted.kind is FailureKind.PROTOCOL:
            # It may well have been a reply too many, late, that was taken for the refusal.
            self.session.quirks.speaks_unasked = True
        detail = self._take_refusal_back(refused, str(contradicted))
        return self.failed(contradicted.kind, contradicted.stage, detail, maybe_accepted=True)

    def _take_refusal_back(self, refused: Refused, detail: str) -> str:
        """Leave all recipients of a refused transaction in doubt; return what to say of it.

        Their own replies are no truth either: they may be those to other commands.
        """
        self._refusal = None
        for recipient in self._batch:
            recipient.answer = recipient.final = None
        return f"{self._describe(FailureKind.SMTP, refused.stage, refused.reply)}; but {detail}"

    def _describe(self, kind: FailureKind, stage: Stage, reply: Reply) -> str:
        server, paths = self.session.server, self._envelope.forward_paths
        if kind is FailureKind.PROTOCOL:
            return f"{server} broke the protocol at {stage}: it answered {reply}"
        if len(self._batch) not in (0, len(paths)) and reply.code != CLOSING:
            return f"{server} took the mail for nobody, one refusal was at {stage}: {reply}"
        if stage is Stage.RCPT and reply.code != CLOSING:
            if len(paths) > 1:
                return f"{server} refused all {len(paths)} recipients, one with: {reply}"
            return f"{server} refused the recipient {next(iter(paths))}: {reply}"
        if stage is Stage.GREETING:
            return f"{server} takes no mail: {reply}"
        if stage is Stage.AUTH:
            return f"{server} refused the credentials: {reply}"
        return f"{server} refused the mail at {stage}: {reply}"

    def failed(
        self,
        kind: FailureKind,
        stage: Stage,
        detail: str,
        *,
        maybe_accepted: bool = False,
        operation: str | None = None,
        errno: int | None = None,
        retryable: bool | None = None,
    ) -> Verdict:
        """Build the verdict for a failure that no reply announced.

        Args:
            kind: why.
            stage: how far the session had come.
            detail: one line for people.
            maybe_accepted: whether the final dot may have reached the server.
            operation: the system operation that failed.
            errno: its error number.
            retryable: overrides what follows from the kind.
        """
        if kind is FailureKind.CONNECTION and self.session.refused is not None:
            return self.refused(self.session.refused)  # its words are the cause, not that it left
        if self._refusal is not None:
            if not maybe_accepted or self._refusal.reply.code == CLOSING:
                return self.refused(self._refusal)
            detail = self._take_refusal_back(self._refusal, detail)
        passing = kind in _PASSING if retryable is None else retryable
        # After a dot that was answered, what comes is another transaction's affair.
        maybe_accepted = maybe_accepted and any(r.may_have_it for r in self._recipients)
        return self._failed(
            kind,
            stage,
            detail,
            # Another attempt at a mail that may be there already can make a duplicate.
            retryable=passing and not maybe_accepted,
            retryable_undecided=passing,
            maybe_accepted=maybe_accepted,
            operation=operation,
            errno=errno,
        )

    def _failed(
        self,
        kind: FailureKind,
        stage: Stage,
        detail: str,
        *,
        retryable: bool,
        retryable_undecided: bool,
        maybe_accepted: bool,
        reply: Reply | None = None,
        reply_to_undecided: Reply | None = None,
        operation: str | None = None,
        errno: int | None = None,
    ) -> Verdict:
        recipients = tuple(
            recipient.result(
                reply_to_undecided, retryable=retryable_undecided, maybe_accepted=maybe_accepted
            )
            for recipient in self._recipients
        )
        if self.session.earlier and self._decisive is None:
            detail = f"{detail}; before that: {self.session.earlier}"
        detail = one_line(detail, MAX_DETAIL)
        if maybe_accepted:
            detail = f"{detail}; the mail may have been accepted"
        if self._decisive is not None:
            # Some have the mail already: for them, what came later is at most a warning.
            warnings = (*self.session.warnings, detail)
            return Accepted(reply=self._decisive, recipients=recipients, warnings=warnings)
        return Failed(
            kind=kind,
            stage=stage,
            detail=detail,
            retryable=retryable,
            maybe_accepted=maybe_accepted,
            reply=reply,
            operation=operation,
            errno=errno,
            recipients=recipients,
            warnings=self.session.warnings,
            left=self._left,
        )


def _says_too_late(reply: Reply) -> bool:
    """Whether a reply to MAIL says that the connection has been idle for too long."""
    return reply.code == CLOSING or (reply.enhanced or "").endswith(".4.2")


def _with_those_too_many(
    batch: Sequence[Recipient], rest: Sequence[Recipient]
) -> deque[Sequence[Recipient]]:
    """Return the transactions that follow one which was accepted, but not for all.

    Args:
        batch: its recipients.
        rest: all that come after them.
    """
    many = [recipient for recipient in batch if recipient.is_one_too_many]
    # So many it takes: to offer it more each time would only have them refused each time.
    taken = sum(r.answer is not None and r.answer.is_positive for r in batch)
    return deque(in_pieces([*many, *rest], max(taken, 1)))


def _without_those_too_many(batches: Iterable[Sequence[Recipient]]) -> deque[Sequence[Recipient]]:
    """Return the transactions that follow one which was refused.

    Those who were too many before then have to wait: that they would not be now is not to be seen.
    """
    kept = ([r for r in batch if not r.is_one_too_many] for batch in batches)
    return deque(batch for batch in kept if batch)
