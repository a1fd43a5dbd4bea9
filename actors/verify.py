"""`verify`: can a mail be sent this way, and what does the server offer?"""

from dataclasses import dataclass
from typing import Any

from ..signals.outcome import Peer
from ..smtp.dialog import Dialog
from ..smtp.next_address import is_of_the_address
from ..smtp.session import Session, TlsPolicy
from ..smtp.verdict import Failed, Verdict
from ..smtp.verification import Verification
from .asyncio_actor import Answer, AsyncioActor
from .connection import Connection, Route, name_addresses
from .ehlo_name import address_literal, complete_host_name
from .options import Options, collect_options, hide_in

_GRACE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """What a server said to a session without a mail.

    Attributes:
        server: the server's name and port, or the path of its socket.
        is_ready: whether a mail could be sent this way.
        detail: one line for people: why not, if it could not.
        offers: the extensions that the server offers, with their parameters.
        authenticated: whether we authenticated.
        peer: the server's address, and its TLS; None if there was no connection.
        failure: the verdict, if the session failed.
        warnings: what was odd but did not matter.
        transcript: the lines of the session, secrets masked.
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
    """Asks for the report."""


def verify(server: str = "localhost", port: int = 25, **options: Any) -> ServerReport:
    """Connect, start TLS and authenticate as a send would, and take leave.

    Blocks until the server has answered; never on the event-loop thread.

    Args:
        server: the server's name or address.
        port: its port.
        options: the options of `SmtpActor.start`: url, tls, username, password, …

    Returns:
        What the server said. A server that can't be reached, or refuses us, is a report too.

    Raises:
        ValueError: an option is invalid.
        TypeError: an option has the wrong type, or does not exist.
        ImportError: an option needs what is not installed.
    """
    hide_in(options)
    chosen = collect_options(server, port, **options)
    actor = _VerifyActor.start(chosen)
    try:
        answer = actor.ask(_Verify(), block=False)
        report: ServerReport = answer.get(timeout=chosen.timeouts.deadline + _GRACE)
    except BaseException:
        # Ctrl-C, most of all: nobody wants the answer any more.
        actor.stop(block=False)
        raise
    return report


class _VerifyActor(AsyncioActor):
    """Leads one session without a mail."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options = options
        self._answer: Answer | None = None
        self._connection: Connection | None = None
        self._transcript: list[str] = []
        self._second: Session | None = None  # another attempt, once this connection is closed
        self._second_route: Route | None = None
        self._may_try_again = True
        self._session = Session(
            server=options.name,
            ehlo_name=options.local_hostname or complete_host_name() or "",
            is_lmtp=options.is_lmtp,
            tls_policy=TlsPolicy.OFF if options.tls is None else options.tls.policy,
            authentication=options.authentication,
        )

    def on_receive(self, message: Any) -> Any:
        if not isinstance(message, _Verify):
            return super().on_receive(message)
        self._answer = self.answer_later()
        self._open()
        return None

    def _open(self) -> None:
        route, self._second_route = self._second_route or Route(), None
        self._connection = Connection(self._options, route)
        dialog = Dialog(Verification(self._session), self._trace, self._options.masking)
        self._connection.run(self, dialog)

    def on_stop(self) -> None:
        if self._connection is not None:
            self._connection.cancel()

    def _trace(self, who: str, line: str) -> None:
        self._transcript.append(f"{who}: {line}")

    def connected(self) -> None:
        """Name ourselves by address where there is no name (RFC 5321 §4.1.4)."""
        if not self._session.ehlo_name and self._connection is not None:
            self._session.ehlo_name = address_literal(self._connection.local_address)

    def decided(self, verdict: Verdict) -> None:
        """Answer with the report."""
        assert self._answer is not None
        failure = verdict if isinstance(verdict, Failed) else None
        session = self._session
        if failure is not None and not self.actor_stopped.is_set():
            if self._finds_another_way(failure, session):
                return
            if self._connection is not None:
                failure = name_addresses(failure, self._connection)
        self._answer.set(
            ServerReport(
                server=session.server,
                is_ready=failure is None,
                detail=f"{session.server} is ready" if failure is None else failure.detail,
                offers=tuple(map(self._options.masking or str, session.extensions.lines)),
                authenticated=failure is None and session.authentication is not None,
                peer=None if self._connection is None else self._connection.peer,
                failure=failure,
                warnings=verdict.warnings,
                transcript=tuple(self._transcript),
            )
        )

    def _finds_another_way(self, failed: Failed, session: Session) -> bool:
        """Prepare a second attempt, as a send would; return whether there is one."""
        connection = self._connection
        if connection is not None and is_of_the_address(failed):
            self._second_route = connection.elsewhere()
            if self._second_route is not None:
                self._second = session.elsewhere(connection.address, failed.detail)
                return True
        if self._may_try_again:
            self._may_try_again = False
            self._second = session.humbler(failed.kind, failed.stage)
        return self._second is not None

    def released(self) -> None:
        """Nothing to do: a verification ends with QUIT."""

    def closed(self) -> None:
        """Stop, or try again as a send would."""
        self._connection = None
        if self._second is not None:
            self._session, self._second = self._second, None
            self._open()
            return
        self.stop_now()
