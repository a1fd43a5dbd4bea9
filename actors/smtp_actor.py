"""`SmtpActor`: a short-lived actor that sends one mail."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from pykka import ActorRef, Future

from ..signals.bus import publish
from ..signals.outcome import Outcome, outcome_of
from ..signals.send_mail import SendMail
from ..smtp.mail.content import Content, StreamedContent
from ..smtp.session.delivery import Delivery
from ..smtp.session.dialog import Dialog
from ..smtp.session.session import Session, TlsPolicy
from ..smtp.session.transcript import Trace
from ..smtp.words.peer import Peer
from ..smtp.words.stage import Stage
from ..smtp.words.verdict import Failed, FailureKind, Verdict
from .loop import guard
from .loop.asyncio_actor import Answer, AsyncioActor
from .loop.event_loop import event_loop
from .net.connecting_wire import name_addresses
from .net.connection import Connection
from .net.connection_limit import Permit, connection_limit
from .net.ehlo_name import address_literal, complete_host_name
from .net.mail_source import FileSource, SourceError
from .net.route import Route
from .options.connection_options import DEFAULTS, ConnectionOptions
from .options.hiding import harmless_of, wrap_secret_url, wrap_secret_urls, wrap_secrets_in
from .options.options import collect_options

_logger = logging.getLogger("pykka_smtp.session")


_PROMPT = 1.0
"""Seconds within which a file should be open. Until then its mail keeps the place that it has among
the connections; after that another mail may have it, as long as the file takes."""


class SmtpActorRef(ActorRef["SmtpActor"]):
    """Pykka's ref of an actor, with the type of the answer to a `SendMail`: its outcome."""

    if TYPE_CHECKING:
        # The order is not the base's: what is more special comes first.
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
            """Send a message, and wait for the answer. See `pykka.ActorRef.ask`."""
            ...


class SmtpActor(AsyncioActor):
    """Sends one mail, publishes its outcome, and stops.

    Start one for each mail, and tell it (or ask it for the outcome)::

        SmtpActor.start("mail.example.org", alias="news").tell(SendMail(...))
        outcome = SmtpActor.start("mail.example.org").ask(SendMail(...))

    Whatever happens, each `SendMail` gets exactly one outcome: `SendSuccess` is published as
    `smtp_send_success`, `SendFailure` as `smtp_send_failure`, both with the alias as sender.
    `stop` ends a send at once, with the outcome ``CANCELLED``.
    """

    _ref_type = SmtpActorRef

    # What is known at first, once for all actors: nothing.
    _mail: SendMail | None = None
    _answer: Answer | None = None
    _outcome: Outcome | None = None
    _connection: Connection | None = None
    _delivery: Delivery | None = None
    _source: FileSource | None = None
    _content: Content | None = None  # of a mail in a file, once that is open
    _second: Delivery | None = None  # another attempt, once this connection is closed
    _second_route: Route | None = None
    _fallback: tuple[Delivery, Route] | None = None  # if no other address does better
    _may_try_again = True
    _opening: asyncio.Task[None] | None = None
    _permit: Permit | None = None
    _is_published = False
    _began: float | None = None
    _transcript: list[str] | None = None

    if TYPE_CHECKING:

        @classmethod
        def start(  # pyright: ignore[reportIncompatibleMethodOverride]
            cls, server: str = "localhost", port: int = 25, **options: Unpack[ConnectionOptions]
        ) -> SmtpActorRef:
            """Start an actor, with the options that `__init__` describes."""
            ...

    else:

        @classmethod
        def start(cls, *args: Any, **kwargs: Any) -> SmtpActorRef:
            """Start an actor, with the options of `__init__`. See `pykka.Actor.start`."""
            if kwargs:
                wrap_secrets_in(kwargs, _HARMLESS if cls.__init__ is SmtpActor.__init__ else None)
            args = wrap_secret_urls(args)
            return super().start(*args, **kwargs)

    def __init__(
        self, server: str = "localhost", port: int = 25, **options: Unpack[ConnectionOptions]
    ) -> None:
        """Check the options; runs in the thread that calls `start`. Nothing is sent yet.

        Args:
            server: the server's name or address.
            port: its port, 1 to 65535.
            options: `ConnectionOptions` says what there is.

        Raises:
            ValueError: an option is invalid.
            TypeError: an option has the wrong type, or there is no such option.
            ImportError: an option needs what is not installed.
        """
        super().__init__()
        self._outcome = self._second = None  # here, because they are looked at again and again
        # From here on the secrets can't be seen in a traceback that shows local variables.
        if type(server) is not str or ":" in server or "@" in server:
            server = wrap_secret_url(server)
        if type(port) is not int:
            port = wrap_secret_url(port)
        if options:
            wrap_secrets_in(cast("dict[str, Any]", options), _HARMLESS)
        self._options = collect_options(server, port, **options)

    def __repr__(self) -> str:
        if not hasattr(self, "_options"):  # one of them was wrong
            return "<SmtpActor>"
        state = "idle" if self._mail is None else "done" if self._outcome else "sending"
        return f"<SmtpActor {self._options.alias!r} {self._options.name} {state}>"

    def on_receive(self, message: Any) -> Any:
        """Take the mail. A second one is refused, with an outcome of its own."""
        if not isinstance(message, SendMail):
            try:
                return self.misunderstood(message, "an SmtpActor takes a SendMail")
            finally:
                if self._mail is None:
                    # There will be none, and the program would wait for this actor at its end.
                    self._stop()
        if self._mail is not None:
            return self._refuse(message, "an SmtpActor sends one mail; start another for this one")
        self._mail = message
        is_pressing = self.is_told_by_receiver
        self._answer = self.answer_later()
        connection_limit.acquire(self, self._permitted, is_pressing=is_pressing)
        return None

    def on_stop(self) -> None:
        """Cancel what is under way; see that there is an outcome."""
        if self._connection is not None:
            self._connection.cancel()
        if self._is_undecided:
            # Waiting for its turn, for a file, or for a second attempt.
            if self._opening is not None:
                self._opening.cancel()
            self._end_without_connection(FailureKind.CANCELLED, "stopped before it could connect")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,  # noqa: ARG002 - Pykka's signature
        exception_value: BaseException | None,
        traceback: TracebackType | None,  # noqa: ARG002
    ) -> None:
        """Tell the outcome of an error of ours, and leave: even that is an outcome."""
        if exception_value is None:
            return
        connection, opening = self._connection, self._opening
        if opening is not None and opening is not asyncio.current_task():
            opening.cancel()
        connection_limit.cancel_wait(self)
        guard.each(
            # It knows best what became of the mail.
            lambda: None if connection is None else connection.crashed(exception_value),
            lambda: self._tell_in_spite_of(exception_value),
            self._leave,
        )

    def _fail(self, message: object) -> None:
        if isinstance(message, SendMail) and self._mail is not message:
            if self._mail is not None:  # which goes on
                guard.surely(lambda: self._refuse(message, "internal error in pykka-smtp"))
                return
            self._mail = message
        super()._fail(message)

    def _tell_in_spite_of(self, error: BaseException) -> None:
        """See that there is an outcome, and that it was told."""
        if self._is_undecided:
            detail = f"internal error in pykka-smtp: {type(error).__name__}: {error}"
            self._conclude(
                Failed(
                    kind=FailureKind.INTERNAL, stage=Stage.CONNECT, detail=detail, retryable=False
                ),
                None,
            )
        elif self._outcome is not None:
            self._report(self._outcome)

    def _stop_failed(self, error: BaseException) -> None:
        guard.end(self, error)

    def on_discard(self, message: Any) -> None:
        """Give a mail that came too late an outcome."""
        if isinstance(message, SendMail):
            self._refuse(message, "the actor was stopped before it took the mail")
        else:
            super().on_discard(message)

    def abandon(self) -> None:
        """Leave the send to the parent, in a forked child."""
        super().abandon()
        if self._connection is not None:
            self._connection.abandon()

    @property
    def _is_undecided(self) -> bool:
        """Whether an outcome is owed."""
        return self._mail is not None and self._outcome is None

    # On the way to a connection.

    def _permitted(self, permit: Permit) -> None:
        """Begin: it is this send's turn. May be called from any thread."""
        self._permit = permit
        if event_loop().is_current():
            guard.call(self, self._begin)  # not to whoever gave the permit back: another send
        else:
            event_loop().loop.call_soon_threadsafe(guard.call, self, self._begin)

    def _begin(self) -> None:
        if self.actor_stopped.is_set():
            self._give_permit_back()
            return
        mail = self._mail
        assert mail is not None
        self._began = event_loop().loop.time()
        content = mail.content or self._content
        if content is not None:
            self._connect(mail, content)
        else:
            self._opening = self._spawn(self._open_source, mail)

    def _spawn(
        self, function: Callable[..., Coroutine[Any, Any, None]], *args: object
    ) -> "asyncio.Task[None]":
        return event_loop().loop.create_task(guard.run(self, function, *args))

    async def _open_source(self, mail: SendMail) -> None:
        """Look at the file first: a mail that can't be read needs no connection."""
        assert mail.source is not None
        source = self._source = FileSource(mail.source)
        loop = event_loop().loop
        timer = loop.call_later(_PROMPT, guard.call, self, self._step_aside)
        try:
            opening = event_loop().file_open_pool.run(source.open)
            facts = await asyncio.wait_for(opening, self._options.timeouts.deadline)
        except (SourceError, BlockingIOError) as error:
            self._end_without_connection(FailureKind.LOCAL, str(error))
        except TimeoutError:
            self._end_without_connection(FailureKind.LOCAL, "reading the mail took too long")
        else:
            if not self.actor_stopped.is_set():
                self._content = StreamedContent(facts)
                self._step_back(mail, self._content)
        finally:
            timer.cancel()

    def _step_aside(self) -> None:
        """Let others have the place of a mail whose file takes its time to open."""
        self._give_permit_back()

    def _step_back(self, mail: SendMail, content: Content) -> None:
        """Go on: the file is open."""
        if self._permit is not None:
            self._connect(mail, content)
        else:
            connection_limit.acquire(self, self._permitted, is_pressing=True)

    def _connect(self, mail: SendMail, content: Content) -> None:
        self._open(Delivery(self._new_session(), mail.envelope, content), Connection(self._options))

    def _new_session(self) -> Session:
        options = self._options
        return Session(
            server=options.name,
            ehlo_name=options.local_hostname or complete_host_name() or "",
            is_lmtp=options.is_lmtp,
            tls_policy=TlsPolicy.OFF if options.tls is None else options.tls.policy,
            authentication=options.authentication,
            without=options.without,
            quirks=options.quirks,
        )

    def _open(self, delivery: Delivery, connection: Connection) -> None:
        self._delivery = delivery
        self._connection = connection
        connection.permit = self._permit
        dialog = Dialog(delivery, self._trace(), self._options.redactor)
        connection.run(self, dialog, source=self._source, began=self._began)

    def _trace(self) -> Trace | None:
        """Return who is to hear the lines of the session, if anybody is."""
        log = _logger.isEnabledFor(logging.DEBUG)
        if not (self._options.debug or log):
            return None

        mail = self._mail
        assert mail is not None
        transcript = self._transcript = self._transcript or []

        def trace(who: str, line: str) -> None:
            if self._options.debug:
                transcript.append(f"{who}: {line}")
            if log:
                _logger.debug("%s %s %s: %s", self._options.alias, mail.id, who, line)

        return trace

    # What the connection tells.

    def connected(self) -> None:
        """Name ourselves by address where there is no name (RFC 5321 §4.1.4)."""
        assert self._delivery is not None
        assert self._connection is not None
        session = self._delivery.session
        if not (self._options.local_hostname or complete_host_name()):
            # Anew for each connection: the one before may have been of the other IP version.
            session.ehlo_name = address_literal(self._connection.local_address)

    def decided(self, verdict: Verdict) -> None:
        """Publish the outcome."""
        connection, delivery = self._connection, self._delivery
        if not self._is_undecided:
            if self._outcome is not None:
                self._report(self._outcome)  # if that broke the first time
            return
        if isinstance(verdict, Failed) and connection is not None and delivery is not None:
            if self._finds_another_way(verdict, delivery, connection):
                return
            verdict = name_addresses(verdict, connection)
        self._conclude(verdict, connection.peer if connection else None)

    def _conclude(self, verdict: Verdict, peer: Peer | None) -> None:
        """Make the verdict an outcome: there is no other attempt."""
        mail = self._mail
        assert mail is not None
        outcome = self._outcome = self._build(mail, verdict, peer)
        self._report(outcome)

    def _finds_another_way(
        self, failed: Failed, delivery: Delivery, connection: Connection
    ) -> bool:
        """Prepare a second attempt, if there is one that may do better; return whether there is."""
        if self.actor_stopped.is_set():
            return False
        fallback = None
        if self._may_try_again and (second := delivery.fallback(failed)) is not None:
            fallback = second, connection.again()
        elsewhere = delivery.elsewhere(failed, connection.address)
        following = None if elsewhere is None else connection.elsewhere()
        if elsewhere is not None and following is not None:
            self._fallback = self._fallback or fallback
            self._second, self._second_route = elsewhere, following
            return True
        way = fallback or self._fallback
        self._may_try_again, self._fallback = False, None
        if way is not None:
            self._second, self._second_route = way
        return way is not None

    def _report(self, outcome: Outcome) -> None:
        """Tell whoever wants to know."""
        try:
            if not self._is_published:
                publish(outcome)
                self._is_published = True
        finally:
            if self._answer is not None:
                self._answer.set(outcome)

    def released(self) -> None:
        """Close: whoever sends one mail keeps no connection."""
        if self._connection is not None:
            self._connection.rest(self)  # the dialog has ended, and would close nothing
            self._connection.cancel()

    def closed(self) -> None:
        """Try again if that may help; else stop: with the connection goes the reason to live."""
        second, self._second = self._second, None
        if second is not None and self._is_undecided and not self.actor_stopped.is_set():
            route, self._second_route = self._second_route or Route(), None
            guard.call(self, self._open_again, second, route)
            return
        # Untied, the connection and all that it has is freed at once: to leave it to the garbage
        # collector costs more than the session itself.
        self._connection = self._delivery = self._answer = None
        self._leave()

    def _open_again(self, delivery: Delivery, route: Route) -> None:
        if self._connection is not None:
            self._connection.permit = None  # it goes with the one that follows
            self._connection = None
        self._open(delivery, Connection(self._options, route))

    def _leave(self) -> None:
        """Give back what others wait for, and stop. If it breaks, it goes on the second time."""
        source = self._source
        if source is not None:
            source.give_up()
            if source.is_open:
                event_loop().file_pool.surely(source.close)
            self._source = None
        self._give_permit_back()
        self.stop_now()

    # Outcomes.

    def _build(self, mail: SendMail, verdict: Verdict, peer: Peer | None) -> Outcome:
        began = self._began
        return outcome_of(
            verdict,
            mail=mail,
            alias=self._options.alias,
            recipients_in_order=self._addresses(mail),
            peer=peer,
            elapsed=0.0 if began is None else event_loop().loop.time() - began,
            transcript=tuple(self._transcript or ()),
        )

    def _addresses(self, mail: SendMail) -> Sequence[str]:
        """Return the recipients of whom the outcome tells."""
        return mail.all_recipients

    def _end_without_connection(self, kind: FailureKind, detail: str) -> None:
        connection_limit.cancel_wait(self)
        self.decided(
            Failed(
                kind=kind,
                stage=Stage.CONNECT,
                detail=detail,
                retryable=kind is FailureKind.CANCELLED,
            )
        )
        if self._connection is not None:
            self._connection.cancel()
            return
        self._leave()

    def _refuse(self, mail: SendMail, detail: str) -> Outcome:
        """Publish and return the outcome of a mail that this actor does not send."""
        failed = Failed(
            kind=FailureKind.CANCELLED, stage=Stage.CONNECT, detail=detail, retryable=True
        )
        outcome = self._build(mail, failed, None)
        publish(outcome)
        return outcome

    def _give_permit_back(self) -> None:
        if self._permit is not None:
            self._permit.release()
            self._permit = None


_HARMLESS = harmless_of(DEFAULTS)
