"""`EmailBackend`: Django's emails, over the connections of a Mailer.

Every setting and argument means what it means to Django's own SMTP backend; docs/django.md has the
differences.
"""

import importlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import pykka

from ..actors.loop.event_loop import event_loop
from ..actors.mailer.mailer import MailerRef
from ..actors.options.hiding import wrap_secrets_in
from ..signals.outcome import Outcome, SendFailure
from ..signals.send_mail import SendMail
from ..smtp.sasl.secret import Secret
from . import log_mails, transactions
from .addresses import address_of
from .installed import BaseEmailBackend
from .mailers import Certificate, mailers
from .options import ALIAS, MORE, hidden_url, mailer_options, relay_of, settings_reader

AT_ONCE = 100
"""Messages of one call that are under way at a time. A Mailer has 20 connections, if not told
otherwise; more than that only wait."""

_DEFAULT_PORTS = {"implicit": 465, "starttls": 587, "auto": 25}
_WAITS_FOR_ITSELF = (
    "an AsyncioActor must not wait for an email: it would stop every actor that shares its thread;"
    " use wait=False (SMTP_WAIT)"
)


class EmailBackend(BaseEmailBackend):
    """Sends Django's messages by a `Mailer` that all backends with the same settings share.

    To make one costs next to nothing, and opens no connection; to `close` it closes none. A backend
    can be used by any number of threads at a time, and after a fork.

    After a message was sent, its attribute ``smtp_outcome`` is the `Outcome`, a `SendFailure`, too.
    Outcomes are published by signals as always; there, ``outcome.context`` is the message.

    Args:
        host: the relay's name or address. Like each argument that is None, it is then that of the
            settings; but under MAILERS there are no settings, and it must be given.
        port: its port. Under MAILERS, the default is 25, with `use_tls` 587, with `use_ssl` 465.
        username: the user name; without a password it is not used.
        password: the password.
        use_tls: whether STARTTLS is required.
        fail_silently: whether `send_messages` returns in spite of a failure. An invalid message
            raises nevertheless.
        use_ssl: whether TLS begins at once.
        timeout: seconds that each step may take. Default: 30.
        ssl_keyfile: the path of the client's key.
        ssl_certfile: the path of the client's certificate.
        url: a relay URL, or a function that returns one; it says everything about the relay, and
            is used instead of host, port, use_tls and use_ssl. Default: the setting SMTP_URL,
            unless `host` is given.
        wait: whether `send_messages` waits for the outcomes. Default: the setting SMTP_WAIT, or
            True.
        outbox: the alias of a database on SQLite: messages are handed over in its transaction,
            and sent by an Outbox on the same file. Default: the setting SMTP_OUTBOX, or None.
        options: any option of a `Mailer`, such as ``max_connections`` or ``rate``. Default: those
            of the setting SMTP_OPTIONS.

    Raises:
        ValueError: `use_tls` and `use_ssl` are both set, or the URL is invalid. Under MAILERS,
            Django's InvalidMailer.
        TypeError: an argument has the wrong type.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | Secret | None = None,
        use_tls: bool | None = None,
        fail_silently: bool = False,
        use_ssl: bool | None = None,
        timeout: float | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        *,
        url: str | Secret | Callable[[], str] | None = None,
        wait: bool | None = None,
        outbox: str | None = None,
        **options: Any,
    ) -> None:
        if isinstance(password, str):
            password = Secret(password)
        if isinstance(url, str):
            url = Secret(url)
        more = {name: options.pop(name) for name in [*options] if name in MORE}
        wrap_secrets_in(more)
        alias: object = options.get("alias")
        super().__init__(**options)
        self.alias: str | None = None if alias is None else str(alias)
        self.fail_silently: bool = fail_silently
        self.host: str | None = host
        self.port: int | None = port
        self.timeout: float | None = timeout
        self.username: str | None = username
        self._password: Secret | None = _secret(password)
        self.use_tls: bool | None = use_tls
        self.use_ssl: bool | None = use_ssl
        self.ssl_keyfile: str | None = ssl_keyfile
        self.ssl_certfile: str | None = ssl_certfile
        self.wait: bool = True if wait is None else wait
        self._url: Secret | None = hidden_url(url)
        self._more = more
        self.outbox: str | None = outbox
        if self.alias is None:
            self._take_settings(wait)
        else:
            self._take_defaults()

    def _take_settings(self, wait: bool | None) -> None:
        """Take from the settings what was not given."""
        setting = settings_reader()
        what = "url"
        if self._url is None and not self.host:
            self._url, what = hidden_url(setting("SMTP_URL", None)), "SMTP_URL"
        if wait is None:
            self.wait = bool(setting("SMTP_WAIT", default=True))
        common: dict[str, Any] = dict(setting("SMTP_OPTIONS", None) or {})
        wrap_secrets_in(common)
        self._more = common | self._more
        if self.timeout is None:
            self.timeout = setting("EMAIL_TIMEOUT")
        if self.outbox is None:
            self.outbox = setting("SMTP_OUTBOX", None)
        self._check_outbox()
        if self._url is not None:
            self._follow_url(what)
            return
        self.host = self.host or setting("EMAIL_HOST")
        self.port = self.port or setting("EMAIL_PORT")
        if self.username is None:
            self.username = setting("EMAIL_HOST_USER")
        if self._password is None:
            self._password = _secret(setting("EMAIL_HOST_PASSWORD"))
        if self.use_tls is None:
            self.use_tls = setting("EMAIL_USE_TLS")
        if self.use_ssl is None:
            self.use_ssl = setting("EMAIL_USE_SSL")
        if self.ssl_keyfile is None:
            self.ssl_keyfile = setting("EMAIL_SSL_KEYFILE")
        if self.ssl_certfile is None:
            self.ssl_certfile = setting("EMAIL_SSL_CERTFILE")
        if self.use_tls and self.use_ssl:
            raise ValueError(
                "EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive, so only set one of those"
                " settings to True."
            )

    def _take_defaults(self) -> None:
        """Take the defaults of what OPTIONS does not define."""
        self.use_tls, self.use_ssl = bool(self.use_tls), bool(self.use_ssl)
        self._check_outbox()
        if self._url is not None:
            self._follow_url("url")
            return
        if self.host is None:
            self._refuse("OPTIONS must define 'host'. A relay URL as 'url' would do as well.")
        if self.use_tls and self.use_ssl:
            self._refuse(
                "The 'use_ssl' and 'use_tls' OPTIONS are incompatible. Set at most one of them to"
                " True."
            )
        if self.port is None:
            self.port = _DEFAULT_PORTS[self._tls]

    def _check_outbox(self) -> None:
        if self.outbox is not None:
            try:
                transactions.check_database(self.outbox)
            except ValueError as error:
                if self.alias is not None:
                    self._refuse(str(error))
                raise

    def _follow_url(self, what: str) -> None:
        """Show host and port of the URL, which is checked so."""
        assert self._url is not None
        try:
            relay = relay_of(self._url, what)
        except ValueError as error:
            if self.alias is not None:
                self._refuse(str(error))
            raise
        self.host, self.port = relay.host, relay.port

    def _refuse(self, why: str) -> NoReturn:
        """Raise Django's error for a wrong entry of MAILERS."""
        # Before Django 6.1 there are no MAILERS, and nothing gives an alias.
        error: Any = getattr(importlib.import_module("django.core.mail"), "InvalidMailer", None)
        raise ValueError(why) if error is None else error(why, alias=self.alias)

    @property
    def password(self) -> str | None:
        """The password, as other code may read it; it is hidden wherever this object is shown."""
        return None if self._password is None else self._password.reveal()

    @password.setter
    def password(self, password: str | None) -> None:
        self._password = _secret(password)

    def open(self) -> bool:
        """Do nothing: the Mailer opens connections as they are needed.

        Returns:
            False, as no new connection was needed.
        """
        return False

    def close(self) -> None:
        """Do nothing: the Mailer keeps its connections for the next messages."""

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Send messages of Django; several at a time.

        It waits for all outcomes, unless `wait` is False: then it hands the messages over, and
        waits only while 1000 of them have no outcome. A message from a log handler, such as
        `AdminEmailHandler`, is never waited for. With `outbox`, messages are only written into the
        database; but those of log handlers are sent, as their transaction may be rolled back.

        Args:
            email_messages: any iterable of them. A message without recipients is left out.

        Returns:
            How many were accepted, for one recipient at least; if `wait` is False, how many were
            handed over.

        Raises:
            SendError: a message was not accepted, and `fail_silently` is False. It is that of the
                first such message. All others were sent; ``smtp_outcome`` says what became of each.
            ValueError: a message is invalid. Those before it were sent.
            RuntimeError: on the thread of `AsyncioActor`s, if `wait` is True.
        """
        if not email_messages:
            return 0
        record = log_mails.record_in_hand()
        if record is not None:
            return self._send_for_a_log(email_messages, record)
        if self.outbox is not None:
            mails = (mail for _, mail in _mails_of(email_messages, has_context=False))
            return transactions.hand_over(self.outbox, mails, self.alias or ALIAS)
        before, log_mails.sending.is_at_it = log_mails.sending.is_at_it, True
        try:
            return self._send_and_wait(email_messages) if self.wait else self._tell(email_messages)
        finally:
            log_mails.sending.is_at_it = before

    def _send_and_wait(self, messages: Iterable[Any]) -> int:
        if event_loop().is_current():
            raise RuntimeError(_WAITS_FOR_ITSELF)
        results = _Results()
        waiting: deque[tuple[Any, pykka.Future[Outcome]]] = deque()
        with self._mailer() as ref:
            try:
                for message, mail in _mails_of(messages):
                    if len(waiting) >= AT_ONCE:
                        results.note(*waiting.popleft())
                    waiting.append((message, ref.ask(mail, block=False)))
            except Exception:
                # Those that are under way have an outcome as well, which the caller may look at.
                results.note_all(waiting)
                raise
            results.note_all(waiting)
        if results.failure is not None and not self.fail_silently:
            results.raise_failure()
        return results.accepted

    def _tell(self, messages: Iterable[Any]) -> int:
        mails = (mail for _, mail in _mails_of(messages))
        with self._mailer() as ref:
            if event_loop().is_current():
                return _tell_each(ref, mails)
            return ref.tell_all(mails)

    def _send_for_a_log(self, messages: Iterable[Any], record: Any) -> int:
        if not log_mails.may_be_mailed(record):
            return 0
        log_mails.sending.is_for_a_log = True
        try:
            with self._mailer() as ref:
                mails = (mail for _, mail in _mails_of(messages, is_of_a_log=True))
                return _tell_each(ref, mails)
        finally:
            log_mails.sending.is_for_a_log = False

    def _mailer(self) -> AbstractContextManager[MailerRef]:
        """Give the process's Mailer with these options."""
        credentials = None
        if self.username and self._password:
            credentials = self.username, self._password
        certificate = None
        if self.use_tls or self.use_ssl or self._url is not None:
            certificate = Certificate.of(self.ssl_certfile, self.ssl_keyfile)
        options = mailer_options(
            server=(self.host or "localhost", _number(self.port or 25)),
            url=self._url,
            credentials=credentials,
            tls=self._tls,
            timeout=self.timeout,
            certificate=certificate,
            alias=self.alias or ALIAS,
            waits=self.wait,
            more=self._more,
        )
        return mailers.using(options)

    @property
    def _tls(self) -> str:
        return "implicit" if self.use_ssl else "starttls" if self.use_tls else "auto"


class _Results:
    """The outcomes of one call.

    Attributes:
        accepted: how many messages were accepted.
        failed: how many were not.
        failure: the outcome of the first of those.
    """

    def __init__(self) -> None:
        self.accepted = self.failed = 0
        self.failure: SendFailure | None = None

    def note(self, message: Any, future: "pykka.Future[Outcome]") -> None:
        """Wait for an outcome; every email has exactly one, by its deadline at the latest."""
        message.smtp_outcome = outcome = future.get()
        if not isinstance(outcome, SendFailure):
            self.accepted += 1
            return
        self.failed += 1
        if self.failure is None:
            self.failure = outcome

    def note_all(self, waiting: "deque[tuple[Any, pykka.Future[Outcome]]]") -> None:
        """Wait for all that are left."""
        while waiting:
            self.note(*waiting.popleft())

    def raise_failure(self) -> None:
        """Raise the first failure, with a note about the others."""
        assert self.failure is not None
        try:
            self.failure.raise_for_failure()
        except OSError as error:
            total = self.accepted + self.failed
            if total > 1:
                error.add_note(f"{self.failed} of {total} messages were not sent; see smtp_outcome")
            raise


def _mails_of(
    messages: Iterable[Any], *, is_of_a_log: bool = False, has_context: bool = True
) -> Iterator[tuple[Any, SendMail]]:
    """Yield each message that has recipients, and the email that it is.

    Raises:
        ValueError: it has an invalid address or header field.
    """
    for message in messages:
        message.smtp_outcome = None
        recipients = [address_of("recipients", one) for one in message.recipients()]
        if not recipients:
            continue
        more = log_mails.fields_of_a_log_mail() if is_of_a_log else {}
        yield (
            message,
            SendMail(
                sender=address_of("from_email", message.from_email),
                recipients=recipients,
                # Made here, and not by SendMail: Django's own errors reach the caller unchanged.
                message=message.message(),
                context=message if has_context else None,
                **more,
            ),
        )


def _tell_each(ref: MailerRef, mails: Iterable[SendMail]) -> int:
    count = 0
    for mail in mails:
        ref.tell(mail)
        count += 1
    return count


def _number(port: Any) -> Any:
    """Return a port, which may be a text, as from the environment; a wrong one is refused later."""
    return int(port) if isinstance(port, str) and port.isdecimal() else port


def _secret(value: object) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    return Secret(str(value))
