"""A Celery task that sends an email, and workers that lose none of what tasks tell.

::

    send = mail_task(app, url=os.environ["SMTP_URL"])

    send.delay(sender="me@example.com", recipients="you@example.org", body="Hello")
"""

import logging
from collections.abc import Mapping
from typing import Any, Unpack, cast

try:
    from celery import Celery, signals  # pyright: ignore[reportMissingTypeStubs]
except ModuleNotFoundError as _error:
    if _error.name != "celery":
        raise
    raise ImportError(
        "pykka_smtp.celery needs Celery: pip install 'pykka-smtp[celery]'", name="celery"
    ) from None

from .actors.done import wait_until_done
from .actors.mailer.jobs.retry import NO_RETRY
from .actors.mailer.options import MailerOptions
from .service_mailer import GRACE, ProcessMailer, hide_secrets
from .signals.outcome import SendError, SendFailure
from .signals.send_mail import SendMail

MAX_DELAY = 1800.0
"""Seconds between two attempts at most: Redis as a broker gives a task to another worker if it is
not acknowledged within an hour."""

_logger = logging.getLogger("pykka_smtp.celery")
_RECIPIENTS = ("recipients", "cc", "bcc")


def mail_task(
    app: "Celery",
    server: str = "localhost",
    port: int = 25,
    *,
    name: str = "pykka_smtp.send",
    max_retries: int = 0,
    retry_delay: float = 60.0,
    task_options: Mapping[str, Any] | None = None,
    **options: Unpack[MailerOptions],
) -> Any:
    """Return a task that sends an email, and whose result is the outcome.

    The task takes the arguments of `SendMail`, as far as Celery's serializer has them. A complete
    `message` may be a str: that of ``message.as_string()``. The email's `id` is that of the task,
    so that a copy has the same Message-ID. The result is ``outcome.as_dict()``, of a failure, too.

    A task is acknowledged when its email has an outcome (``acks_late``).

    Each worker process keeps its connections to the server. Before it ends, it waits for what tasks
    tell: see `wait_at_shutdown`.

    Args:
        app: the Celery application.
        server: as for `Mailer.start`.
        port: as for `Mailer.start`.
        name: the name of the task.
        max_retries: how often Celery tries again what failed and is `retryable`. Never what is
            `maybe_accepted`, nor a success for some of the recipients only.
        retry_delay: seconds until the first retry, doubled for each that follows.
        task_options: those of Celery's ``app.task``, such as `queue` or `rate_limit`.
        options: those of `Mailer.start`. Its own retries are off, unless you pass `retry`.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type, or is unknown.
    """
    given = cast("dict[str, Any]", options)
    hide_secrets(given)
    mailer = ProcessMailer({"server": server, "port": port, "retry": NO_RETRY} | given)
    _mailers.append(mailer)
    if not _limit:
        wait_at_shutdown()

    def send(task: Any, /, **fields: Any) -> dict[str, Any]:
        outcome = mailer.ref.ask(_mail(fields, task.request.id))
        if not (isinstance(outcome, SendFailure) and outcome.retryable):
            return outcome.as_dict()
        retries: int = task.request.retries
        if retries >= max_retries:
            return outcome.as_dict()
        delay = min(retry_delay * 2 ** min(retries, 30), MAX_DELAY)
        raise task.retry(countdown=delay, max_retries=max_retries, exc=SendError(outcome))

    settings: dict[str, Any] = {"acks_late": True, "serializer": "json", **(task_options or {})}
    return cast("Any", app).task(send, name=name, bind=True, **settings)


def _mail(fields: dict[str, Any], task_id: str | None) -> SendMail:
    for name in _RECIPIENTS:
        given = fields.get(name)
        if isinstance(given, list):  # in which JSON has lists, not pairs of name and address
            fields[name] = [_recipient(one) for one in cast("list[object]", given)]
    if isinstance(fields.get("message"), str):
        fields["message"] = fields["message"].encode("utf-8", "surrogateescape")
    if task_id is not None:
        fields.setdefault("id", task_id)
    return SendMail(**fields)


def _recipient(given: object) -> object:
    return tuple(cast("list[object]", given)) if isinstance(given, list) else given


# The end of a worker process

_mailers: list[ProcessMailer] = []
_limit: list[float] = []
"""Seconds, once somebody has asked for the wait."""


def wait_at_shutdown(timeout: float = GRACE) -> None:
    """Have each worker process wait, before it ends, until everything is out and heard.

    For workers whose tasks `tell` emails. Celery's prefork children leave by ``os._exit``: without
    this wait, what is on its way is lost at a warm shutdown. `mail_task` asks for it, too.

    Args:
        timeout: seconds at most.
    """
    _limit[:] = [timeout]
    # The first is sent in prefork's children, the other where all tasks are threads or greenlets.
    for signal in (signals.worker_process_shutdown, signals.worker_shutdown):
        cast("Any", signal).connect(_wait, weak=False, dispatch_uid="pykka_smtp")


def _wait(**_given: object) -> None:
    for mailer in _mailers:
        mailer.finish()
    if not wait_until_done(_limit[0]):
        _logger.warning(
            "after %g s there are still emails without an outcome; the process ends without them",
            _limit[0],
        )
