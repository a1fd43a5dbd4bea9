"""The delivery of one mail: the script of a session, from the greeting to QUIT."""

from collections import deque
from collections.abc import Sequence
from itertools import chain

from ...mail.content import Content
from ...mail.envelope import Envelope
from ...words.classification import SERVICE_CLOSING, ReplyClass
from ...words.reply import Reply
from ...words.shown import one_line
from ...words.stage import Stage
from ...words.verdict import MAX_DETAIL, Failed, FailureKind, Left
from ..next_address import is_of_the_address
from ..opening.session import Session, close_session, open_session
from ..refusal import Contradicted, ProtocolViolation, Refused, SecurityTooWeak, Unsendable
from ..step import Abort, Release, ReportVerdict, Script
from .judgement import Judgement
from .parameters import PreparedMail, prepare
from .recipients import (
    DEFAULT_RCPT_MAX,
    Recipient,
    batches_after_acceptance,
    batches_after_refusal,
    split_into_transactions,
)
from .transaction import Transaction

MAX_REPLIES = 1_048_576
"""Characters in all replies of a session, and `MAX_REPLIES_EACH` more for each recipient."""
MAX_REPLIES_EACH = 512
"""The length of a reply line in RFC 5321 §4.5.3.1.5."""


class Delivery(Judgement):
    """One mail on its way through one session.

    Attributes:
        session: what is known of the session.
    """

    # At first, once for all deliveries.
    _transaction: Transaction | None = None
    _left: Left | None = None
    _is_bdat_refused = False

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
    def has_reply(self) -> bool:
        """Whether the server has answered the first command of this mail's."""
        return self._transaction is not None and self._transaction.has_reply

    @property
    def max_replies(self) -> int:
        """Characters that all replies of this session may have together, up to the dot."""
        return MAX_REPLIES + MAX_REPLIES_EACH * len(self._recipients)

    def script(self) -> Script:
        """Converse from the greeting to QUIT, and decide on the way."""
        is_stuck = False
        try:
            if self.session.is_open:
                self.session.warnings = self.session.warnings[: self.session.session_warnings]
                self.session.earlier = ""  # no cause of what becomes of another mail in it
            else:
                yield from open_session(self.session)
            yield from self._transact_all()
            yield ReportVerdict(self._accepted())
        except Refused as refused:
            yield ReportVerdict(self.refused(refused))
            if refused.ends_session:
                return
            # "Bad connection": of no use to the next mail either.
            is_stuck = refused.stage is Stage.MAIL and _says_too_late(refused.reply)
        except Unsendable as unsendable:
            yield ReportVerdict(self.failed(FailureKind.LOCAL, unsendable.stage, str(unsendable)))
        except SecurityTooWeak as insecure:
            yield ReportVerdict(
                self.failed(
                    FailureKind.SECURITY,
                    insecure.stage,
                    str(insecure),
                    retryable=insecure.is_passing,
                )
            )
            if insecure.last_command is not None:
                yield insecure.last_command
        except Contradicted as contradicted:
            yield ReportVerdict(self._contradicted(contradicted))
            return
        except ProtocolViolation as garbled:
            yield ReportVerdict(self.failed(FailureKind.PROTOCOL, garbled.stage, str(garbled)))
            if garbled.last_command is not None:
                yield garbled.last_command
            return
        transaction = self._transaction
        if transaction is not None and (
            is_stuck or transaction.is_stuck or (yield from transaction.settle()) is not None
        ):
            yield Abort()
        if self._keeps and self._can_keep:
            yield Release()
        yield from close_session()

    @property
    def _can_keep(self) -> bool:
        """Whether another mail may follow in this session."""
        session, transaction = self.session, self._transaction
        return (
            session.is_open
            and session.may_be_reused
            and not (transaction is not None and transaction.is_unclear)
            and not session.is_used_up
        )

    def _transact_all(self) -> Script:
        """Say how to transfer the mail: in as few transactions as the limits allow (RFC 9422)."""
        session = self.session
        offer = prepare(session, self._envelope, self._content)
        batches, left = split_into_transactions(
            self._recipients,
            session.extensions,
            mails_before=session.mails,
            usual_max=len(self._recipients) if offer.is_read_once else DEFAULT_RCPT_MAX,
        )
        if offer.is_read_once and len(batches) > 1:
            raise Unsendable(
                f"{self.session.server} takes the mail for {len(batches[0])} recipients at a time,"
                " and it can be read only once; give a path, or bytes"
            )
        if len(self._recipients) == 1 and not left:
            self._transaction = transaction = Transaction(session, batches[0])
            return transaction.script(offer, may_be_speculative=self._keeps)
        return self._transact_batches(offer, batches, left)

    def _transact_batches(
        self,
        offer: PreparedMail,
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
            transaction = self._transaction = Transaction(session, batch, self._transaction)
            try:
                yield from transaction.script(offer, may_be_speculative=self._keeps)
            except Refused as refused:
                if refused.ends_session:
                    raise
                for recipient in batch:
                    recipient.final = recipient.final or refused.reply
                refusals.append(refused)
                waiting = deque(batches_after_refusal(waiting))
                if not waiting or session.is_used_up:
                    break
                stop = yield from transaction.leave(refused.reply)
                if stop is not None:
                    reason = f"can't begin another transaction ({one_line(str(stop), MAX_DETAIL)})"
                    break
            else:
                if any(r.is_one_too_many for r in batch) and not offer.is_read_once:
                    rest = (*chain(*waiting), *left)
                    waiting, left = deque(batches_after_acceptance(batch, rest)), ()
        self._leave((*chain(*waiting), *left), reason)
        if self._acceptance is None:
            raise next((r for r in refusals if r.cause is ReplyClass.TRANSIENT), refusals[-1])

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
        self.session.warn(warning)
        # Where no recipient was accepted, and not for want of room, there is no hurry.
        if self._acceptance is not None or self.session.is_used_up:
            self._left = Left(tuple(recipient.path for recipient in left), warning)

    def fallback(self, failed: Failed) -> "Delivery | None":
        """Return another attempt that asks less of the server, or None if there is none.

        Args:
            failed: what this attempt came to. Nothing of the mail was sent in it.
        """
        if self._is_bdat_refused:
            session: Session | None = self.session.by_data(failed.detail)
        else:
            session = self.session.fallback(failed.kind, failed.stage, failed.detail)
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

    def session_was_stale(self, failed: Failed) -> bool:
        """Whether the session was over before the server read any of this email.

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
        return is_broken and not self.has_reply


def _says_too_late(reply: Reply) -> bool:
    """Whether a reply to MAIL says that the connection has been idle for too long."""
    return reply.code == SERVICE_CLOSING or (reply.enhanced or "").endswith(".4.2")
