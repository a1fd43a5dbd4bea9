"""The guard: what the loop calls may break, and still ends in one place.

The loop calls us back in many ways: turns, the clock, transports, timers, tasks. Whatever one of
these calls raises ends here, and goes to the object that answers for it: `Guarded.crashed` gives
the email in hand its outcome, gives back what is held, and leaves. Nobody else is harmed, and the
loop goes on.

This file is the one that must not break, so it does as little as it can.
"""

import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from ...signals.dispatcher import log_safely

_TRIES = 3
"""How often `Guarded.crashed` is called: it may break as well, and goes on where it stopped."""

P = ParamSpec("P")


class Guarded(Protocol):
    """What answers for an error: an actor, a connection, the loop thread."""

    def crashed(self, error: BaseException) -> None:
        """End in failure. Called on the loop thread, with any state half changed.

        It may raise, and is then called again: each of its steps has to look whether it is
        still to be done.

        Args:
            error: what was raised.
        """
        ...


G = TypeVar("G", bound=Guarded)


def end(responsible: Guarded, error: BaseException) -> None:
    """Have the responsible object end in failure. Never raises.

    Args:
        responsible: what answers for the error.
        error: what was raised.
    """
    log_safely(logging.ERROR, "internal error in %s", type(responsible).__name__, exc=error)
    for _ in range(_TRIES):
        try:
            responsible.crashed(error)
        except BaseException as another:  # nothing may reach the shared loop
            what = type(responsible).__name__
            text = "internal error while ending %s, after the one logged above"
            log_safely(logging.ERROR, text, what, exc=another)
        else:
            return


def call(responsible: Guarded, function: Callable[..., object], *args: Any) -> None:
    """Call a function for the loop. Never raises.

    Args:
        responsible: what answers for what it raises.
        function: what to call.
        args: its arguments.
    """
    try:
        function(*args)
    except BaseException as error:
        end(responsible, error)


async def run(
    responsible: Guarded, function: Callable[..., Coroutine[Any, Any, object]], *args: Any
) -> None:
    """Run a coroutine as a task. Raises nothing but `CancelledError`.

    Args:
        responsible: what answers for what it raises.
        function: what makes the coroutine, once the task runs: one that is made and never
            awaited complains.
        args: its arguments.
    """
    try:
        await function(*args)
    except Exception as error:
        end(responsible, error)


def guarded(
    method: Callable[Concatenate[G, P], object],
) -> Callable[Concatenate[G, P], None]:
    """Make a method that the loop or a transport calls: its own object answers for it."""
    function = cast("Callable[..., object]", method)

    @functools.wraps(method)
    def calling(self: G, *args: Any) -> None:
        try:
            function(self, *args)
        except BaseException as error:
            end(self, error)

    @functools.wraps(method)
    def calling_with_one(self: G, argument: Any) -> None:
        try:
            function(self, argument)
        except BaseException as error:
            end(self, error)

    # What a server says comes this way, and most else: to gather the arguments, and to spread
    # them again, would cost more than all the rest.
    takes_one = method.__code__.co_argcount == 2
    # To its caller it is a method like any other.
    return cast("Callable[Concatenate[G, P], None]", calling_with_one if takes_one else calling)


def each(*steps: Callable[[], object]) -> None:
    """Do all of these steps, whatever one of them raises; raise the first error at the end."""
    first: BaseException | None = None
    for step in steps:
        try:
            step()
        except BaseException as error:
            first = first or error
    if first is not None:
        raise first


def surely(*steps: Callable[[], object]) -> None:
    """Do all of these steps; one that raises is tried again. Never raises."""
    for step in steps:
        for _ in range(_TRIES):
            try:
                step()
            except BaseException as error:
                log_safely(logging.ERROR, "internal error in %r", step, exc=error)
            else:
                break
