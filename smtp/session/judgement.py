"""What a mail has come to in a session: the verdict that its replies, or its end, make."""

from collections.abc import Sequence

from ..mail.envelope import Envelope
from ..words.classification import COMMAND_UNKNOWN, SERVICE_CLOSING, ReplyClass, classify
from ..words.reply import Reply
from ..words.shown import one_line
from ..words.stage import Stage
from ..words.verdict import MAX_DETAIL, Accepted, Failed, FailureKind, Left, Verdict
from .recipients import Recipient
from .refusal import Contradicted, Refused
from .session import Session
from .transaction import Transaction

# What a later attempt could change. The others need a change to the mail, or to the options.
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
    """The half of a `Delivery` that makes verdicts. It says nothing to the server.

    Attributes:
        session: what is known of the session.
    """

    session: Session
    _envelope: Envelope
    _recipients: list[Recipient]
    _transaction: Transaction | None  # the one under way, or the last
    _left: Left | None
    _is_bdat_refused: bool

    @property
    def _acceptance(self) -> Reply | None:
        return None if self._transaction is None else self._transaction.acceptance

    @property
    def _batch(self) -> Sequence[Recipient]:
        """The recipients whom a reply now concerns: before the first transaction, all of them."""
        return self._recipients if self._transaction is None else self._transaction.batch

    def _accepted(self) -> Accepted:
        """Sum up: the server took the mail, for somebody at least."""
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

    def doubt_last(self) -> bool:
        """Leave in doubt for whom the transaction before this one was taken, if there was one.

        Returns:
            Whether there was.
        """
        return self._transaction is not None and self._transaction.take_last_back()

    def rejected_unsolicited(self, stage: Stage, reply: Reply) -> Verdict:
        """Judge a refusal that came without being owed: in the mail data, or 421 anywhere."""
        before = None if self._transaction is None else self._transaction.refusal
        return self.refused(before or Refused(stage, reply, classify(stage, reply.code)))

    def refused(self, refused: Refused) -> Verdict:
        """Judge a reply that ends the mail's way."""
        cause, reply, stage = refused.cause, refused.reply, refused.stage
        transaction = self._transaction
        speculative = None if transaction is None else transaction.speculative
        if cause is ReplyClass.UNEXPECTED and speculative is not None and speculative.is_out:
            cause = (
                ReplyClass.AMBIGUOUS
            )  # it makes no sense of the mail either, which the server has
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

    def _contradicted(self, contradicted: Contradicted) -> Verdict:
        """Judge a speculative transaction that was refused, and perhaps taken."""
        transaction = self._transaction
        assert transaction is not None
        speculative, refused = transaction.speculative, transaction.refusal
        assert speculative is not None
        assert refused is not None
        if not speculative.is_out:
            return self.refused(refused)  # whatever it says: it can't have the mail
        if contradicted.kind is FailureKind.PROTOCOL:
            # It may well have been a reply too many, late, that was taken for the refusal.
            self.session.quirks.speaks_unasked = True
        transaction.take_refusal_back()
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
        return f"{server} refused the mail at {command}: {reply}"

    def _is_of_chunk(self, stage: Stage) -> bool:
        """Whether a reply of this stage is the one to BDAT: there is no dot then."""
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
        transaction = self._transaction
        if kind is FailureKind.CONNECTION and transaction is not None and transaction.is_unheard:
            self.session.quirks.leaves_unsaid = True
        if transaction is not None and (refused := transaction.refusal) is not None:
            if not maybe_accepted or refused.reply.code == SERVICE_CLOSING:
                return self.refused(refused)
            transaction.take_refusal_back()
            detail = self._describe_doubt(refused, detail)
        retryable_kinds = kind in _RETRYABLE if retryable is None else retryable
        # After a dot that was answered, what comes is another transaction's affair.
        maybe_accepted = maybe_accepted and any(r.may_be_accepted for r in self._recipients)
        return self._failed(
            kind,
            stage,
            detail,
            # Another attempt at a mail that may be there already can make a duplicate.
            retryable=retryable_kinds and not maybe_accepted,
            retryable_undecided=retryable_kinds,
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
            detail = f"{detail}; the mail may have been accepted"
        if acceptance is not None:
            # Some have the mail already: for them, what came later is at most a warning.
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
    """Whether a refusal is one of the command, not of the mail, for all recipients."""
    finals = [r.final or reply for r in batch if r.answer and r.answer.is_positive]
    return all(final.code in COMMAND_UNKNOWN for final in finals)
