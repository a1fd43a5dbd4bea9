"""Those who wait until all mails of a `Mailer` are out. On the loop thread."""

from dataclasses import dataclass

from ..loop.asyncio_actor import Answer
from ..options.option_checks import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Ask a `Mailer` to answer once all mails that it was told are out.

    The answer is True, or False if that took longer than the timeout. More mails can be told
    meanwhile; they are waited for as well.

    Attributes:
        timeout: seconds, or None to wait without limit.
    """

    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_seconds("timeout", self.timeout)


class Drains:
    """The answers that are owed to `Drain`s.

    Attributes:
        owed: those answers, and when to say False.
    """

    __slots__ = ("_of_receivers", "owed")

    def __init__(self) -> None:
        self.owed: list[tuple[Answer, float | None]] = []
        self._of_receivers: set[Answer] = set()

    @property
    def is_receiver_waiting(self) -> bool:
        """Whether a receiver may wait: then no mail may wait for receivers."""
        return bool(self._of_receivers)

    def add(self, answer: Answer, until: float | None) -> None:
        """Owe an answer.

        Args:
            answer: it.
            until: when to say False, on the loop's clock; None for never.
        """
        self.owed.append((answer, until))

    def add_receivers(self, answer: Answer) -> None:
        """Know that a receiver may wait for an answer."""
        self._of_receivers.add(answer)

    def answer(self, now: float, *, is_empty: bool) -> None:
        """Answer those whose time has come.

        Args:
            now: the time, on the loop's clock.
            is_empty: whether all mails are out.
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
