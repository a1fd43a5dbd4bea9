"""Receivers of outcomes that use the database."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ..signals.dispatcher import dispatcher

P = ParamSpec("P")
R = TypeVar("R")


def closing_connections(receiver: Callable[P, R]) -> Callable[P, R]:
    """Have a receiver's database connections closed after it has run.

    Django opens connections for each thread, and closes them at the end of a request. Receivers
    run on a thread of the bus, where no request ends: a connection would stay open until the thread
    ends, and might be one that the database has closed long ago.

    ::

        @smtp_send_failure.connect
        @closing_connections
        def failed(sender, outcome, **extra):
            Newsletter.objects.filter(...).update(...)

    Called on any other thread, such as by a test, it only calls the receiver.

    Raises:
        TypeError: the receiver is an ``async def``: Django runs its queries on threads of its own.
    """
    if inspect.iscoroutinefunction(receiver):
        raise TypeError("closing_connections: needs a plain function, not an async def")

    @functools.wraps(receiver)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return receiver(*args, **kwargs)
        finally:
            if dispatcher.is_current():
                _close()

    return run


def _close() -> None:
    # Late: it takes time, and not every project has a database.
    database: Any = importlib.import_module("django.db")
    database.connections.close_all()
