"""The life of one send, from its permit to its outcome; what an `SmtpActor` is built on."""

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, cast

from ..signals.bus import publish, smtp_send_progress, smtp_server_reply
from ..signals.outcome import Outcome, outcome_of
from ..signals.send_mail import SendMail
from ..smtp.mail.content import Content
from ..smtp.mail.envelope import Envelope
from ..smtp.session.dialog.dialog import Dialog
from ..smtp.session.dialog.transcript import Trace
from ..smtp.session.express_dialog import dialog_for
from ..smtp.session.opening.session import Session, TlsPolicy
from ..smtp.session.transaction.delivery import Delivery
from ..smtp.words.peer import Peer
from ..smtp.words.stage import Stage
from ..smtp.words.verdict import Failed, FailureKind, Verdict
from .loop import guard
from .loop.asyncio_actor import Answer, AsyncioActor
from .loop.event_loop import event_loop
from .net.connecting.route import Route
from .net.connection_limit import Permit, connection_limit
from .net.data.mail_source import FileSource, SourceError
from .net.ehlo_name import address_literal, complete_host_name
from .net.wire.connecting_wire import name_addresses
from .net.wire.connection import Connection
from .options.in_force import in_force
from .options.options import Options
from .preparation import limit, preparing, source_of
from .session_trace import trace_of

if TYPE_CHECKING:
    from .session_watcher import SessionWatcher

_logger = logging.getLogger("pykka_smtp.session")


class SendingActor(AsyncioActor):
    """Carries one send: opens the source, connects, delivers, tries other addresses, concludes.

    It is the `Owner` of its connection. Subclasses say where the email comes from, which
    connection to use, and where the outcome goes.
    """

    _options: Options

    # Initial values are on the class: an actor that sends one email changes few of them.
    _mail: SendMail | None = None
    _answer: Answer | None = None
    _outcome: Outcome | None = None
    _connection: Connection | None = None
    _dialog: Dialog | None = None
    _source: FileSource | None = None
    _content: Content | None = None  # of an email in a file, or signed, once it is ready
    _second: tuple[Delivery, Route] | None = None  # next, once this connection is closed
    _fallback: tuple[Delivery, Route] | None = None  # used if every other address fails
    _may_try_again = True
    _opening: "asyncio.Future[Content] | None" = None
    _permit: Permit | None = None
    _is_published = False
    _began: float | None = None
    _transcript: list[str] | None = None
    _watcher: "SessionWatcher | None" = None
    _time: Callable[[], float] | None = None  # the loop's, where it is at hand

    def on_stop(self) -> None:
        """Cancel the send; publish its outcome if there is none yet."""
        if self._connection is not None:
            self._connection.cancel()
        if self._is_undecided:
            # It waits for a permit, for a file, or for the next delivery.
            if self._opening is not None:
                self._opening.cancel()
            self._end_without_connection(FailureKind.CANCELLED, "stopped before it could connect")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,  # noqa: ARG002 - Pykka's signature
        exception_value: BaseException | None,
        traceback: TracebackType | None,  # noqa: ARG002
    ) -> None:
        """Publish the outcome after an internal error, and stop: that is an outcome too."""
        if exception_value is None:
            return
        connection, opening = self._connection, self._opening
        if opening is not None:
            opening.cancel()
        connection_limit.cancel_wait(self)
        guard.each(
            # First, because its dialog knows whether the email may have been accepted.
            lambda: None if connection is None else connection.crashed(exception_value),
            lambda: self._tell_in_spite_of(exception_value),
            self._leave,
        )

    def _tell_in_spite_of(self, error: BaseException) -> None:
        """Make sure that there is an outcome and that it is published."""
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

    def abandon(self) -> None:
        """Forget the send in a forked child; it belongs to the parent."""
        super().abandon()
        if self._connection is not None:
            self._connection.abandon()

    @property
    def is_busy(self) -> bool:
        """Whether it has an email without an outcome."""
        return self._is_undecided or bool(self.actor_inbox.envelopes)

    @property
    def _is_undecided(self) -> bool:
        """Whether there is an email without an outcome."""
        return self._mail is not None and self._outcome is None

    def _permitted(self, permit: Permit) -> None:
        """Called when the permit is granted, once, on any thread."""
        self._permit = permit
        if event_loop().is_current():
            # An error here is this send's, not that of the send that returned the permit.
            guard.call(self, self._begin)
        else:
            event_loop().loop.call_soon_threadsafe(guard.call, self, self._begin)

    def _begin(self) -> None:
        if self._has_stopped:
            self._give_permit_back()
            return
        mail = self._mail
        assert mail is not None
        self._began = event_loop().loop.time()
        content, options = self._content or mail.content, self._options
        is_changed = mail.dkim or options.dkim or mail.protect or options.protect
        if content is not None and (self._content or not is_changed):
            self._connect(mail, content)
        else:
            self._prepare(mail)

    def _prepare(self, mail: SendMail) -> None:
        """Open the file, or sign, before connecting: an unreadable email needs no connection."""
        source = self._source = source_of(mail, self._options)
        opening = self._opening = preparing(mail, self._options, source, self._paths(mail))
        deadline = self._options.timeouts.deadline
        limit(opening, deadline, functools.partial(guard.call, self, self._step_aside))
        opening.add_done_callback(functools.partial(guard.call, self, self._prepared, mail))

    def _prepared(self, mail: SendMail, opening: "asyncio.Future[Content]") -> None:
        """Called when the email is ready, or can't be, or took too long."""
        if self._has_stopped or not self._is_undecided:
            return
        try:
            content = opening.result()
        except (SourceError, BlockingIOError) as error:
            self._end_without_connection(FailureKind.LOCAL, str(error))
        except asyncio.CancelledError:
            self._end_without_connection(FailureKind.LOCAL, "reading the email took too long")
        else:
            self._content = content
            self._step_back(mail, content)

    def _paths(self, mail: SendMail) -> Sequence[str]:
        """Return the recipients of this attempt."""
        return mail.envelope.forward_paths

    def _step_aside(self) -> None:
        """Release the permit while the file opens. Called if that takes a while."""
        self._give_permit_back()

    def _step_back(self, mail: SendMail, content: Content) -> None:
        """Continue now that the file is open; acquire a permit again if it was released."""
        if self._permit is not None:
            self._connect(mail, content)
        else:
            connection_limit.acquire(self, self._permitted, is_pressing=True)

    def _connect(self, mail: SendMail, content: Content) -> None:
        session, connection = self._new_session(), self._options.new_connection()
        self._send(session, mail.envelope, content, connection)

    def _new_session(self) -> Session:
        options = self._options = in_force(self._options)
        return Session(
            server=options.name,
            ehlo_name=options.local_hostname or complete_host_name() or "",
            is_lmtp=options.is_lmtp,
            tls_policy=TlsPolicy.OFF if options.tls is None else options.tls.policy,
            authentication=options.authentication,
            without=options.without,
            quirks=options.quirks,
        )

    def _send(
        self,
        session: Session,
        envelope: Envelope,
        content: Content,
        connection: Connection,
        *,
        keep_open: bool = False,
    ) -> None:
        options = self._options
        if smtp_server_reply.receivers or smtp_send_progress.receivers:
            self._watch(connection)
        is_traced = options.debug or self._watcher or _logger.isEnabledFor(logging.DEBUG)
        trace = self._trace() if is_traced else None
        redact = options.redactor
        self._run(dialog_for(session, envelope, content, keep_open, trace, redact), connection)

    def _open(self, delivery: Delivery, connection: Connection) -> None:
        if self._watcher is not None:
            self._watch(connection)
        self._run(Dialog(delivery, self._trace(), self._options.redactor), connection)

    def _run(self, dialog: Dialog, connection: Connection) -> None:
        self._dialog = dialog
        self._connection = connection
        connection.permit = self._permit
        connection.run(self, dialog, source=self._source, began=self._began)

    def _watch(self, connection: Connection) -> None:
        """Publish replies and progress: somebody has connected to one of these signals."""
        mail = self._mail
        assert mail is not None
        if self._watcher is None:
            from .session_watcher import SessionWatcher  # late: few need it

            self._watcher = SessionWatcher(mail, self._options.alias)
        self._watcher.begin(connection, self._content or mail.content)

    def _trace(self) -> Trace | None:
        """Return what records the session's lines; None without `debug` and DEBUG logging."""
        options, watcher = self._options, self._watcher
        logger = _logger if _logger.isEnabledFor(logging.DEBUG) else None
        if not (options.debug or logger or watcher):
            return None
        assert self._mail is not None
        if options.debug and self._transcript is None:
            self._transcript = []
        return trace_of(self._mail.id, options.alias, self._transcript, logger, watcher)

    def connected(self) -> None:
        """Called once per connection, when connected, before its first dialog starts.

        Set the EHLO argument to an address literal if this host has no name (RFC 5321 §4.1.4).
        """
        assert self._dialog is not None
        assert self._connection is not None
        session = self._dialog.session
        if not (self._options.local_hostname or complete_host_name()):
            # For each connection: the previous one may have used the other IP version.
            session.ehlo_name = address_literal(self._connection.local_address)

    def decided(self, verdict: Verdict) -> None:
        """Called with the verdict: publish the outcome, or prepare another delivery.

        Called once per dialog, and again only after an internal error.
        """
        connection, dialog = self._connection, self._dialog
        if not self._is_undecided:
            if self._outcome is not None:
                self._report(self._outcome)  # in case publishing raised the first time
            return
        if isinstance(verdict, Failed) and connection is not None and dialog is not None:
            if self._finds_another_way(verdict, cast("Delivery", dialog.delivery), connection):
                return
            verdict = name_addresses(verdict, connection)
        self._conclude(verdict, connection.peer if connection else None)

    def _conclude(self, verdict: Verdict, peer: Peer | None) -> None:
        """Turn the verdict into the outcome of the send, and publish it."""
        mail = self._mail
        assert mail is not None
        outcome = self._outcome = self._build(mail, verdict, peer)
        self._report(outcome)

    def _finds_another_way(
        self, failed: Failed, delivery: Delivery, connection: Connection
    ) -> bool:
        """Prepare another delivery if one may succeed. Return whether there is one.

        Another address of the server comes first; the fallback (such as HELO instead of EHLO) is
        kept until no address is left, and used once.
        """
        if self._has_stopped:
            return False
        fallback = None
        if self._may_try_again and (second := delivery.fallback(failed)) is not None:
            fallback = second, connection.again()
        elsewhere = delivery.elsewhere(failed, connection.address)
        following = None if elsewhere is None else connection.elsewhere()
        if elsewhere is not None and following is not None:
            self._fallback = self._fallback or fallback
            self._second = elsewhere, following
            return True
        self._second = fallback or self._fallback
        self._may_try_again, self._fallback = False, None
        return self._second is not None

    def _report(self, outcome: Outcome) -> None:
        """Publish the outcome, and answer the `ask` if there was one."""
        try:
            if not self._is_published:
                answer = self._answer
                publish(outcome, is_asked=answer is not None and answer.is_asked)
                self._is_published = True
        finally:
            if self._answer is not None:
                self._answer.set(outcome)

    def released(self) -> None:
        """Called when the dialog has ended: close the connection, which serves one email only."""
        if self._connection is not None:
            self._connection.set_idle(self)  # `cancel` needs a dialog that has not ended
            self._connection.cancel()

    def closed(self) -> None:
        """Called when the connection is closed: start the next delivery if there is one, else stop.

        Called once, and again only if it raises.
        """
        second, self._second = self._second, None
        if second is not None and self._is_undecided and not self._has_stopped:
            guard.call(self, self._open_again, *second)
            return
        # Without these references the connection, and all that it holds, is freed at once: to
        # leave the cycle to the garbage collector costs more than the session itself.
        self._connection = self._dialog = self._answer = None
        self._leave()

    def _open_again(self, delivery: Delivery, route: Route) -> None:
        if self._connection is not None:
            self._connection.permit = None  # the next connection gets it
            self._connection = None
        self._open(delivery, self._options.new_connection(route))

    def _leave(self) -> None:
        """Release the file and the permit, and stop. May be called again if a step raised."""
        if self._watcher is not None:
            self._watcher.end()
        source = self._source
        if source is not None:
            source.give_up()
            if source.is_open:
                event_loop().file_pool.surely(source.close)
            self._source = None
        self._give_permit_back()
        self.stop_now()

    def _build(self, mail: SendMail, verdict: Verdict, peer: Peer | None) -> Outcome:
        began = self._began
        return outcome_of(
            verdict,
            mail=mail,
            alias=self._options.alias,
            recipients_in_order=self._addresses(mail),
            peer=peer,
            elapsed=0.0 if began is None else (self._time or event_loop().loop.time)() - began,
            transcript=tuple(self._transcript or ()),
        )

    def _addresses(self, mail: SendMail) -> Sequence[str]:
        """Return the recipients that the outcome reports on."""
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

    def _give_permit_back(self) -> None:
        if self._permit is not None:
            self._permit.release()
            self._permit = None
