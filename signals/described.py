"""Signals, receivers and actors as log lines name them."""

import blinker


def name_of_signal(signal: blinker.Signal) -> str:
    """Return a signal's name, or its repr if it has none."""
    return signal.name if isinstance(signal, blinker.NamedSignal) else repr(signal)


class Described:
    """Describes an object in a log line; formatted only if the line is written."""

    __slots__ = ("_what",)

    def __init__(self, what: object) -> None:
        self._what = what

    def __str__(self) -> str:
        what = self._what
        try:
            if isinstance(what, blinker.Signal):
                return name_of_signal(what)
            name = getattr(what, "__qualname__", None)
            return f"{what.__module__}.{name}" if isinstance(name, str) else str(what)
        except Exception:
            # An object whose `str` raises must not cost the whole log line.
            return object.__repr__(what)
