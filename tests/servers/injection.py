"""One error, raised where the test wants it: at the nth call of any function of a package.

The functions are found by looking, so those that come later are found as well.
"""

import contextlib
import functools
import importlib
import inspect
import pkgutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

from pykka_smtp.actors.loop import guard


class InjectedError(Exception):
    """The error. No code of ours may know it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A function of the package.

    Attributes:
        name: module, class and name, such as ``"connection.Connection.run"``.
        owner: the module or class that has it.
        attribute: under which name.
        function: the function itself.
        wrap: makes of a function what stands in the owner: a property, a static method, …
    """

    name: str
    owner: Any
    attribute: str
    function: Callable[..., Any]
    wrap: Callable[[Callable[..., Any]], Any]

    def replace(self, function: Callable[..., Any]) -> Callable[[], None]:
        """Put another function in its place, wherever a module has imported it.

        Returns:
            What puts the old one back.
        """
        original = vars(self.owner)[self.attribute]
        owners = [self.owner]
        if isinstance(self.owner, ModuleType):
            # `from .connect import connect` has put it into other modules, too.
            prefix = self.owner.__name__.split(".")[0]
            owners = [
                module
                for module in modules_of(prefix)
                if vars(module).get(self.attribute) is original
            ]
        for owner in owners:
            setattr(owner, self.attribute, self.wrap(function))

        def put_back() -> None:
            for owner in owners:
                setattr(owner, self.attribute, original)

        return put_back


NOT_IMPORTED = {"__main__", "celery", "django", "flask", "starlette"}
"""Modules that a send does not use, and whose frameworks need not be installed."""


@functools.cache
def modules_of(package: str) -> list[ModuleType]:
    """Import each module of a package, programs and those for frameworks excepted; return them."""
    top = importlib.import_module(package)
    names = [info.name for info in pkgutil.walk_packages(top.__path__, f"{package}.")]
    wanted = [name for name in names if NOT_IMPORTED.isdisjoint(name.split("."))]
    return [top, *map(importlib.import_module, wanted)]


def places_in(package: str, *, without: str) -> list[Place]:
    """Find each function and method that the modules of a package define.

    Args:
        package: its name.
        without: the name of the module in it that must not break.
    """
    places: list[Place] = []
    for module in modules_of(package):
        if module.__name__ == f"{package}.{without}":
            continue
        short = module.__name__.removeprefix(f"{package}.")
        for attribute, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(value):
                places.append(Place(f"{short}.{attribute}", module, attribute, value, _as_it_is))
            elif inspect.isclass(value) and not getattr(value, "_is_protocol", False):
                places += _of_class(short, value)
    return places


def _of_class(short: str, owner: type) -> Iterator[Place]:
    for attribute, value in list(vars(owner).items()):
        function, wrap = _unwrapped(value)
        # What dataclasses write by themselves is no code of ours.
        if function is None or function.__code__.co_filename.startswith("<"):
            continue
        yield Place(f"{short}.{owner.__name__}.{attribute}", owner, attribute, function, wrap)


def _unwrapped(value: object) -> tuple[Any, Callable[[Any], Any]]:
    if inspect.isfunction(value):
        inner = getattr(value, "__wrapped__", None)
        # The error is to be raised in the function, not in what is around it.
        return (value, _as_it_is) if inner is None else (inner, guard.guarded)
    if isinstance(value, staticmethod | classmethod):
        return value.__func__, type(value)
    if isinstance(value, property):
        return value.fget, functools.partial(_property_like, value)
    return None, _as_it_is


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _property_like(original: property, getter: Callable[..., Any]) -> property:
    return property(getter, original.fset, original.fdel)


class Injection:
    """Counts the calls of functions, and raises `InjectedError` once.

    Only calls from threads other than the test's count: what raises in the caller's own thread
    is the caller's to hear.

    Attributes:
        calls: how often each place was called, by name.
        has_raised: whether the error was raised.
    """

    def __init__(self, places: list[Place], nth: int = 0) -> None:
        """Prepare.

        Args:
            places: the functions.
            nth: raise at this call of one of them; 0 for never.
        """
        self.calls: Counter[str] = Counter()
        self.has_raised = False
        self._places = places
        self._nth = nth
        self._lock = threading.Lock()
        self._main = threading.current_thread()
        self._back: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        """Put the counting functions in place."""
        for place in self._places:
            self._back.append(place.replace(self._counting(place)))
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Put the real ones back."""
        for put_back in reversed(self._back):
            put_back()

    def disarm(self) -> None:
        """Raise no more."""
        self._nth = 0

    def _counting(self, place: Place) -> Callable[..., Any]:
        function = place.function
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def counting(*args: Any, **kwargs: Any) -> Any:
                self._count(place.name)
                return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def counting(*args: Any, **kwargs: Any) -> Any:
                self._count(place.name)
                return function(*args, **kwargs)

        return counting

    def _count(self, name: str) -> None:
        if threading.current_thread() is self._main:
            return
        with self._lock:
            self.calls[name] += 1
            if self.has_raised or self.calls[name] != self._nth:
                return
            self.has_raised = True
        raise InjectedError(f"injected into {name}")


@contextlib.contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Keep the tracebacks of injected errors out of the test's output."""
    import logging

    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
