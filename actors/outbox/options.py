"""`OutboxOptions`: those of a `Mailer`, and the options that only an `Outbox` has."""

from typing import Annotated, Any

from ..mailer.jobs.retry import RetryPolicy
from ..mailer.options import MAILER_DEFAULTS, MailerOptions
from ..options.connection_options import Default, defaults_of

_DAY = 86_400.0

RETRY = RetryPolicy(
    max_attempts=100,
    initial_delay=60.0,
    max_delay=3600.0,
    give_up_after=2 * _DAY,
    at_least_once=True,
)
"""How an `Outbox` retries if it is not told otherwise: for two days, and rather twice than not."""


class OutboxOptions(MailerOptions, total=False):
    """The keyword options of `Outbox.start`: all of `MailerOptions`, and these.

    `alias` is ``"outbox"`` if left out, `max_queued` 1 000 000, and `retry` goes on for two days,
    with `at_least_once`. Another `RetryPolicy` is at most once, unless it says otherwise.
    """

    send: Annotated[bool, Default(value=True)]
    """Whether to send what is in the file. False for a process that only puts, and leaves it to
    another one to send; True if left out."""

    hear: Annotated[bool, Default(value=True)]
    """Whether to publish outcomes: of the emails put here, and, with the same alias, of processes
    that are gone. If False, another process with this alias does; True if left out."""

    keep_sent: Annotated[float, Default(7 * _DAY)]
    """Seconds that an email is kept, without its body, after receivers of its success have run: as
    long as its key counts. A week if left out."""

    keep_failed: Annotated[float, Default(30 * _DAY)]
    """Seconds that an email is kept, with its body, for `Retry`, after receivers of its failure
    have run. 30 days if left out."""

    max_octets: Annotated[int, Default(10_000_000_000)]
    """Octets of the file from which on nothing can be put, 10 GB if left out."""


OUTBOX_DEFAULTS: dict[str, Any] = {
    **MAILER_DEFAULTS,
    **defaults_of(OutboxOptions),
    "alias": "outbox",
    "max_queued": 1_000_000,
    "retry": RETRY,
}
