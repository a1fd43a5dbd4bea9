"""`MailerOptions`: those of a connection, and the options that only a `Mailer` has."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from ..options.connection_options import ConnectionOptions, Default, defaults_of
from ..options.mailer_options import check_count
from ..options.option_checks import check_seconds
from .capacity.capacity import Limits
from .capacity.concurrency import FIRST_PAUSE, INITIAL_CONCURRENCY, LONGEST_PAUSE
from .capacity.pacing import Rate, parse_rate
from .jobs.retry import RetryPolicy


class MailerOptions(ConnectionOptions, total=False):
    """The keyword options of `Mailer.start`: all of `ConnectionOptions`, and these."""

    max_connections: Annotated[int, Default(20)]
    """Connections to one relay at once, 20 if left out: Postfix's default for one destination. The
    process's limit, `set_connection_limit`, counts too."""

    initial_connections: Annotated[int, Default(INITIAL_CONCURRENCY)]
    """Concurrency at the start, 5 if left out, as in Postfix: it grows as the relay accepts emails,
    and shrinks when it defers them."""

    max_mails_per_connection: Annotated[int, Default(100)]
    """Transactions on one connection, at least 1; 100 if left out. By then the handshakes cost next
    to nothing per email, and the end lets a load balancer choose a server again."""

    idle_timeout: Annotated[float, Default(30.0)]
    """Seconds after which an idle connection is closed, 30 if left out. RFC 5321 §4.5.3.2.7 has a
    server wait 5 minutes, but a busy one closes earlier, and each connection takes a permit."""

    max_queued: Annotated[int, Default(10_000)]
    """Queued emails, 10 000 if left out: they are held in memory, and lost if the process dies. One
    more gets a `SendFailure` of the kind ``LOCAL`` at once, with `retryable` set."""

    rate: Annotated[str | float | Rate | None, Default(None)]
    """Emails to one relay, such as ``"10/s"``, ``"500/min"`` or ``"10/s burst 20"``. Default: no
    limit."""

    retry: Annotated[RetryPolicy | None, Default(None)]
    """How deferred emails are retried. Default: ``RetryPolicy()``, eight attempts within about two
    hours."""

    backups: Annotated[Iterable[str | tuple[str, float]], Default(())]
    """URLs of relays to use while those before them are dead; or pairs of URL and weight, for a
    weighted random choice. Default: none."""

    grace: Annotated[float, Default(10.0)]
    """Seconds that emails in flight have to finish after `stop`, 10 if left out: what most need,
    and short enough for a supervisor that kills after 30 s or more."""


_ALIAS = "mailer"

MAILER_DEFAULTS: dict[str, Any] = {**defaults_of(MailerOptions), "alias": _ALIAS}


def policy_of(given: Mapping[str, Any]) -> RetryPolicy:
    """Return how deferred emails are retried.

    Args:
        given: all options, with defaults for those that are left out.

    Raises:
        TypeError: `retry` is no `RetryPolicy`.
    """
    retry = given["retry"]
    if not isinstance(retry, RetryPolicy | None):
        raise TypeError(f"retry: needs a RetryPolicy, not {type(retry).__name__}")
    return RetryPolicy() if retry is None else retry


def limits_of(given: Mapping[str, Any], policy: RetryPolicy) -> Limits:
    """Return the limits for each relay.

    Args:
        given: all options, with defaults for those that are left out.
        policy: how deferred emails are retried.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type.
    """
    most_mails = check_count("max_mails_per_connection", given["max_mails_per_connection"])
    return Limits(
        max_connections=check_count("max_connections", given["max_connections"]),
        initial_connections=check_count("initial_connections", given["initial_connections"]),
        max_mails_per_connection=most_mails,
        idle_timeout=check_seconds("idle_timeout", given["idle_timeout"]),
        rate=parse_rate(given["rate"]),
        # Where no email waits for a probe, each fails until one has succeeded.
        longest_pause=LONGEST_PAUSE if policy.max_attempts > 1 else FIRST_PAUSE,
    )
