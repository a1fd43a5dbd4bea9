"""`Drain`, and the answers to it that are outstanding. On the loop thread."""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass

from ...signals.dispatcher import dispatcher
from ...signals.outlets import loops
from ..loop.asyncio_actor import Answer
from ..options.option_checks import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Ask a `Mailer` to answer once every email that it was told is out, and heard.

    That is: it has its outcome, and the receivers of that have run. Asked by a receiver, it answers
    without waiting for receivers. The answer is True, or False after the timeout. Emails told
    meanwhile are waited for, too.

    Attributes:
        timeout: seconds, or None to wait without limit.
    """

    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_seconds("timeout", self.timeout)


class _Hearing:
    """Whether the receivers of all outcomes published so far have run.

    Args:
        ended: how many emails had their outcome when it was made.
        again: is called on the dispatcher's thread when it is time to look again.
    """

    __slots__ = ("_again", "_marks", "ended")

    def __init__(self, ended: int, again: Callable[[], object]) -> None:
        self.ended = ended
        self._again = again
        self._marks: dict[loops.OnLoop, int] | None = None
        dispatcher.when_passed(self._pass)

    def _pass(self) -> None:
        self._marks = loops.progress()
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the Mailer
            self._again()

    @property
    def is_over(self) -> bool:
        return self._marks is not None and loops.have_passed(self._marks)


class Drains:
    """The outstanding answers to `Drain`s.

    Args:
        again: has `answer` called soon, on the loop thread. Called from any thread.

    Attributes:
        owed: these answers, and when to answer False, on the loop's clock.
    """

    __slots__ = ("_again", "_hearing", "_of_receivers", "owed")

    def __init__(self, again: Callable[[], object]) -> None:
        self.owed: list[tuple[Answer, float | None]] = []
        self._again = again
        self._of_receivers: set[Answer] = set()
        self._hearing: _Hearing | None = None

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

    def answer(self, now: float, *, is_empty: bool, ended: int) -> None:
        """Give the answers that are due.

        Args:
            now: the time, on the loop's clock.
            is_empty: whether no email is queued or in flight.
            ended: how many emails have their outcome.
        """
        for drain in list(self.owed):
            answer, until = drain
            # A receiver that waits for this must not be waited for.
            if is_empty and (answer in self._of_receivers or self._is_heard(ended)):
                answer.set(True)
            elif until is not None and now >= until:
                answer.set(False)
            else:
                continue
            self.owed.remove(drain)
            self._of_receivers.discard(answer)

    def _is_heard(self, ended: int) -> bool:
        if dispatcher.is_idle and loops.are_all_idle():
            return True
        hearing = self._hearing
        if hearing is None or hearing.ended != ended:
            self._hearing = _Hearing(ended, self._again)
            return False
        return hearing.is_over

    def close(self) -> None:
        """Have all answers given once receivers have run, although the Mailer stops now."""
        for answer, _ in self.owed:
            if answer in self._of_receivers:
                answer.set(True)
            else:
                answer.outlive_actor()
                dispatcher.when_passed(functools.partial(answer.set, True))
        self.owed.clear()
        self._of_receivers.clear()
