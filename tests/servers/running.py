"""What runs from the beginning of a ``with`` block to its end."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Self


class Running(ABC):
    """A server of the tests, or something that one needs.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system.
    """

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        with ExitStack() as exits:
            self._begin(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, and remove what it had."""
        self._exits.__exit__(kind, error, trace)

    @abstractmethod
    def _begin(self, exits: ExitStack) -> None:
        """Start it.

        Args:
            exits: what is to be undone at the end.
        """
