"""`Drain`, and the answers to it that are outstanding. On the loop thread."""

from dataclasses import dataclass

from ..loop.asyncio_actor import Answer
from ..options.option_checks import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Ask a `Mailer` to answer once every email that it was told has its outcome.

    The answer is True, or False after the timeout. Emails told meanwhile are waited for, too.

    Attributes:
        timeout: seconds, or None to wait without limit.
    """

    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_seconds("timeout", self.timeout)


class Drains:
    """The outstanding answers to `Drain`s.

    Attributes:
        owed: these answers, and when to answer False, on the loop's clock.
    """

    __slots__ = ("_of_receivers", "owed")

    def __init__(self) -> None:
        self.owed: list[tuple[Answer, float | None]] = []
        self._of_receivers: set[Answer] = set()

    @property
    def is_receiver_waiting(self) -> bool:
        """Whether a signal receiver may be waiting: then no email may wait for receivers."""
        return bool(self._of_receivers)

    def add(self, answer: Answer, until: float | None) -> None:
        """Add an outstanding answer.

        Args:
            answer: the answer.
            until: when to answer False, on the loop's clock; None for never.
        """
        self.owed.append((answer, until))

    def add_receivers(self, answer: Answer) -> None:
        """Note that a signal receiver may be waiting for an answer."""
        self._of_receivers.add(answer)

    def answer(self, now: float, *, is_empty: bool) -> None:
        """Give the answers that are due.

        Args:
            now: the time, on the loop's clock.
            is_empty: whether no email is queued or in flight.
        """
        for drain in list(self.owed):
            answer, until = drain
            if is_empty:
                answer.set(True)
            elif until is not None and now >= until:
                answer.set(False)
            else:
                continue
            self.owed.remove(drain)
            self._of_receivers.discard(answer)
