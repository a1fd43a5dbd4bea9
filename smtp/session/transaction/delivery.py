"""The delivery of one email: the script of a session, from the greeting to QUIT."""

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
"""Octets of all replies in a session, to which `MAX_REPLIES_EACH` is added for each recipient."""
MAX_REPLIES_EACH = 512
"""Octets of one reply line (RFC 5321 §4.5.3.1.5)."""


class Delivery(Judgement):
    """The delivery of one email in one session.

    Attributes:
        session: the state of the session.
    """

    # Initial values are on the class: most deliveries never change them.
    _transaction: Transaction | None = None
    _left: Left | None = None
    _is_bdat_refused = False

    def __init__(
        self, session: Session, envelope: Envelope, content: Content, *, keep_open: bool = False
    ) -> None:
        """Prepare a delivery.

        Args:
            session: the state of the session, which may be open after earlier emails.
            envelope: the sender, the recipients, and the requested options.
            content: the content of the email.
            keep_open: leave the connection open for the next email, if possible.
        """
        self.session = session
        self._envelope = envelope
        self._content = content
        self._keep_open = keep_open
        self._recipients = [Recipient(path) for path in envelope.forward_paths]

    @property
    def has_reply(self) -> bool:
        """Whether the first command of this email has a reply."""
        return self._transaction is not None and self._transaction.has_reply

    @property
    def max_replies(self) -> int:
        """Octets of all replies of the session. See `SessionPolicy.max_replies`."""
        return MAX_REPLIES + MAX_REPLIES_EACH * len(self._recipients)

    def script(self) -> Script:
        """Return the steps from the greeting to QUIT, one of which reports the verdict."""
        must_abort = False
        try:
            if self.session.is_open:
                self.session.warnings = self.session.warnings[: self.session.session_warnings]
                self.session.earlier = ""  # does not concern later emails in the session
            else:
                yield from open_session(self.session)
            yield from self._transact_all()
            yield ReportVerdict(self._accepted())
        except Refused as refused:
            yield ReportVerdict(self.refused(refused))
            if refused.ends_session:
                return
            # X.4.2 "bad connection": not usable for the next email either.
            must_abort = refused.stage is Stage.MAIL and _says_too_late(refused.reply)
        except Unsendable as unsendable:
            yield ReportVerdict(self.failed(FailureKind.LOCAL, unsendable.stage, str(unsendable)))
        except SecurityTooWeak as too_weak:
            yield ReportVerdict(
                self.failed(
                    FailureKind.SECURITY,
                    too_weak.stage,
                    str(too_weak),
                    retryable=too_weak.is_retryable,
                )
            )
            if too_weak.last_command is not None:
                yield too_weak.last_command
        except Contradicted as contradicted:
            yield ReportVerdict(self._contradicted(contradicted))
            return
        except ProtocolViolation as violation:
            yield ReportVerdict(self.failed(FailureKind.PROTOCOL, violation.stage, str(violation)))
            if violation.last_command is not None:
                yield violation.last_command
            return
        transaction = self._transaction
        if transaction is not None and (
            must_abort
            or transaction.must_abort
            or (yield from transaction.read_outstanding_replies()) is not None
        ):
            yield Abort()
        if self._keep_open and self._can_be_kept_open:
            yield Release()
        yield from close_session()

    @property
    def _can_be_kept_open(self) -> bool:
        """Whether another email may follow in this session."""
        session, transaction = self.session, self._transaction
        return (
            session.is_open
            and session.may_be_reused
            and not (transaction is not None and transaction.may_be_desynchronized)
            and not session.is_used_up
        )

    def _transact_all(self) -> Script:
        """Return the script for as few transactions as the server's limits allow (RFC 9422)."""
        session = self.session
        prepared = prepare(session, self._envelope, self._content)
        batches, left = split_into_transactions(
            self._recipients,
            session.extensions,
            transactions_before=session.transactions,
            usual_max=len(self._recipients) if prepared.is_read_once else DEFAULT_RCPT_MAX,
        )
        if prepared.is_read_once and len(batches) > 1:
            raise Unsendable(
                f"{self.session.server} accepts {len(batches[0])} recipients at a time, and the"
                " email can be read only once; give a path, or bytes"
            )
        if len(self._recipients) == 1 and not left:
            self._transaction = transaction = Transaction(session, batches[0])
            return transaction.script(prepared, may_be_speculative=self._keep_open)
        return self._transact_batches(prepared, batches, left)

    def _transact_batches(
        self,
        prepared: PreparedMail,
        batches: Sequence[Sequence[Recipient]],
        left: Sequence[Recipient],
    ) -> Script:
        """Send the email in several transactions.

        Each decides at least one recipient, so there are at most as many as recipients.

        Args:
            prepared: the email, prepared for this server.
            batches: the recipients of each transaction.
            left: the recipients over the session's limit of transactions.
        """
        session = self.session
        reason = f"takes {session.extensions.mail_max} emails in a session (LIMITS MAILMAX)"
        refusals: list[Refused] = []
        waiting = deque(batches)
        while waiting and not session.is_used_up:
            batch = waiting.popleft()
            for recipient in batch:
                recipient.reset_if_over_limit()
            transaction = self._transaction = Transaction(session, batch, self._transaction)
            try:
                yield from transaction.script(prepared, may_be_speculative=self._keep_open)
            except Refused as refused:
                if refused.ends_session:
                    raise
                for recipient in batch:
                    recipient.final_reply = recipient.final_reply or refused.reply
                refusals.append(refused)
                waiting = deque(batches_after_refusal(waiting))
                if not waiting or session.is_used_up:
                    break
                stop = yield from transaction.reset(refused.reply)
                if stop is not None:
                    reason = f"can't begin another transaction ({one_line(str(stop), MAX_DETAIL)})"
                    break
            else:
                if any(r.is_over_limit for r in batch) and not prepared.is_read_once:
                    rest = (*chain(*waiting), *left)
                    waiting, left = deque(batches_after_acceptance(batch, rest)), ()
        self._set_left((*chain(*waiting), *left), reason)
        if self._acceptance is None:
            raise next((r for r in refusals if r.cause is ReplyClass.TRANSIENT), refusals[-1])

    def _set_left(self, left: Sequence[Recipient], reason: str) -> None:
        """Store the recipients for which the session had no transaction, with a warning."""
        if not left:
            return
        for recipient in left:
            recipient.reset_if_over_limit()
        warning = (
            f"{self.session.server} {reason}; {len(left)} of {len(self._recipients)}"
            " recipients not tried, send to them again"
        )
        self.session.warn(warning)
        # Another session may continue at once, unless the server just accepts no recipient now.
        if self._acceptance is not None or self.session.is_used_up:
            self._left = Left(tuple(recipient.path for recipient in left), warning)

    def fallback(self, failed: Failed) -> "Delivery | None":
        """Return a delivery that requires less of the server, or None if there is none.

        Args:
            failed: the verdict of this one, in which nothing of the email was accepted.
        """
        if self._is_bdat_refused:
            session: Session | None = self.session.by_data(failed.detail)
        else:
            session = self.session.fallback(failed.kind, failed.stage, failed.detail)
        if session is None:
            return None
        return Delivery(session, self._envelope, self._content, keep_open=self._keep_open)

    def elsewhere(self, failed: Failed, address: str) -> "Delivery | None":
        """Return a delivery for the server's next address, or None if that can't help.

        Args:
            failed: the verdict of this one.
            address: the address of this one's connection.
        """
        if not is_of_the_address(failed):
            return None
        session = self.session.elsewhere(address, failed.detail)
        return Delivery(session, self._envelope, self._content, keep_open=self._keep_open)

    def session_was_stale(self, failed: Failed) -> bool:
        """Whether the session was over before the server read any of this email.

        A server may close the session at any time between two emails. It may say so by 421, or by
        the enhanced status code X.4.2, "bad connection" (RFC 3463 §3.5), as Amazon's does. A
        rejected RSET, or an invalid reply before any reply to this email, counts as the same.

        Args:
            failed: the verdict of this delivery, in a session that had emails before.
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
