"""`MailHandler`: log records by email, bundled, without ever blocking who logs.

::

    handler = MailHandler("localhost", sender="app@example.com", recipients="ops@example.com")
    handler.setLevel(logging.ERROR)
    logging.getLogger().addHandler(handler)
"""

import contextlib
import logging
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any, Unpack

from pykka import ActorDeadError, ActorRef
from pykka.messages import _ActorStop

from .actors import SmtpActor
from .actors.loop import guard
from .actors.loop.asyncio_actor import AsyncioActor
from .actors.loop.event_loop import event_loop
from .actors.options.connection_options import ConnectionOptions
from .actors.options.mailer_options import check_count
from .actors.options.option_checks import check_seconds
from .signals.bus import UNHEARD
from .signals.dispatcher import log_safely
from .signals.forks import in_child, notice_fork
from .signals.outlets.journal import MAILER, OUTCOMES
from .signals.outlets.log_mails import is_of_a_log, new_log_id
from .signals.recipients import Recipient
from .signals.send_mail import SendMail

MAX_TEXT = 10_000
"""Characters of one record: the rest is cut off."""
_CUT = "\n... (cut off)"
_LOOP = "pykka-smtp-loop"


class MailHandler(logging.Handler):
    """A logging handler that sends records by email, at most one email in each `interval`.

    The first record starts the interval; all that come within it are sent together, and the email
    says how many more there were than `max_records`. When the program ends, what waits is sent at
    once. Logging never waits for it.

    What becomes of these emails is a record of ``pykka_smtp.outcomes``, for other handlers; it is
    sent by no signal, and such handlers leave it out, so that no email is about the failure of one.
    It takes the records of that logger about other emails, and those of ``pykka_smtp.mailer``, but
    nothing else of this package, nor what its event-loop thread has to say.

    Args:
        server: the host name or IP address of the server.
        port: its port.
        sender: the address that the emails come from.
        recipients: as for `SendMail`.
        subject: the subject; the number of records, and the worst level, are added.
        interval: seconds between the first record and its email.
        max_records: the most records in one email.
        level: as for `logging.Handler`.
        mailer: the ref of a `Mailer` to send by, instead of `server`, `port` and `options`.
        options: those of `SmtpActor`.

    Raises:
        ValueError: an argument is invalid.
        TypeError: an argument has the wrong type.
    """

    def __init__(
        self,
        server: str = "localhost",
        port: int = 25,
        *,
        sender: str,
        recipients: str | Iterable[Recipient],
        subject: str = "Log",
        interval: float = 60.0,
        max_records: int = 100,
        level: int | str = logging.NOTSET,
        mailer: "ActorRef[Any] | None" = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(level)
        if mailer is None:
            SmtpActor(server, port, **options)  # raises if an option is wrong
        self.interval: float = check_seconds("interval", interval)
        self._max = check_count("max_records", max_records)
        self._server, self._port, self._options = server, port, options
        self._mailer = mailer
        self._fields: dict[str, Any] = {"sender": sender, "recipients": recipients}
        self._subject = subject
        self._mail("", 0, logging.NOTSET)  # raises if an address is wrong
        self._renew()
        _handlers.add(self)

    def _renew(self) -> None:
        """Begin anew: in a forked child, too, as the parent sends what waits."""
        self._texts: deque[tuple[int, str]] = deque()
        self._dropped = self._told_dropped = 0
        self._is_scheduled = self._is_emitting = False
        self._timer: ActorRef[_Timer] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record for the next email; `handle` calls it with the handler's lock held."""
        notice_fork()
        if self._is_emitting or self._is_own(record):
            return
        self._is_emitting = True  # starting an actor may log, too
        try:
            if len(self._texts) >= self._max:
                self._dropped += 1
                return
            text = self.format(record)
            if len(text) > MAX_TEXT:
                text = text[: MAX_TEXT - len(_CUT)] + _CUT
            self._texts.append((record.levelno, text))
            # The flag is cleared before the texts are taken: who finds it set is taken, too.
            if not self._is_scheduled:
                self._is_scheduled = True
                self._start_timer()
        except Exception:
            self.handleError(record)
        finally:
            self._is_emitting = False

    def _start_timer(self) -> None:
        try:
            self._timer = _Timer.start(self)
        except BaseException:
            self._is_scheduled = False
            raise

    def _is_own(self, record: logging.LogRecord) -> bool:
        first = record.name.partition(".")[0]
        if first == "pykka_smtp":
            if record.name == MAILER and self._mailer is not None:
                return True  # it may be about this handler's emails
            if record.name not in {OUTCOMES, MAILER}:
                return True
            return is_of_a_log(record)
        return first in {"pykka", "asyncio"} and record.threadName == _LOOP

    def send_now(self) -> None:
        """Send what waits. Called on the loop thread."""
        self._is_scheduled = False
        texts: list[tuple[int, str]] = []
        with contextlib.suppress(IndexError):
            while len(texts) < self._max:
                texts.append(self._texts.popleft())
        dropped = self._dropped - self._told_dropped
        self._told_dropped += dropped
        if not texts:
            return
        lines = [text for _, text in texts]
        if dropped:
            lines.append(f"({dropped} more records came in this time, and were dropped.)")
        mail = self._mail("\n".join(lines), len(texts), max(level for level, _ in texts))
        if self._mailer is not None:
            try:
                self._mailer.tell(mail)
            except ActorDeadError as error:
                log_safely(logging.WARNING, "%d records are not mailed: %s", len(texts), error)
        else:
            SmtpActor.start(self._server, self._port, **self._options).tell(mail)

    def _mail(self, body: str, count: int, worst: int) -> SendMail:
        return SendMail(
            **self._fields,
            subject=f"{self._subject}: {count} records, {logging.getLevelName(worst)}",
            body=body,
            headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: no absence notes, please
            success_signal=UNHEARD,
            failure_signal=UNHEARD,
            id=new_log_id(),
        )

    def flush(self) -> None:
        """Send what waits soon, not at the end of the interval. Does not wait for it."""
        timer = self._timer
        if timer is not None and self._is_scheduled:
            with contextlib.suppress(ActorDeadError):
                timer.tell(None)

    def close(self) -> None:
        """Send what waits, and take no more part in logging. Does not wait for it."""
        self.flush()
        super().close()


class _Timer(AsyncioActor):
    """Lives from the first record of an email until that is told, at the end of the interval."""

    def __init__(self, handler: MailHandler) -> None:
        super().__init__()
        self._handler = handler
        self._is_over = False

    def on_start(self) -> None:
        """Wait; the end of the program ends the wait."""
        event_loop().add_shutdown_listener(self)
        loop = event_loop().loop
        self._wait = loop.call_later(self._handler.interval, guard.call, self, self.stop_now)

    def on_receive(self, message: object) -> None:  # noqa: ARG002 - there is one
        """Send at once."""
        self._stop()

    def main_has_ended(self) -> None:
        """Send at once, before a Mailer stops; and stop: the interpreter waits for this actor."""
        self._send()
        self.ask_to_stop(_ActorStop())

    def on_stop(self) -> None:
        """Send."""
        event_loop().remove_shutdown_listener(self)
        self._wait.cancel()
        self._send()

    def _send(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._handler.send_now()


_handlers: "weakref.WeakSet[MailHandler]" = weakref.WeakSet()


def _renew_all() -> None:
    for handler in list(_handlers):
        handler._renew()


in_child(_renew_all)
