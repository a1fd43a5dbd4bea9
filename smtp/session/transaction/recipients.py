"""The state of each recipient during a delivery."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...words.classification import ReplyClass, classify
from ...words.extensions import Extensions
from ...words.reply import Reply
from ...words.stage import Stage
from ...words.verdict import RecipientResult

DEFAULT_RCPT_MAX = 100
"""Recipients that every server must take in one transaction (RFC 5321 §4.5.3.1.8)."""

_TOO_MANY = frozenset({452, 552})


@dataclass(slots=True)
class Recipient:
    """The state of one recipient.

    Attributes:
        path: the forward-path.
        rcpt_reply: the reply to RCPT, once received.
        final_reply: the reply that decided: a rejection or deferral, or the final reply.
        has_own_final_reply: whether that final reply is for this recipient only (RFC 2033 §4.2).
        is_speculative: whether the mail data is sent before the reply to RCPT is received.
    """

    path: str
    rcpt_reply: Reply | None = None
    final_reply: Reply | None = None
    has_own_final_reply: bool = False
    is_speculative: bool = False

    @property
    def awaits_final_reply(self) -> bool:
        """Whether RCPT was accepted, and the final reply is not received yet."""
        return (
            self.final_reply is None and self.rcpt_reply is not None and self.rcpt_reply.is_positive
        )

    @property
    def may_be_accepted(self) -> bool:
        """Whether a complete transfer would include this recipient.

        RCPT was accepted, or is without a reply in a speculative transfer.
        """
        return self.awaits_final_reply or (
            self.is_speculative and self.final_reply is None and self.rcpt_reply is None
        )

    @property
    def is_retryable(self) -> bool:
        """Whether it was deferred. 552 at RCPT is a deferral, 552 as the final reply is not."""
        stage = Stage.RCPT if self.final_reply is self.rcpt_reply else Stage.DOT
        return (
            self.final_reply is not None
            and classify(stage, self.final_reply.code) is ReplyClass.TRANSIENT
        )

    @property
    def is_over_limit(self) -> bool:
        """Whether it was over the server's limit for a transaction (RFC 5321 §4.5.3.1.10).

        The reply is 452, or 552 from older servers. An enhanced status code other than X.5.3
        means something else, such as a full mailbox, even if its class contradicts the reply code.
        """
        answer = self.rcpt_reply
        if answer is None or answer is not self.final_reply or answer.code not in _TOO_MANY:
            return False
        if answer.enhanced is None and not answer.contradicts_itself:
            return True
        return answer.lines[0].partition(" ")[0].endswith(".5.3")

    def reset_if_over_limit(self) -> None:
        """Reset a recipient that was one too many, for RCPT in another transaction."""
        if self.is_over_limit:
            self.rcpt_reply = self.final_reply = None
            self.is_speculative = False

    def result(
        self, reply: Reply | None, *, retryable: bool, maybe_accepted: bool
    ) -> RecipientResult:
        """Return the result of this recipient.

        Args:
            reply: the reply that ended the session before this recipient was decided, or None.
            retryable: whether a retry is sensible if this recipient is undecided.
            maybe_accepted: whether the mail data was sent without a final reply.
        """
        final = self.final_reply
        if final is None:
            doubt = maybe_accepted and self.may_be_accepted
            return RecipientResult(
                address=self.path,
                accepted=False,
                reply=reply,
                maybe_accepted=doubt,
                retryable=retryable and not doubt,
            )
        if final.is_positive:
            # The reply to RCPT is about this recipient ("251 will forward"); the final reply is
            # not, unless each recipient has its own.
            own = final if self.has_own_final_reply else self.rcpt_reply
            return RecipientResult(address=self.path, accepted=True, reply=own or final)
        return RecipientResult(
            address=self.path, accepted=False, reply=final, retryable=self.is_retryable
        )


def split_into_transactions(
    recipients: Sequence[Recipient],
    extensions: Extensions,
    *,
    transactions_before: int = 0,
    usual_max: int = DEFAULT_RCPT_MAX,
) -> tuple[list[Sequence[Recipient]], Sequence[Recipient]]:
    """Split recipients into as many transactions as the server's limits require (RFC 9422).

    Args:
        recipients: all recipients of the email.
        extensions: what the server offers.
        transactions_before: how many transactions the session had already.
        usual_max: recipients in one transaction if the server names no limit.

    Returns:
        The recipients of each transaction, and those over the session's limit of transactions.
    """
    most = extensions.rcpt_max or usual_max
    if len(recipients) <= most and extensions.mail_max is None:
        return [recipients], ()
    batches = in_pieces(recipients, most)
    allowed = len(batches)
    if extensions.mail_max is not None:
        allowed = max(0, extensions.mail_max - transactions_before)
    return batches[:allowed], recipients[allowed * most :]


def in_pieces(recipients: Sequence[Recipient], most: int) -> list[Sequence[Recipient]]:
    """Split recipients into transactions of at most `most`."""
    return [recipients[start : start + most] for start in range(0, len(recipients), most)]


def batches_after_acceptance(
    batch: Sequence[Recipient], rest: Sequence[Recipient]
) -> list[Sequence[Recipient]]:
    """Return the transactions to follow one that was accepted, but not for all its recipients.

    Args:
        batch: its recipients.
        rest: the recipients after them.
    """
    many = [recipient for recipient in batch if recipient.is_over_limit]
    # As many as the server has just accepted: it would defer the surplus in each transaction.
    accepted = sum(r.rcpt_reply is not None and r.rcpt_reply.is_positive for r in batch)
    return in_pieces([*many, *rest], max(accepted, 1))


def batches_after_refusal(batches: Iterable[Sequence[Recipient]]) -> list[Sequence[Recipient]]:
    """Return the transactions to follow one that was rejected or deferred.

    Recipients that were one too many are left out: without an accepted transaction, nothing shows
    that the server would take them now.

    Args:
        batches: the transactions that were planned.
    """
    kept = ([r for r in batch if not r.is_over_limit] for batch in batches)
    return [batch for batch in kept if batch]


def overall_rejection(recipients: Sequence[Recipient]) -> Reply | None:
    """Return the reply that stands for all if none was accepted: a deferral, if there is one."""
    rejections: list[Reply] = []
    for recipient in recipients:
        if recipient.final_reply is None or recipient.final_reply.is_positive:
            return None
        rejections.append(recipient.final_reply)
    deferrals = (r.final_reply for r in recipients if r.is_retryable)
    return next(deferrals, rejections[-1])
