"""Waiting until everything is done: all that was told is out, and its receivers have run."""

import asyncio
import contextlib
import threading
from time import monotonic

import pykka

from ..signals.dispatcher import dispatcher
from ..signals.forks import notice_fork
from ..signals.outlets import loops
from .loop.event_loop import event_loop
from .loop.future import LoopFuture

_PAUSE = 0.001
_LONGEST_PAUSE = 0.05
"""Seconds between two looks, the first and the longest."""
_LONGER = 1.2  # so that the wait is a fifth longer than what it waits for, at most
_LOOK = 1.0
"""Seconds after which one looks again: a loop that ends at the moment of a look forgets it."""
_ITSELF = "a receiver, or an actor, cannot wait until everything is done: it would wait for itself"


def wait_until_done(timeout: float | None = None) -> bool:
    """Wait until everything is done: what was told to actors is out, and its receivers have run.

    That is: each email that any `SmtpActor` or `Mailer` of this process was told has its outcome,
    and that has been heard, by receivers, by ``outcome_to``, on event loops of the program. What
    receivers tell is waited for, too, and so is what other threads tell meanwhile.

    Can be called from any thread but the actors' own and the receivers'. In an asyncio program,
    which it would block, use `wait_until_done_async`.

    Args:
        timeout: seconds; None waits without limit.

    Returns:
        Whether everything is done; False after the timeout.

    Raises:
        RuntimeError: on a thread that would wait for itself.
    """
    if event_loop().is_current() or dispatcher.is_current():
        raise RuntimeError(_ITSELF)
    until = None if timeout is None else monotonic() + timeout
    never = threading.Event()
    pause = _PAUSE
    while True:
        with contextlib.suppress(pykka.Timeout):
            if _look().get(timeout=max(_within(_LOOK, until), _LONGEST_PAUSE)):
                return True
        if (left := _within(pause, until)) <= 0:
            return False
        never.wait(left)
        pause = min(_LONGER * pause, _LONGEST_PAUSE)


async def wait_until_done_async(timeout: float | None = None) -> bool:  # noqa: ASYNC109
    """Wait as `wait_until_done` does, without blocking the event loop that runs in this thread.

    Args:
        timeout: seconds; None waits without limit.

    Returns:
        Whether everything is done; False after the timeout.

    Raises:
        RuntimeError: in a receiver, which would wait for itself.
    """
    if dispatcher.is_current() or loops.is_hearing(asyncio.current_task()):
        raise RuntimeError(_ITSELF)
    until = None if timeout is None else monotonic() + timeout
    pause = _PAUSE
    while True:
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes with the answer.
            async with asyncio.timeout(max(_within(_LOOK, until), _LONGEST_PAUSE)):
                if await _look():
                    return True
        if (left := _within(pause, until)) <= 0:
            return False
        await asyncio.sleep(left)
        pause = min(_LONGER * pause, _LONGEST_PAUSE)


def _within(seconds: float, until: float | None) -> float:
    return seconds if until is None else min(seconds, until - monotonic())


def _look() -> LoopFuture:
    """Look whether everything is done at this moment; the future has the answer."""
    notice_fork()
    thread = event_loop()
    answer = LoopFuture()
    starts = thread.starts

    def look() -> None:
        # In this order, and on the loop thread: receivers that have ended have told what they tell
        # by then, and nothing else publishes meanwhile.
        answer.set(dispatcher.is_idle and loops.are_all_idle() and not thread.is_busy)

    if not thread.look(look):
        # There is no loop; and there was none meanwhile, if it was not started.
        is_heard = dispatcher.is_idle and loops.are_all_idle()
        answer.set(is_heard and not thread.is_busy and thread.starts == starts)
    return answer
