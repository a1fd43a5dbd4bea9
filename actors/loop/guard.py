"""The guard: handles errors in callbacks of the event loop, all in one place.

The loop calls us in many ways: turns, ticks, transports, timers, tasks. An exception in one of
these calls is caught here, and passed to the responsible object: its method `crashed` gives the
email an outcome, releases all resources, and stops. Other sends are not affected, and the loop
continues.

An error in this file itself would not be caught, so it does as little as possible.
"""

import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from ...signals.dispatcher import log_safely

_TRIES = 3
"""Calls of `Guarded.crashed`: it may raise, too, and then continues where it stopped. Each of its
up to three steps may raise once."""

P = ParamSpec("P")


class Guarded(Protocol):
    """An object responsible for errors: an actor, a connection, the loop thread."""

    def crashed(self, error: BaseException) -> None:
        """Called after an exception, on the loop thread, with state perhaps half changed: fail.

        It may raise, and is then called again, so each of its steps must check whether it is
        still necessary.

        Args:
            error: the exception.
        """
        ...


G = TypeVar("G", bound=Guarded)


def end(responsible: Guarded, error: BaseException) -> None:
    """Log an exception, and make the responsible object fail. Never raises.

    Args:
        responsible: the object responsible for it.
        error: the exception.
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
    """Call a function as a callback of the loop. Never raises.

    Args:
        responsible: the object responsible for its exceptions.
        function: the function.
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
        responsible: the object responsible for its exceptions.
        function: the coroutine function. It is called when the task runs, because a coroutine that
            is created and never awaited causes a warning.
        args: its arguments.
    """
    try:
        await function(*args)
    except Exception as error:
        end(responsible, error)


def guarded(
    method: Callable[Concatenate[G, P], object],
) -> Callable[Concatenate[G, P], None]:
    """Decorate a method called by the loop or a transport; its object is the responsible one."""
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

    # Most callbacks have one argument. Packing and unpacking arguments would cost more than
    # everything else in the wrapper.
    takes_one = method.__code__.co_argcount == 2
    # For type checkers, it has the signature of the method.
    return cast("Callable[Concatenate[G, P], None]", calling_with_one if takes_one else calling)


def each(*steps: Callable[[], object]) -> None:
    """Call all functions, even if one raises; raise the first exception at the end."""
    first: BaseException | None = None
    for step in steps:
        try:
            step()
        except BaseException as error:
            first = first or error
    if first is not None:
        raise first


def surely(*steps: Callable[[], object]) -> None:
    """Call all functions; one that raises is called up to three times. Never raises."""
    for step in steps:
        for _ in range(_TRIES):
            try:
                step()
            except BaseException as error:
                log_safely(logging.ERROR, "internal error in %r", step, exc=error)
            else:
                break
