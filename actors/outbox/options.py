"""`OutboxOptions`: those of a `Mailer`, and the options that only an `Outbox` has."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

from ...smtp.words.plain import plain_bool, plain_int
from ..mailer.jobs.retry import NO_RETRY, RetryPolicy
from ..mailer.options import MAILER_DEFAULTS, MailerOptions
from ..options.connection_options import Default, check_names, defaults_of
from ..options.mailer_options import check_count

_DAY = 86_400.0
_LONGEST = 10 * 365 * _DAY

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
    that are gone. If False, another process with this alias does, and an email can only be put, not
    asked for its outcome; True if left out."""

    keep_sent: Annotated[float, Default(7 * _DAY)]
    """Seconds that an email is kept, without its body, after receivers of its success have run: as
    long as its key counts. A week if left out."""

    keep_failed: Annotated[float, Default(30 * _DAY)]
    """Seconds that an email is kept, with its body, for `Retry`, after receivers of its failure
    have run. 30 days if left out."""

    max_octets: Annotated[int, Default(10_000_000_000)]
    """Octets of the file, and of the folder with large bodies, from which on nothing can be put;
    10 GB if left out."""

    seal: Annotated[Callable[[bytes], bytes] | None, Default(None)]
    """Encrypts emails, attempts and outcomes before they are written, such as `Fernet.encrypt`; on
    the thread of the file. Keys, ids, aliases, times and states stay readable. No body above 64 MiB
    can be put then. None if left out."""

    open: Annotated[Callable[[bytes], bytes] | None, Default(None)]
    """Decrypts what `seal` has encrypted, and raises if it cannot. None if left out."""


OUTBOX_DEFAULTS: dict[str, Any] = {
    **MAILER_DEFAULTS,
    **defaults_of(OutboxOptions),
    "alias": "outbox",
    "max_queued": 1_000_000,
    "retry": RETRY,
}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an `Outbox` with defaults for those left out.

    Those that a `Mailer` has, too, are checked there.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type, or is unknown.
    """
    check_names(options, OUTBOX_DEFAULTS, "Outbox")
    given = OUTBOX_DEFAULTS | dict(options)
    if given["retry"] is None:
        given["retry"] = RETRY
    elif not isinstance(given["retry"], RetryPolicy):
        raise TypeError(f"retry: needs a RetryPolicy, not {type(given['retry']).__name__}")
    if given["protect"] != ():
        raise ValueError(
            "protect: give it to each SendMail; an Outbox keeps what was signed or encrypted before"
        )
    for name in ("send", "hear"):
        given[name] = plain_bool(name, given[name])
    for name in ("keep_sent", "keep_failed"):
        given[name] = _check_kept(name, given[name])
    given["max_queued"] = check_count("max_queued", given["max_queued"])
    given["max_octets"] = plain_int("max_octets", given["max_octets"], 1, 1 << 62)
    for name, other in (("seal", "open"), ("open", "seal")):
        if given[name] is not None and not callable(given[name]):
            raise TypeError(f"{name}: needs a function, not {type(given[name]).__name__}")
        if given[name] is not None and given[other] is None:
            raise ValueError(f"{name}: needs {other}, too")
    return given


def of_mailer(given: Mapping[str, Any]) -> MailerOptions:
    """Return the options of the `Mailer` that an `Outbox` is."""
    options = {name: given[name] for name in MAILER_DEFAULTS}
    options["retry"] = NO_RETRY  # they are the outbox's: one in memory would die with it
    return cast("MailerOptions", options)


def _check_kept(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: needs seconds, not {type(value).__name__}")
    if not 0 <= value <= _LONGEST:
        raise ValueError(f"{name}: needs seconds from 0 to {_LONGEST:.0f}, not {value}")
    return float(value)
