"""What has become of each recipient so far."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..words.classification import ReplyClass, classify
from ..words.extensions import Extensions
from ..words.reply import Reply
from ..words.stage import Stage
from ..words.verdict import RecipientResult

DEFAULT_RCPT_MAX = 100
"""Recipients that every server takes at a time (RFC 5321 §4.5.3.1.8)."""


_TOO_MANY = frozenset({452, 552})


@dataclass(slots=True)
class Recipient:
    """One forward-path on its way.

    Attributes:
        path: the forward-path.
        answer: the reply to RCPT, once it came.
        final: the reply that decided: a refusal, or the verdict on the mail.
        has_own_final_reply: whether that verdict was given on this recipient alone (RFC 2033 §4.2).
        is_speculative: whether the mail data goes out without waiting for the reply to RCPT.
    """

    path: str
    answer: Reply | None = None
    final: Reply | None = None
    has_own_final_reply: bool = False
    is_speculative: bool = False

    @property
    def awaits_final_reply(self) -> bool:
        """Whether the server said yes to RCPT, and nothing final yet."""
        return self.final is None and self.answer is not None and self.answer.is_positive

    @property
    def may_be_accepted(self) -> bool:
        """Whether the mail would have reached this recipient, had the server got all of it."""
        return self.awaits_final_reply or (
            self.is_speculative and self.final is None and self.answer is None
        )

    @property
    def is_retryable(self) -> bool:
        """Whether the refusal is one that may pass. 552 at RCPT is one, 552 at the dot is not."""
        stage = Stage.RCPT if self.final is self.answer else Stage.DOT
        return self.final is not None and classify(stage, self.final.code) is ReplyClass.TRANSIENT

    @property
    def is_one_too_many(self) -> bool:
        """Whether the server takes no more recipients in this transaction (RFC 5321 §4.5.3.1.10).

        552 means it as well there. An enhanced status code that is not X.5.3 means something else,
        such as a full mailbox, even where its class contradicts the reply code.
        """
        answer = self.answer
        if answer is None or answer is not self.final or answer.code not in _TOO_MANY:
            return False
        if answer.enhanced is None and not answer.contradicts_itself:
            return True
        return answer.lines[0].partition(" ")[0].endswith(".5.3")

    def ask_anew(self) -> None:
        """Forget that this recipient was one too many: another transaction is to ask again."""
        if self.is_one_too_many:
            self.answer = self.final = None
            self.is_speculative = False

    def result(
        self, reply: Reply | None, *, retryable: bool, maybe_accepted: bool
    ) -> RecipientResult:
        """Tell what became of this recipient.

        Args:
            reply: the reply that ended the session before this recipient was decided.
            retryable: whether an attempt that ended without a word may be repeated.
            maybe_accepted: whether the mail data went out without a verdict.
        """
        final = self.final
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
            # The answer to RCPT speaks of this recipient ("251 will forward"), not the verdict,
            # unless each has one of his own.
            own = final if self.has_own_final_reply else self.answer
            return RecipientResult(address=self.path, accepted=True, reply=own or final)
        return RecipientResult(
            address=self.path, accepted=False, reply=final, retryable=self.is_retryable
        )


def split_into_transactions(
    recipients: Sequence[Recipient],
    extensions: Extensions,
    *,
    mails_before: int = 0,
    usual_max: int = DEFAULT_RCPT_MAX,
) -> tuple[list[Sequence[Recipient]], Sequence[Recipient]]:
    """Divide recipients among as many transactions as the server's limits need (RFC 9422).

    Args:
        recipients: all of them.
        extensions: what the server offers.
        mails_before: how many transactions the session had already.
        usual_max: recipients in one transaction, where the server names no limit.

    Returns:
        The recipients of each transaction, and those for whom the session has none left.
    """
    most = extensions.rcpt_max or usual_max
    if len(recipients) <= most and extensions.mail_max is None:
        return [recipients], ()
    batches = in_pieces(recipients, most)
    allowed = len(batches)
    if extensions.mail_max is not None:
        allowed = max(0, extensions.mail_max - mails_before)
    return batches[:allowed], recipients[allowed * most :]


def in_pieces(recipients: Sequence[Recipient], most: int) -> list[Sequence[Recipient]]:
    """Divide recipients among transactions of so many at most."""
    return [recipients[start : start + most] for start in range(0, len(recipients), most)]


def batches_after_acceptance(
    batch: Sequence[Recipient], rest: Sequence[Recipient]
) -> list[Sequence[Recipient]]:
    """Return the transactions that follow one which was accepted, but not for all.

    Args:
        batch: its recipients.
        rest: all that come after them.
    """
    many = [recipient for recipient in batch if recipient.is_one_too_many]
    # So many it takes: to offer it more each time would only have them refused each time.
    taken = sum(r.answer is not None and r.answer.is_positive for r in batch)
    return in_pieces([*many, *rest], max(taken, 1))


def batches_after_refusal(batches: Iterable[Sequence[Recipient]]) -> list[Sequence[Recipient]]:
    """Return the transactions that follow one which was refused.

    Those who were too many before then have to wait: that they would not be now is not to be seen.

    Args:
        batches: those that were to follow.
    """
    kept = ([r for r in batch if not r.is_one_too_many] for batch in batches)
    return [batch for batch in kept if batch]


def overall_rejection(recipients: Sequence[Recipient]) -> Reply | None:
    """Return the refusal that stands for all, if nobody was taken: one that may change later."""
    refusals: list[Reply] = []
    for recipient in recipients:
        if recipient.final is None or recipient.final.is_positive:
            return None
        refusals.append(recipient.final)
    retryable_kinds = (r.final for r in recipients if r.is_retryable)
    return next(retryable_kinds, refusals[-1])
