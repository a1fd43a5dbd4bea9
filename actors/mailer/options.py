"""`MailerOptions`: the options that only a `Mailer` has, beside those of a connection."""

from collections.abc import Iterable
from typing import Annotated, Any

from ..options.connection_options import ConnectionOptions, Default, defaults_of
from .concurrency import FIRST
from .pacing import Rate
from .retry import RetryPolicy


class MailerOptions(ConnectionOptions, total=False):
    """What `Mailer.start` takes by keyword: all of `ConnectionOptions`, and these."""

    max_connections: Annotated[int, Default(20)]
    """Connections to one relay at once, 20 if left out. The process's limit,
    `set_connection_limit`, counts too."""

    first_connections: Annotated[int, Default(FIRST)]
    """The same at first, 5 if left out: it grows as the relay takes mails, and shrinks where it
    does not."""

    max_mails_per_connection: Annotated[int, Default(100)]
    """Mails on one connection, at least 1; 100 if left out."""

    idle_timeout: Annotated[float, Default(30.0)]
    """Seconds after which a connection that nobody uses is closed, 30 if left out."""

    max_queued: Annotated[int, Default(10_000)]
    """Mails that may wait, 10 000 if left out. One more gets a `SendFailure` of the kind ``LOCAL``
    at once, with `retryable` set."""

    rate: Annotated[str | float | Rate | None, Default(None)]
    """Mails to one relay, such as ``"10/s"``, ``"500/min"`` or ``"10/s burst 20"``. Default: no
    limit."""

    retry: Annotated[RetryPolicy | None, Default(None)]
    """How mails are tried again that were refused for now. Default: ``RetryPolicy()``, eight
    attempts within about two hours."""

    backups: Annotated[Iterable[str | tuple[str, float]], Default(())]
    """Relay URLs to go to while the relays before them are dead; or pairs of URL and weight, to
    choose among at random. Default: none."""

    grace: Annotated[float, Default(10.0)]
    """Seconds that transactions under way have to finish once `stop` was called, 10 if left out."""


_ALIAS = "mailer"

MAILER_DEFAULTS: dict[str, Any] = {**defaults_of(MailerOptions), "alias": _ALIAS}
