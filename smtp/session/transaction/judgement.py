"""The verdict on an email, made from the replies of a session or from how the session ended."""

from collections.abc import Sequence

from ...mail.envelope import Envelope
from ...words.classification import COMMAND_UNKNOWN, SERVICE_CLOSING, ReplyClass, classify
from ...words.reply import Reply
from ...words.shown import one_line
from ...words.stage import Stage
from ...words.verdict import MAX_DETAIL, Accepted, Failed, FailureKind, Left, Verdict
from ..opening.session import Session
from ..refusal import Contradicted, Refused
from .recipients import Recipient
from .transaction import Transaction

# Failures that a retry could change. The others need a change to the email, or to the options.
_RETRYABLE = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.PROTOCOL,
        FailureKind.CANCELLED,
    }
)


class Judgement:
    """The half of a `Delivery` that makes verdicts. It sends nothing.

    Attributes:
        session: the state of the session.
    """

    session: Session
    _envelope: Envelope
    _recipients: list[Recipient]
    _transaction: Transaction | None  # the current or the last one
    _left: Left | None
    _is_bdat_refused: bool

    @property
    def _acceptance(self) -> Reply | None:
        return None if self._transaction is None else self._transaction.acceptance

    @property
    def _batch(self) -> Sequence[Recipient]:
        """The recipients that a reply concerns now: before the first transaction, all of them."""
        return self._recipients if self._transaction is None else self._transaction.batch

    def _accepted(self) -> Accepted:
        """Return the verdict for an email that was accepted for at least one recipient."""
        acceptance = self._acceptance
        assert acceptance is not None
        return Accepted(
            reply=acceptance,
            recipients=tuple(
                [r.result(None, retryable=True, maybe_accepted=False) for r in self._recipients]
            ),
            warnings=self.session.warnings,
            left=self._left,
        )

    def discard_last_final_reply(self) -> bool:
        """Treat the final reply of the previous transaction, if there was one, as not received.

        Its recipients are `maybe_accepted` then.

        Returns:
            Whether there was one.
        """
        return self._transaction is not None and self._transaction.discard_final_replies()

    def rejected_unsolicited(self, stage: Stage, reply: Reply) -> Verdict:
        """Return the verdict for an unsolicited rejection: amid the mail data, or 421 anywhere."""
        before = None if self._transaction is None else self._transaction.refusal
        return self.refused(before or Refused(stage, reply, classify(stage, reply.code)))

    def refused(self, refused: Refused) -> Verdict:
        """Return the verdict for a reply that ended the delivery."""
        cause, reply, stage = refused.cause, refused.reply, refused.stage
        transaction = self._transaction
        speculative = None if transaction is None else transaction.speculative
        if cause is ReplyClass.UNEXPECTED and speculative is not None and speculative.is_out:
            # The server has the complete email, and an invalid reply does not say whether it
            # accepted it.
            cause = ReplyClass.AMBIGUOUS
        kind, retryable, maybe_accepted = cause.failure
        detail = self._describe(kind, stage, reply)
        if refused.detail and kind is FailureKind.SMTP:
            detail = refused.detail
        if (
            transaction is not None
            and not transaction.is_binary
            and self._is_of_chunk(stage)
            and _means_bdat(transaction.batch, reply)
        ):
            self._is_bdat_refused = True
            detail = f"{self.session.server} offers CHUNKING, but refused BDAT: {reply}"
        if kind is FailureKind.SMTP:
            for recipient in self._batch:
                recipient.final_reply = recipient.final_reply or reply
            retryable = retryable or any(r.final_reply is None for r in self._recipients)
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

    def _contradicted(self, contradicted: Contradicted) -> Verdict:
        """Return the verdict for a speculative transfer that was rejected, but maybe accepted."""
        transaction = self._transaction
        assert transaction is not None
        speculative, refused = transaction.speculative, transaction.refusal
        assert speculative is not None
        assert refused is not None
        if not speculative.is_out:
            return self.refused(refused)  # the server does not have the complete email
        if contradicted.kind is FailureKind.PROTOCOL:
            # What was taken for the rejection may have been a late unsolicited reply.
            self.session.quirks.sends_unsolicited = True
        transaction.discard_all_replies()
        detail = self._describe_doubt(refused, str(contradicted))
        return self.failed(contradicted.kind, contradicted.stage, detail, maybe_accepted=True)

    def _describe_doubt(self, refused: Refused, detail: str) -> str:
        return f"{self._describe(FailureKind.SMTP, refused.stage, refused.reply)}; but {detail}"

    def _describe(self, kind: FailureKind, stage: Stage, reply: Reply) -> str:
        server, paths = self.session.server, self._envelope.forward_paths
        command = "BDAT" if self._is_of_chunk(stage) else stage
        if kind is FailureKind.PROTOCOL:
            return f"{server} broke the protocol at {stage}: it answered {reply}"
        if len(self._batch) != len(paths) and reply.code != SERVICE_CLOSING:
            example = f"for example, at {command}: {reply}"
            return f"{server} accepted none of {len(paths)} recipients; {example}"
        if stage is Stage.RCPT and reply.code != SERVICE_CLOSING:
            if len(paths) > 1:
                return f"{server} refused all {len(paths)} recipients, one with: {reply}"
            return f"{server} refused the recipient {next(iter(paths))}: {reply}"
        if stage is Stage.GREETING:
            return f"{server} takes no mail: {reply}"
        if stage is Stage.AUTH:
            return f"{server} refused the credentials: {reply}"
        return f"{server} refused the email at {command}: {reply}"

    def _is_of_chunk(self, stage: Stage) -> bool:
        """Whether a reply of this stage is the reply to BDAT."""
        transaction = self._transaction
        is_chunk = transaction is not None and transaction.is_chunk
        return is_chunk and stage in (Stage.BODY, Stage.DOT)

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
        """Return the verdict for a failure without a reply.

        Args:
            kind: why.
            stage: how far the session had come.
            detail: one line for people.
            maybe_accepted: whether the end of the mail data may have reached the server.
            operation: the system operation that failed, or None.
            errno: its error number, or None.
            retryable: overrides the default of the kind.
        """
        if kind is FailureKind.CONNECTION and self.session.refused is not None:
            return self.refused(self.session.refused)  # the cause; closing is its consequence
        transaction = self._transaction
        if (
            kind is FailureKind.CONNECTION
            and transaction is not None
            and transaction.is_without_reply
        ):
            self.session.quirks.closes_without_reply = True
        if transaction is not None and (refused := transaction.refusal) is not None:
            if not maybe_accepted or refused.reply.code == SERVICE_CLOSING:
                return self.refused(refused)
            transaction.discard_all_replies()
            detail = self._describe_doubt(refused, detail)
        is_retryable = kind in _RETRYABLE if retryable is None else retryable
        # Once all recipients have a final reply, a failure does not make the email doubtful.
        maybe_accepted = maybe_accepted and any(r.may_be_accepted for r in self._recipients)
        return self._failed(
            kind,
            stage,
            detail,
            # A retry of an email that may have been accepted can make a duplicate.
            retryable=is_retryable and not maybe_accepted,
            retryable_undecided=is_retryable,
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
        acceptance = self._acceptance
        if self.session.earlier and acceptance is None:
            detail = f"{detail}; before that: {self.session.earlier}"
        if self.session.first and acceptance is None:
            detail = f"{self.session.first}; then: {detail}"
        detail = one_line(detail, MAX_DETAIL)
        if maybe_accepted:
            detail = f"{detail}; the email may have been accepted"
        if acceptance is not None:
            # Accepted for some recipients already: to them, a later failure is only a warning.
            warnings = (*self.session.warnings, detail)
            return Accepted(reply=acceptance, recipients=recipients, warnings=warnings)
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


def _means_bdat(batch: Sequence[Recipient], reply: Reply) -> bool:
    """Whether a rejection is of the command BDAT, and not of the email, for all recipients."""
    finals = [r.final_reply or reply for r in batch if r.rcpt_reply and r.rcpt_reply.is_positive]
    return all(final.code in COMMAND_UNKNOWN for final in finals)
