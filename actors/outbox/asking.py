"""What an outbox is asked about emails in its file, and told to do with one. On the loop thread."""

import time
from collections.abc import Callable
from typing import Any

from ..loop.asyncio_actor import Answer
from .messages import Cancel, Find, Hold, Release, Retry
from .sending.failures import CANCELLED
from .store.errors import OutboxError
from .store.store import Store
from .thread.ops import Kind

Submit = Callable[[Kind, Any, Callable[[Any], object]], object]


class Asking:
    """Answers questions.

    Args:
        alias: whose emails are meant if a question does not say.
        submit: has something done with the file.
        changed: is called when an email has another state.
    """

    def __init__(self, alias: str, submit: Submit, changed: Callable[[], object]) -> None:
        self._alias = alias
        self._submit = submit
        self._changed = changed

    def change(self, message: Cancel | Hold | Release | Retry, answer: Answer) -> None:
        """Do with an email what a person says; answer whether it was done."""
        alias, name, now = message.alias or self._alias, message.name, time.time()

        def write(store: Store) -> bool:
            if isinstance(message, Cancel):
                return store.cancel(alias, name, CANCELLED, now)
            if isinstance(message, Hold):
                return store.hold(alias, name)
            if isinstance(message, Release):
                return store.release(alias, name, now)
            return store.retry(alias, name, now)

        def written(result: bool | OutboxError) -> None:
            _answer(answer, result)
            if result is True:
                self._changed()

        self._submit(Kind.HAND, write, written)

    def find(self, find: Find, answer: Answer) -> None:
        """Answer with emails."""
        wanted = {name: getattr(find, name) for name in find.__slots__}

        def look(store: Store) -> Any:
            return store.find(**wanted)

        self._submit(Kind.LOOK, look, lambda found: _answer(answer, found))

    def count(self, made: Callable[[dict[str, int], int], object], answer: Answer) -> None:
        """Answer with what is made of the counts by state, and of the octets in use."""

        def counted(figures: tuple[dict[str, int], int] | OutboxError) -> None:
            _answer(answer, made(*figures) if isinstance(figures, tuple) else figures)

        self._submit(Kind.LOOK, _figures, counted)


def _figures(store: Store) -> tuple[dict[str, int], int]:
    return store.counts(), store.octets()


def _answer(answer: Answer, result: Any) -> None:
    if isinstance(result, OutboxError):
        answer.set_exception((OutboxError, result, None))
    else:
        answer.set(result)
