"""`SmtpActor`: a short-lived actor that sends one email."""

from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from pykka import ActorRef, Future

from ..signals.bus import publish
from ..signals.outcome import Outcome
from ..signals.send_mail import SendMail
from ..smtp.words.stage import Stage
from ..smtp.words.verdict import Failed, FailureKind
from .loop import guard
from .net.connection_limit import connection_limit
from .options.connection_options import DEFAULTS, ConnectionOptions
from .options.hiding import harmless_of, wrap_secret_url, wrap_secret_urls, wrap_secrets_in
from .options.options import collect_options
from .sending_actor import SendingActor


class SmtpActorRef(ActorRef["SmtpActor"]):
    """An `ActorRef` whose `ask` is typed: the answer to a `SendMail` is its outcome."""

    if TYPE_CHECKING:
        # Overloads match in order, so the specific ones come first, unlike in the base class.
        @overload  # type: ignore[override]
        def ask(
            self, message: SendMail, *, block: Literal[False], timeout: float | None = None
        ) -> Future[Outcome]: ...
        @overload
        def ask(
            self, message: SendMail, *, block: Literal[True] = True, timeout: float | None = None
        ) -> Outcome: ...
        @overload
        def ask(
            self, message: Any, *, block: Literal[False], timeout: float | None = None
        ) -> Future[Any]: ...
        @overload
        def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...
        def ask(  # pyright: ignore[reportIncompatibleMethodOverride]
            self, message: Any, *, block: bool = True, timeout: float | None = None
        ) -> Any:
            """Send an actor message and return its answer. See `pykka.ActorRef.ask`."""
            ...


class SmtpActor(SendingActor):
    """Sends one email, publishes its outcome, and stops.

    Start one for each email, and tell it (or ask it for the outcome)::

        SmtpActor.start("mail.example.org", alias="news").tell(SendMail(...))
        outcome = SmtpActor.start("mail.example.org").ask(SendMail(...))

    Whatever happens, each `SendMail` gets exactly one outcome: `SendSuccess` is published as
    `smtp_send_success`, `SendFailure` as `smtp_send_failure`, both with the alias as sender.
    `stop` cancels a send at once, with the outcome ``CANCELLED``.
    """

    _ref_type = SmtpActorRef
    _plain_message = SendMail

    if TYPE_CHECKING:

        @classmethod
        def start(  # pyright: ignore[reportIncompatibleMethodOverride]
            cls, server: str = "localhost", port: int = 25, **options: Unpack[ConnectionOptions]
        ) -> SmtpActorRef:
            """Start an actor with the options that `__init__` describes."""
            ...

    else:

        @classmethod
        def start(cls, *args: Any, **kwargs: Any) -> SmtpActorRef:
            """Start an actor with the options of `__init__`. See `pykka.Actor.start`."""
            if kwargs:
                wrap_secrets_in(kwargs, _HARMLESS if cls.__init__ is SmtpActor.__init__ else None)
            args = wrap_secret_urls(args)
            return super().start(*args, **kwargs)

    def __init__(
        self, server: str = "localhost", port: int = 25, **options: Unpack[ConnectionOptions]
    ) -> None:
        """Check the options, in the thread that calls `start`. Nothing is sent yet.

        Args:
            server: the host name or IP address of the server.
            port: its port, 1 to 65535.
            options: see `ConnectionOptions`.

        Raises:
            ValueError: an option is invalid.
            TypeError: an option has the wrong type, or is unknown.
            ImportError: an option needs a package that is not installed.
        """
        super().__init__()
        self._outcome = self._second = None  # read often: faster on the instance than on the class
        # Wrapped first, so that a traceback that shows local variables shows no secret.
        if type(server) is not str or ":" in server or "@" in server:
            server = wrap_secret_url(server)
        if type(port) is not int:
            port = wrap_secret_url(port)
        if options:
            wrap_secrets_in(cast("dict[str, Any]", options), _HARMLESS)
        self._options = collect_options(server, port, **options)

    def __repr__(self) -> str:
        if not hasattr(self, "_options"):  # `__init__` raised
            return "<SmtpActor>"
        state = "idle" if self._mail is None else "done" if self._outcome else "sending"
        return f"<SmtpActor {self._options.alias!r} {self._options.name} {state}>"

    def on_receive(self, message: Any) -> Any:
        """Start the send. A second email is refused with an outcome of its own."""
        if not isinstance(message, SendMail):
            try:
                return self.misunderstood(message, "an SmtpActor takes a SendMail")
            finally:
                if self._mail is None:
                    # No email will come, and the process would wait for this actor at exit.
                    self._stop()
        if self._mail is not None:
            return self._refuse(message, "an SmtpActor sends one email; start another for this one")
        self._mail = message
        is_pressing = self.is_told_by_receiver
        self._answer = self.answer_later()
        connection_limit.acquire(self, self._permitted, is_pressing=is_pressing)
        return None

    def _fail(self, message: object) -> None:
        if isinstance(message, SendMail) and self._mail is not message:
            if self._mail is not None:  # the first send continues
                guard.surely(lambda: self._refuse(message, "internal error in pykka-smtp"))
                return
            self._mail = message
        super()._fail(message)

    def on_discard(self, message: Any) -> None:
        """Publish an outcome for an email that arrived after the actor had stopped."""
        if isinstance(message, SendMail):
            self._refuse(message, "the actor was stopped before it handled the email")
        else:
            super().on_discard(message)

    def _refuse(self, mail: SendMail, detail: str) -> Outcome:
        """Publish and return the outcome of an email that this actor does not send."""
        failed = Failed(
            kind=FailureKind.CANCELLED, stage=Stage.CONNECT, detail=detail, retryable=True
        )
        outcome = self._build(mail, failed, None)
        handling = self._handling
        publish(outcome, is_asked=handling is not None and handling.reply_to is not None)
        return outcome


_HARMLESS = harmless_of(DEFAULTS)
