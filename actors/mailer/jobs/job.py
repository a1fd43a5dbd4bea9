"""One email of a `Mailer`, and its parts: their state until the outcome."""

from typing import TYPE_CHECKING

from ....signals.attempts import Attempts
from ....signals.outcome import Outcome
from ....signals.send_mail import SendMail
from ....smtp.mail.compose import TextEmail
from ....smtp.mail.content import CompleteContent, ComposedContent
from ....smtp.mail.envelope import Envelope
from ...loop.asyncio_actor import Answer
from ..queue.destination import MAX_COST
from ..queue.mail_queue import NO_RELAYS

if TYPE_CHECKING:
    from ..connections.pooled_smtp_actor import PooledSmtpActor
    from ..queue.destination import Destination

_COST_SIZE = 64 * 1024


class Job:
    """One email, over all attempts at all of its parts.

    Attributes:
        mail: the email.
        answer: the answer to an `ask`.
        submitted_at: when it was told, on the loop's clock.
        is_pressing: whether a signal receiver may be waiting for its outcome.
        parts: one for each destination.
        outcome: the email's, or None before its end.
    """

    __slots__ = ("answer", "is_pressing", "mail", "outcome", "parts", "submitted_at")

    def __init__(
        self, mail: SendMail, answer: Answer, submitted_at: float, is_pressing: bool = False
    ) -> None:
        self.mail: SendMail = mail
        self.answer: Answer = answer
        self.submitted_at: float = submitted_at
        self.is_pressing: bool = is_pressing
        self.parts: tuple[Part, ...] = ()
        self.outcome: Outcome | None = None


class Part:
    """One email for some of its recipients: those of one destination.

    Attributes:
        job: the email that this is a part of.
        destination: the relays that it may go to.
        submitted_at: as the job's.
        is_pressing: as the job's.
        paths: the recipients, each once.
        envelope: the recipients of the next attempt.
        attempts: the outcomes of the attempts so far; None before the first retry.
        later: recipients deferred in an attempt that continues in another session.
        avoid: the relays that have failed it since the last retry, by number.
        failovers: attempts that were followed by one at another relay at once.
        relay: the number of the relay of this attempt, or of the last.
        summed: the outcome of the last attempt in `attempts`.
        late: the attempt that gave up its place while a file opened and waits for one again.
        outcome: the part's, or None before its end.
    """

    __slots__ = (
        "attempts",
        "avoid",
        "destination",
        "envelope",
        "failovers",
        "is_pressing",
        "job",
        "late",
        "later",
        "outcome",
        "paths",
        "relay",
        "submitted_at",
        "summed",
    )

    def __init__(self, job: Job, envelope: Envelope, destination: "Destination[Part]") -> None:
        self.job: Job = job
        self.envelope: Envelope = envelope
        self.paths: tuple[str, ...] = envelope.forward_paths
        self.destination: Destination[Part] = destination
        self.submitted_at: float = job.submitted_at
        self.is_pressing: bool = job.is_pressing
        self.attempts: Attempts | None = None
        self.later: tuple[str, ...] = ()
        self.avoid: frozenset[int] = NO_RELAYS
        self.failovers: int = 0
        self.relay: int = 0
        self.summed: Outcome | None = None
        self.late: PooledSmtpActor | None = None
        self.outcome: Outcome | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The recipients of its outcome; as the caller gave them, if there is one part only."""
        return self.job.mail.all_recipients if len(self.job.parts) < 2 else self.paths

    @property
    def cost(self) -> int:
        """The share of its destination's turn that an attempt uses, 1 to `MAX_COST`."""
        content = self.job.mail.content
        if content is None:
            return MAX_COST
        if isinstance(content, CompleteContent):
            return min(1 + len(content.data) // _COST_SIZE, MAX_COST)
        if isinstance(content, ComposedContent) and not isinstance(content.email, TextEmail):
            return min(1 + content.email.entity.facts.size // _COST_SIZE, MAX_COST)
        return 1
