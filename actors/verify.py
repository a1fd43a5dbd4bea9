"""`verify`: checks whether a server can be used to send email, and what it offers."""

import asyncio
from dataclasses import dataclass
from typing import Any, Self, Unpack, cast

import pykka

from ..smtp.session.dialog.transcript import Trace
from ..smtp.session.transaction.delivery import Delivery
from ..smtp.session.transaction.verification import Verification
from ..smtp.words.peer import Peer
from ..smtp.words.stage import Stage
from ..smtp.words.verdict import Failed, FailureKind, Verdict
from .loop import guard
from .loop.asyncio_actor import AsyncioActor
from .loop.event_loop import event_loop
from .net.connection_limit import connection_limit
from .net.wire.connection import Connection
from .options.connection_options import DEFAULTS, ConnectionOptions
from .options.hiding import harmless_of, wrap_secret_url, wrap_secrets_in
from .options.options import Options, collect_options
from .smtp_actor import SmtpActor

_GRACE = 5.0
"""Seconds after the deadline at which the event loop itself must be blocked: 50 ticks of its
clock, and time for QUIT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """The result of a session without an email.

    Attributes:
        server: the server's name and port, or the path of its socket.
        is_ready: whether an email could be sent with these options.
        detail: one line for people; if it is not ready, the reason.
        offers: the extensions that the server offers, with their parameters.
        authenticated: whether authentication succeeded.
        peer: the server's address and TLS parameters; None if there was no connection.
        failure: the verdict, if the session failed.
        warnings: oddities that did not matter.
        transcript: the lines of the session, secrets redacted.
    """

    server: str
    is_ready: bool
    detail: str
    offers: tuple[str, ...]
    authenticated: bool
    peer: Peer | None
    failure: Failed | None
    warnings: tuple[str, ...]
    transcript: tuple[str, ...]

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True, slots=True)
class _Verify:
    """The actor message that asks a `VerifyActor` for the report."""


def verify(
    server: str = "localhost", port: int = 25, **options: Unpack[ConnectionOptions]
) -> ServerReport:
    """Connect, start TLS and authenticate as a send would, and send QUIT.

    Blocks until there is a report, at most for `deadline` seconds. Not for use on the event-loop
    thread. It needs one of the process's connections (`set_connection_limit`), and waits for it
    within the same deadline.

    Args:
        server: the host name or IP address of the server.
        port: its port.
        options: see `ConnectionOptions`.

    Returns:
        The report, also about a server that can't be reached or rejects the session.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type, or is unknown.
        ImportError: an option needs a package that is not installed.
    """
    wrap_secrets_in(cast("dict[str, Any]", options), _HARMLESS)
    server, port = wrap_secret_url(server), wrap_secret_url(port)
    chosen = collect_options(server, port, "verify", **options)
    actor = VerifyActor.start(chosen)
    try:
        answer = actor.ask(_Verify(), block=False)
        report: ServerReport = answer.get(timeout=chosen.timeouts.deadline + _GRACE)
    except pykka.Timeout:
        actor.stop(block=False)
        return _without_answer(chosen, FailureKind.INTERNAL, "the event loop does not answer")
    except pykka.ActorDeadError:  # stopped before it answered, as by `ActorRegistry.stop_all`
        return _without_answer(chosen, FailureKind.CANCELLED, "stopped before it could connect")
    except BaseException:
        # Usually Ctrl-C: the report is not needed any more.
        actor.stop(block=False)
        raise
    return report


def _without_answer(options: Options, kind: FailureKind, detail: str) -> ServerReport:
    failure = Failed(kind=kind, stage=Stage.CONNECT, detail=detail, retryable=True)
    return _report(options, failure, None, None, ())


def _report(
    options: Options,
    verdict: Verdict,
    verification: Verification | None,
    peer: Peer | None,
    transcript: tuple[str, ...],
) -> ServerReport:
    failure = verdict if isinstance(verdict, Failed) else None
    offers = () if verification is None else verification.session.extensions.lines
    return ServerReport(
        server=options.name,
        is_ready=failure is None,
        detail=f"{options.name} is ready" if failure is None else failure.detail,
        offers=tuple(map(options.redactor or str, offers)),
        authenticated=failure is None and options.authentication is not None,
        peer=peer,
        failure=failure,
        warnings=verdict.warnings,
        transcript=transcript,
    )


class VerifyActor(SmtpActor):
    """Does everything that an `SmtpActor` does, except for sending an email.

    It needs a permit, tries other addresses, and has a deadline as a send has. But the deadline
    starts at once, not with the permit, because a caller is blocked until there is a report.
    """

    _made: ServerReport | None = None
    _is_asked = False
    _patience: asyncio.TimerHandle | None = None

    @classmethod
    def start(  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        cls, options: Options
    ) -> pykka.ActorRef[Self]:
        """Start an actor, without the checks of `SmtpActor.start`."""
        return super(SmtpActor, cls).start(options)

    def __init__(self, options: Options) -> None:
        """Store the options; the message `_Verify` starts the session.

        Args:
            options: where to connect to, and how.
        """
        AsyncioActor.__init__(self)
        self._options = options

    def on_receive(self, message: Any) -> Any:
        """Start the session."""
        if not isinstance(message, _Verify):
            return AsyncioActor.on_receive(self, message)
        self._is_asked = True
        self._answer = self.answer_later()
        loop = event_loop().loop
        self._began = loop.time()
        self._patience = loop.call_later(
            self._options.timeouts.deadline, guard.call, self, self._wait_no_longer
        )
        connection_limit.acquire(self, self._permitted, is_pressing=True)
        return None

    @property
    def _is_undecided(self) -> bool:
        return self._is_asked and self._made is None

    def _wait_no_longer(self) -> None:
        """Fail if there is no connection yet; a connection enforces the same deadline itself."""
        if self._connection is None and self._is_undecided:
            connection_limit.cancel_wait(self)
            seconds = self._options.timeouts.deadline
            detail = (
                f"exceeded deadline={seconds:g} s: no connection was free; this process may have"
                f" {connection_limit.limit} at once (set_connection_limit)"
            )
            self.decided(
                Failed(kind=FailureKind.TIMEOUT, stage=Stage.CONNECT, detail=detail, retryable=True)
            )
            self._leave()

    def _begin(self) -> None:
        if self._has_stopped:
            self._give_permit_back()
            return
        self._open(Verification(self._new_session()), Connection(self._options))

    def _open(self, delivery: Delivery, connection: Connection) -> None:
        # Replaced here for each delivery, so that none sends an email.
        super()._open(Verification(delivery.session), connection)

    def _trace(self) -> Trace | None:
        transcript = self._transcript = self._transcript or []
        return lambda who, line: transcript.append(f"{who}: {line}")

    def _conclude(self, verdict: Verdict, peer: Peer | None) -> None:
        verification = None if self._dialog is None else self._dialog.delivery
        assert verification is None or isinstance(verification, Verification)
        transcript = tuple(self._transcript or ())
        self._made = _report(self._options, verdict, verification, peer, transcript)
        if self._answer is not None:
            self._answer.set(self._made)

    def _leave(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        super()._leave()


_HARMLESS = harmless_of(DEFAULTS)
