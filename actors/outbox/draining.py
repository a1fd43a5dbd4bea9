"""The answers to `Drain` that an outbox owes: they need a look at its file. On the loop thread."""

from collections.abc import Callable
from typing import Any

from ..loop.asyncio_actor import Answer
from ..mailer.drains import Drain
from .store.errors import OutboxError
from .store.store import Store
from .thread.ops import Kind

Submit = Callable[[Kind, Any, Callable[[Any], object]], object]
_Owed = tuple[Answer, float | None, bool]


class Draining:
    """The outstanding answers.

    Args:
        alias: whose emails count.
        submit: has something done with the file.
        is_busy: whether this process has an email in hand, so that no look is needed.
    """

    def __init__(self, alias: str, submit: Submit, is_busy: Callable[[], bool]) -> None:
        self._alias = alias
        self._submit = submit
        self._is_busy = is_busy
        self._owed: list[_Owed] = []
        self._is_looking = False

    def add(self, drain: Drain, answer: Answer, now: float, *, is_pressing: bool) -> None:
        """Add an answer.

        Args:
            drain: the question.
            answer: the answer.
            now: the time, on the loop's clock.
            is_pressing: whether a signal receiver waits for it, which must not wait for itself.
        """
        until = None if drain.timeout is None else now + drain.timeout
        self._owed.append((answer, until, is_pressing))
        self.look(now)

    def look(self, now: float) -> None:
        """Give the answers that are due; look into the file if that is needed.

        Args:
            now: the time, on the loop's clock.
        """
        for owed in list(self._owed):
            answer, until, _ = owed
            if until is not None and now >= until:
                answer.set(False)
                self._owed.remove(owed)
        if not self._owed or self._is_looking or self._is_busy():
            return
        asked = list(self._owed)
        until_heard = not any(is_pressing for *_, is_pressing in asked)
        alias = self._alias
        self._is_looking = True

        def look(store: Store) -> bool:
            return store.undone(alias, until_heard=until_heard)

        def looked(is_any: bool | OutboxError) -> None:
            self._is_looking = False
            if is_any is False and not self._is_busy():
                for owed in asked:
                    if owed in self._owed and (until_heard or owed[2]):
                        owed[0].set(True)
                        self._owed.remove(owed)

        self._submit(Kind.LOOK, look, looked)

    def close(self) -> None:
        """Answer False: the outbox stops, and what is left stays in the file."""
        for answer, *_ in self._owed:
            answer.set(False)
        self._owed.clear()
