"""The log of outcomes and Mailers: written on the dispatcher's thread, never on the event loop.

A handler may block, on a disk or a network. Where a level is off, nothing is made or formatted.
"""

import contextlib
import logging
from typing import Any

from ..dispatcher import dispatcher
from ..outcome import Outcome, SendSuccess

OUTCOMES = "pykka_smtp.outcomes"
MAILER = "pykka_smtp.mailer"
_outcomes = logging.getLogger(OUTCOMES)
_mailer = logging.getLogger(MAILER)


class _LastResort(logging.Handler):
    """Prints failures that nobody hears, if the program has not configured any logging.

    Without it, Python itself would print all failures, those that a program does hear, too.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record as Python would, unless somebody hears, or another handler has it."""
        last = logging.lastResort
        if last is None or getattr(record, "is_heard", True) or _has_handler(record.name):
            return
        if record.levelno >= last.level:
            last.handle(record)


def _has_handler(name: str) -> bool:
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(not isinstance(one, _LastResort | logging.NullHandler) for one in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


_outcomes.addHandler(_LastResort())
_mailer.addHandler(logging.NullHandler())


def is_logged(outcome: Outcome) -> bool:
    """Whether an outcome is to be logged."""
    return _outcomes.isEnabledFor(_level_of(outcome))


def log_outcome(outcome: Outcome, *, is_heard: bool) -> None:
    """Log an outcome if that is wanted: a failure as a WARNING, a success as INFO.

    The record's attributes are those of `as_dict`, and `is_heard`. Never raises. Logging runs the
    program's code, so this is called on the dispatcher's thread.

    Args:
        outcome: the outcome.
        is_heard: whether any receiver or actor hears it, or somebody asked for it.
    """
    with contextlib.suppress(BaseException):
        level = _level_of(outcome)
        if _outcomes.isEnabledFor(level):
            extra = _fields_of(outcome) | {"is_heard": is_heard}
            _outcomes.log(level, "%s", outcome, extra=extra)


def log_mailer(level: int, text: str, *args: object, **more: object) -> None:
    """Log what a Mailer has to say, if that is wanted. From any thread; never raises, never waits.

    Args:
        level: such as `logging.WARNING`.
        text: a format string, in the manner of `logging`.
        args: what it formats; it is formatted later, so nothing that changes.
        more: attributes of the record, ``alias`` among them.
    """
    with contextlib.suppress(Exception):
        if _mailer.isEnabledFor(level):
            dispatcher.submit(_write, level, text, args, more)


def _write(level: int, text: str, args: tuple[object, ...], more: dict[str, object]) -> None:
    with contextlib.suppress(BaseException):
        _mailer.log(level, text, *args, extra=more)


def _level_of(outcome: Outcome) -> int:
    return logging.INFO if isinstance(outcome, SendSuccess) else logging.WARNING


def _fields_of(outcome: Outcome) -> dict[str, Any]:
    try:
        return outcome.as_dict()
    except Exception:  # the line is more important than its fields
        return {"alias": outcome.alias}
