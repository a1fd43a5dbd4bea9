"""`OutletConnection`: a `Connection` to an outlet instead of a server."""

from typing import TYPE_CHECKING

from ....smtp.words.peer import Peer
from ....smtp.words.verdict import FailureKind
from ...loop.event_loop import event_loop
from ..connecting.route import ANY, Route
from ..wire.connection import Connection
from .inner_transport import InnerTransport
from .outlet import Broken, Outlet

if TYPE_CHECKING:
    from ..target import Target


class OutletConnection(Connection):
    """Runs dialogs with an outlet, by the same code as with a server, timeouts and all."""

    _inner: InnerTransport | None = None

    def __init__(self, outlet: Outlet, options: "Target", route: Route = ANY) -> None:
        """Store the arguments; `run` begins the session.

        Args:
            outlet: what takes the emails.
            options: the timeouts.
            route: not used.
        """
        super().__init__(options, route)
        self._outlet = outlet

    async def _connect(self) -> None:
        pool = self._outlet.pool()
        try:
            if pool is None:
                self._outlet.check()
            else:
                await pool.run(self._outlet.check)
        except (Broken, BlockingIOError) as error:
            self._connecting = None
            self.outlet_failed(
                error
                if isinstance(error, Broken)
                else Broken(FailureKind.CONNECT, str(error), retryable=True)
            )
            return
        self._connecting = None
        self._inner = transport = InnerTransport(self, self._outlet)
        self.connection_made(transport)
        transport.begin()

    @property
    def peer(self) -> Peer | None:
        """What outcomes report as the server: nothing, or a program."""
        return self._outlet.peer

    def elsewhere(self) -> Route | None:
        """Return None: there is no other address."""
        return None

    @property
    def is_silent(self) -> bool:
        """Whether a test has chosen that no reply comes."""
        return self._inner is not None and self._inner.is_silent

    def outlet_failed(self, broken: Broken) -> None:
        """Fail the dialog, because the outlet does not work."""
        self.perform(
            self._dialog.fail(
                broken.kind,
                broken.detail,
                operation=broken.operation,
                errno=broken.errno,
                retryable=broken.retryable,
                in_doubt=broken.maybe_taken,
            )
        )

    def time_out_now(self) -> None:
        """Let the timeout of the present step expire."""
        self._time_out(event_loop().loop.time())

    def abandon(self) -> None:
        """Forget it in a forked child: there is no socket to close."""
