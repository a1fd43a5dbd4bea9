"""What the servers have in common that run in root folders of their own."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from .delivered import Delivered
from .process import ServerProcess
from .running import Running
from .scripted import ReceivedMail
from .server_root import ServerRoot, require_server, server_root


class RootedServer(Running):
    """A server in a root folder of its own.

    Args:
        name: that of its folder among the fetched servers.
        run_as: the users that it asks for by name, besides root.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system.
    """

    def __init__(self, name: str, run_as: Sequence[str]) -> None:
        require_server(name)
        super().__init__()
        self._name = name
        self._run_as = tuple(run_as)

    def _begin(self, exits: ExitStack) -> None:
        """Lay out its root, start it, and wait until it listens."""
        self._root = exits.enter_context(server_root(self._name, self._run_as))
        process = self._start(self._root, exits)
        exits.callback(process.stop)
        self.port = process.port

    @property
    @abstractmethod
    def log(self) -> str:
        """What it has written down."""

    @abstractmethod
    def _start(self, root: ServerRoot, exits: ExitStack) -> ServerProcess:
        """Lay the root out, and start the program in it.

        Args:
            root: an empty one.
            exits: what the server needs is left with it, when the server has ended.
        """


class DeliveringServer(RootedServer):
    """A server that delivers to us what it takes; `_delivered` is for its subclass to set."""

    _delivered: Delivered

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """What was delivered; it may come a moment after the verdict: `wait_for` it."""
        return self._delivered.mails

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until the predicate holds; it is asked after each step of a delivery.

        Raises:
            AssertionError: it did not hold within the seconds given.
        """
        self._delivered.wait_for_delivery(predicate, timeout, lambda: self.log)
