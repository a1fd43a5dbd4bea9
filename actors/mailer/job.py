"""One mail of a `Mailer`, and its parts: what is known of each until the outcome."""

from typing import TYPE_CHECKING

from ...signals.attempts import Attempts
from ...signals.outcome import Outcome
from ...signals.send_mail import SendMail
from ...smtp.mail.content import CompleteContent
from ...smtp.mail.envelope import Envelope
from ..loop.asyncio_actor import Answer
from .destination import MAX_COST
from .mail_queue import NO_RELAYS

if TYPE_CHECKING:
    from .destination import Destination
    from .pooled_smtp_actor import PooledSmtpActor

_COST_SIZE = 64 * 1024


class Job:
    """One mail, over all attempts at all of its parts.

    Attributes:
        mail: the mail.
        answer: the answer to an `ask`.
        submitted_at: when it was told, on the loop's clock.
        is_pressing: whether a receiver may wait for it.
        parts: one for each destination.
        outcome: once it has ended.
    """

    __slots__ = ("answer", "is_pressing", "mail", "outcome", "parts", "submitted_at")

    def __init__(
        self, mail: SendMail, answer: Answer, submitted_at: float, is_pressing: bool = False
    ) -> None:
        self.mail = mail
        self.answer = answer
        self.submitted_at = submitted_at
        self.is_pressing = is_pressing
        self.parts: tuple[Part, ...] = ()
        self.outcome: Outcome | None = None


class Part:
    """One mail for some of its recipients: those of one destination.

    Attributes:
        job: the mail that this is a part of.
        destination: where it goes.
        submitted_at: as the job's.
        is_pressing: as the job's.
        paths: the recipients, each once.
        envelope: for those that have not got it yet.
        attempts: what came of the attempts so far; None before the first retry.
        later: those refused for now, in an attempt that goes on.
        avoid: the relays that have failed it, by number.
        failovers: attempts after which it went to another relay at once.
        relay: the number of the relay of this attempt, or of the last.
        summed: the last attempt that `attempts` knows.
        late: the attempt that waits for its place at the relay again, if there is one.
        outcome: once this part has ended.
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
        self.job = job
        self.envelope = envelope
        self.paths = envelope.forward_paths
        self.destination = destination
        self.submitted_at = job.submitted_at
        self.is_pressing = job.is_pressing
        self.attempts: Attempts | None = None
        self.later: tuple[str, ...] = ()
        self.avoid = NO_RELAYS
        self.failovers = 0
        self.relay = 0
        self.summed: Outcome | None = None
        self.late: PooledSmtpActor | None = None
        self.outcome: Outcome | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The recipients that its outcome tells of; as the caller gave them, if they are all."""
        return self.job.mail.all_recipients if len(self.job.parts) < 2 else self.paths

    @property
    def cost(self) -> int:
        """What an attempt takes of its destination's turn, 1 to `MAX_COST`."""
        content = self.job.mail.content
        if content is None:
            return MAX_COST
        if isinstance(content, CompleteContent):
            return min(1 + len(content.data) // _COST_SIZE, MAX_COST)
        return 1
