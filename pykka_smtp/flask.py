"""`Mail`: a Flask extension that sends email without making a request wait.

::

    mail = Mail()  # and in the factory: mail.init_app(app)

    mail.send(recipients="you@example.org", subject="Welcome", body="Hello")

It reads Flask-Mail's settings, and sends Flask-Mail's ``Message`` as well.
"""

import functools
import os
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, Unpack, cast, overload

try:
    import flask
except ModuleNotFoundError as _error:
    if _error.name != "flask":
        raise
    raise ImportError(
        "pykka_smtp.flask needs Flask: pip install 'pykka-smtp[flask]'", name="flask"
    ) from None

from .actors.mailer.mailer import MailerRef
from .actors.mailer.options import MailerOptions
from .actors.options.option_checks import check_alias
from .actors.outbox.messages import Put
from .actors.outbox.outbox_ref import OutboxRef
from .service_mailer import ProcessMailer, ProcessOutbox, Receiver, hide_secrets
from .signals.described import Described
from .signals.outcome import Outcome, SendSuccess
from .signals.recipients import Recipient, split_names
from .signals.send_mail import SendMail

if TYPE_CHECKING:
    from .testing import RecordedMails

_KEY = "pykka_smtp"
_FLASK_MAILS_KEY = "mail"
_RECORDS = ("alias", "max_queued", "retry", "grace", "debug")
"""The options that matter where emails are recorded."""
_ALREADY_NEGOTIATED = ("BODY=", "SIZE=", "SMTPUTF8")
"""What a server is asked for by itself, whatever a Flask-Mail ``Message`` says."""

_Hears = TypeVar("_Hears", bound=Callable[..., object])


class MessageLike(Protocol):
    """What is needed of Flask-Mail's ``Message``."""

    sender: Any
    recipients: Any
    cc: Any
    bcc: Any

    def as_bytes(self) -> bytes:
        """Return the message."""
        ...


Sendable: TypeAlias = SendMail | MessageLike


class Mail:
    """The extension. One object serves any number of applications.

    Each process of each application has a `Mailer`, which is started with its first email: a server
    may load the application and then fork.

    Settings, as in Flask-Mail: ``MAIL_SERVER``, ``MAIL_PORT``, ``MAIL_USE_TLS``, ``MAIL_USE_SSL``,
    ``MAIL_USERNAME``, ``MAIL_PASSWORD``, ``MAIL_DEFAULT_SENDER``, ``MAIL_MAX_EMAILS``,
    ``MAIL_DEBUG``, ``MAIL_SUPPRESS_SEND`` and ``MAIL_ASCII_ATTACHMENTS`` (for its ``Message``). Or
    ``SMTP_URL``, a relay URL, instead of the first six. With ``SMTP_OUTBOX``, the path of a file,
    an `Outbox` takes the place of the Mailer. See docs/flask.md for what differs.

    Args:
        app: the application; or call `init_app` later.
        options: those of `Mailer.start`; they go before settings.

    Raises:
        ValueError: a setting or option is invalid.
        TypeError: one has the wrong type, or an option is unknown.
    """

    def __init__(self, app: flask.Flask | None = None, **options: Unpack[MailerOptions]) -> None:
        self._options = cast("dict[str, Any]", options)
        hide_secrets(self._options)
        self._app = app
        self._everybodys: dict[bool, list[Callable[..., object]]] = {True: [], False: []}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Read the settings of an application, and check them. Nothing is started yet.

        Args:
            app: the application, whose `config` is complete.

        Raises:
            ValueError: a setting or option is invalid.
            TypeError: one has the wrong type, or an option is unknown.
        """
        state = _State(app, self._options, self._everybodys)
        app.extensions[_KEY] = state
        # Flask-Mail's Message looks here for its default sender.
        app.extensions.setdefault(_FLASK_MAILS_KEY, state)

    def send(self, mail: Sendable | None = None, /, **fields: Any) -> None:
        """Send an email, and do not wait; with ``SMTP_OUTBOX``, only until it is on disk.

        Args:
            mail: a `SendMail`, or a ``Message`` of Flask-Mail; or instead of it,
            fields: the arguments of `SendMail`. Without `sender`, ``MAIL_DEFAULT_SENDER`` counts.
                A sender may be an address, ``"Name <address>"``, or a pair of name and address.

        Raises:
            ValueError: the email is invalid.
            TypeError: something has the wrong type.
            RuntimeError: there is no application context, or the application was not initialised.
            OutboxError: the file of ``SMTP_OUTBOX`` cannot be written. Nothing is sent.
        """
        state = self._state()
        state.send(state.made(mail, fields))

    def ask(
        self, mail: Sendable | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> Outcome:
        """Send an email, wait, and return its outcome.

        By default a deferred email is retried for about two hours: pass ``retry=NO_RETRY`` to
        `Mail`, or a timeout here, where somebody waits for the page.

        Args:
            mail: as for `send`.
            timeout: seconds to wait at most. The email goes on after it.
            fields: as for `send`.

        Raises:
            pykka.Timeout: there is no outcome yet.
            ValueError: the email is invalid.
            TypeError: something has the wrong type.
            RuntimeError: as for `send`.
        """
        state = self._state()
        return state.mailer.ask(state.made(mail, fields), timeout=timeout)

    @overload
    def on_success(self, receiver: flask.Flask, /) -> Callable[[_Hears], _Hears]: ...
    @overload
    def on_success(self, receiver: _Hears, /) -> _Hears: ...
    def on_success(self, receiver: Any, /) -> Any:
        """Call a function with each `SendSuccess` of what this extension sends.

        ``receiver(alias, outcome=outcome)`` runs on the bus's thread, in the context of the
        application that sent the email. It is kept: a function within a factory is not lost.

        Args:
            receiver: the function, for all applications of this extension; or an application,
                ``@mail.on_success(app)``, for that one only.
        """
        return self._connect(receiver, is_success=True)

    @overload
    def on_failure(self, receiver: flask.Flask, /) -> Callable[[_Hears], _Hears]: ...
    @overload
    def on_failure(self, receiver: _Hears, /) -> _Hears: ...
    def on_failure(self, receiver: Any, /) -> Any:
        """Call a function with each `SendFailure`. See `on_success`."""
        return self._connect(receiver, is_success=False)

    def _connect(self, given: Any, *, is_success: bool) -> Any:
        if isinstance(given, flask.Flask):
            return functools.partial(_keep, _state_of(given).own[is_success])
        return _keep(self._everybodys[is_success], given)

    @property
    def mailer(self) -> MailerRef:
        """The `Mailer` of this application and process, for `Statistics` or `tell_all`."""
        return self._state().mailer

    def record_messages(self) -> AbstractContextManager["RecordedMails"]:
        """Record what is sent in a ``with`` block, for tests: `pykka_smtp.testing.record_mails`."""
        from .testing import record_mails

        return record_mails()

    def _state(self) -> "_State":
        return _state_of(self._app or flask.current_app)


def _state_of(app: flask.Flask) -> "_State":
    state: object = app.extensions.get(_KEY)
    if not isinstance(state, _State):
        raise RuntimeError(  # noqa: TRY004 - it is about a call that is missing
            f"mail.init_app() was not called with the application {app.name!r}"
        )
    return state


def _keep(receivers: list[Callable[..., object]], receiver: _Hears) -> _Hears:
    if not callable(receiver):
        raise TypeError(f"a receiver must be callable, not {type(receiver).__name__}")
    receivers.append(receiver)
    return receiver


class _State:
    """What one application has of the extension.

    Attributes:
        default_sender: what Flask-Mail's ``Message`` takes as its sender.
        ascii_attachments: whether Flask-Mail's ``Message`` writes names of files in ASCII.
        own: the receivers of successes, under True, and of failures, under False.
    """

    def __init__(
        self,
        app: flask.Flask,
        options: dict[str, Any],
        everybodys: dict[bool, list[Callable[..., object]]],
    ) -> None:
        self._app = app
        self._everybodys = everybodys
        self.own: dict[bool, list[Callable[..., object]]] = {True: [], False: []}
        self.ascii_attachments: bool = bool(_setting(app, "MAIL_ASCII_ATTACHMENTS"))
        self.default_sender: str | tuple[str | None, str] | None = _setting(
            app, "MAIL_DEFAULT_SENDER"
        )
        self._check_default_sender()
        # Secrets are wrapped where they are first passed on: no frame's locals show them.
        self._has_outbox = bool(_setting(app, "SMTP_OUTBOX"))
        self._mailer = self._mailer_of(_settings(app, options) | options)
        few = {name: value for name, value in options.items() if name in _RECORDS}
        alias = check_alias(options.get("alias", _alias(app)))
        self._recording = ProcessMailer(
            {"url": "record:", "alias": alias, **few},
            None if self._has_outbox else self.find_receivers,  # one finds them for the alias
        )
        # In tests there is an application for each; its Mailer would live as long as the process.
        weakref.finalize(self, _finish, self._mailer, self._recording).atexit = False

    def _mailer_of(self, options: dict[str, Any]) -> ProcessMailer:
        hide_secrets(options)
        if not self._has_outbox:
            return ProcessMailer(options, self.find_receivers)
        sends = bool(_setting(self._app, "SMTP_OUTBOX_SEND", default=True))
        return ProcessOutbox(_path(self._app), options, self.find_receivers, sends=sends)

    def _check_default_sender(self) -> None:
        if self.default_sender is not None:
            if isinstance(self.default_sender, list):  # as files of settings have pairs
                self.default_sender = cast("tuple[str, str]", tuple(self.default_sender))
            name, address = _split("MAIL_DEFAULT_SENDER", self.default_sender)
            SendMail(sender=address, from_name=name, recipients=address)  # raises if it is wrong

    @property
    def mailer(self) -> MailerRef:
        # Looked up each time: a test may set TESTING after the factory has returned.
        is_suppressed = _setting(self._app, "MAIL_SUPPRESS_SEND")
        if is_suppressed is None:
            is_suppressed = self._app.testing
        return (self._recording if is_suppressed else self._mailer).ref

    def send(self, mail: SendMail) -> None:
        """Have an email sent."""
        mailer = self.mailer
        if self._has_outbox and isinstance(mailer, OutboxRef):
            mailer.ask(Put(mail))
        else:
            mailer.tell(mail)

    def made(self, mail: Sendable | None, fields: dict[str, Any]) -> SendMail:
        """Return the email."""
        if mail is None:
            return self._from_fields(fields)
        if fields:
            raise TypeError(f"{', '.join(fields)}: belongs into the email that is given, too")
        if isinstance(mail, SendMail):
            return mail
        if callable(getattr(mail, "as_bytes", None)) and hasattr(mail, "bcc"):
            return _from_message(mail)
        raise TypeError(
            f"needs a SendMail, a Message of Flask-Mail, or fields, not {type(mail).__name__}"
        )

    def _from_fields(self, fields: dict[str, Any]) -> SendMail:
        sender = fields.pop("sender", None) or self.default_sender
        if sender is None:
            raise TypeError("sender is missing; give it, or set MAIL_DEFAULT_SENDER")
        name, address = _split("sender", sender)
        if name is not None and fields.get("message") is None:
            fields.setdefault("from_name", name)
        return SendMail(sender=address, **fields)

    def find_receivers(self, outcome: Outcome) -> list[Receiver]:
        """Return what calls the receivers of an outcome."""
        is_success = isinstance(outcome, SendSuccess)
        receivers = (*self._everybodys[is_success], *self.own[is_success])
        return [_InContext(self._app, receiver) for receiver in receivers]


class _InContext:
    """Calls a receiver in the context of an application."""

    def __init__(self, app: flask.Flask, receiver: Callable[..., object]) -> None:
        self._app = app
        self._receiver = receiver

    def __str__(self) -> str:
        return str(Described(self._receiver))  # for the log

    def __call__(self, outcome: Outcome) -> None:
        with self._app.app_context():
            self._app.ensure_sync(self._receiver)(outcome.alias, outcome=outcome)


def _finish(*mailers: ProcessMailer) -> None:
    for mailer in mailers:
        mailer.finish()


# Settings


def _setting(app: flask.Flask, name: str, default: object = None) -> Any:
    # Not kept in a variable, which a traceback might show with all that is in it.
    return cast("dict[str, Any]", app.config).get(name, default)


def _path(app: flask.Flask) -> str:
    path = _setting(app, "SMTP_OUTBOX")
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"SMTP_OUTBOX: needs the path of a file, not {type(path).__name__}")
    # Not in the current folder: each server of programs starts in another.
    return os.fspath(Path(app.instance_path) / cast("str | os.PathLike[str]", path))


def _alias(app: flask.Flask) -> str:
    return f"flask:{app.name}"


def _settings(app: flask.Flask, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that an application's settings mean, where they are not given."""
    options: dict[str, Any] = {"alias": _alias(app), "debug": bool(_setting(app, "MAIL_DEBUG"))}
    if _setting(app, "MAIL_MAX_EMAILS") is not None:
        options["max_mails_per_connection"] = _setting(app, "MAIL_MAX_EMAILS")
    if "url" in given:
        return options  # the settings are about another server, their password, too
    if _setting(app, "SMTP_URL"):
        return options | {"url": _setting(app, "SMTP_URL")}
    is_implicit = bool(_setting(app, "MAIL_USE_SSL"))
    if is_implicit and _setting(app, "MAIL_USE_TLS"):
        raise ValueError(
            "MAIL_USE_TLS and MAIL_USE_SSL: set one; the first is STARTTLS, the other implicit TLS"
        )
    if is_implicit or _setting(app, "MAIL_USE_TLS"):
        options["tls"] = "implicit" if is_implicit else "starttls"
    return options | {
        "server": _setting(app, "MAIL_SERVER") or "localhost",
        "port": _setting(app, "MAIL_PORT") or (465 if is_implicit else 25),
        "username": _setting(app, "MAIL_USERNAME") or None,
        "password": _setting(app, "MAIL_PASSWORD") or None,
    }


# Emails


def _split(field: str, sender: Any) -> tuple[str | None, str]:
    names, [address] = split_names(field, (sender,))
    return None if names is None else names[0], address


def _from_message(message: MessageLike) -> SendMail:
    """Return the email that a ``Message`` of Flask-Mail is."""
    if not message.sender:
        raise TypeError("the message has no sender; give it, or set MAIL_DEFAULT_SENDER")
    if getattr(message, "has_bad_headers", bool)():
        raise ValueError("the message has a line break in its subject or an address")
    options = [*getattr(message, "mail_options", ()), *getattr(message, "rcpt_options", ())]
    for option in options:
        if not str(option).upper().startswith(_ALREADY_NEGOTIATED):
            raise ValueError(f"the option {option!r}: use SendMail, which has dsn and others")
    import email  # late: a program with such a message has imported it already

    shown = _addresses("recipients", [*message.recipients, *message.cc])
    blind = _addresses("bcc", message.bcc)
    fields: dict[str, Any] = {"recipients": shown} if shown or not blind else {}
    return SendMail(
        sender=_split("sender", message.sender)[1],
        bcc=blind,
        **fields,
        # As an object, it has a form for servers without 8BITMIME, too.
        message=email.message_from_bytes(message.as_bytes()),
    )


def _addresses(field: str, recipients: "list[Recipient]") -> tuple[str, ...]:
    return tuple(dict.fromkeys(split_names(field, tuple(recipients))[1]))
