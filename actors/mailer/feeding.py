"""Emails that are told as fast as they go out, by a program that has more of them than may wait."""

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ...signals.send_mail import SendMail
from ..loop.asyncio_actor import Answer
from ..loop.event_loop import event_loop
from ..options.mailer_options import check_count

AT_MOST = 1_000
"""Emails without an outcome: enough for any number of connections, and few in memory."""
_PORTIONS = 16
"""A thread that waits is woken for a portion of the emails, as it takes as long as making one."""


class _Room:
    """Places for emails without an outcome, which are taken and freed in portions.

    Args:
        places: how many there are; some remain unused if they are no multiple of a portion.
    """

    def __init__(self, places: int) -> None:
        self._portion = max(1, places // _PORTIONS)
        self._portions = threading.Semaphore(places // self._portion)
        self._taken = 0
        self._freed = itertools.count(1)  # which two threads may call at a time

    def take(self) -> None:
        """Take a place; wait until there is one."""
        if self._taken % self._portion == 0:
            self._portions.acquire()
        self._taken += 1

    def free(self) -> None:
        """Free a place. From any thread."""
        if next(self._freed) % self._portion == 0:
            self._portions.release()


class _Place(Answer):
    """The place of one email: free again once that has its outcome, which nobody asked for."""

    __slots__ = ("_release",)

    def __init__(self, release: Callable[[], object]) -> None:
        super().__init__(None, set())
        self._release: Callable[[], object] | None = release

    def set(self, value: object) -> None:  # noqa: ARG002 - the outcome goes elsewhere
        """Free the place; the second call does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def set_exception(self, exc_info: object) -> None:
        """Free the place."""
        self.set(exc_info)


@dataclass(frozen=True, slots=True, eq=False)
class Fed:
    """An email that a Mailer is told by `feed`.

    Attributes:
        mail: the email.
        place: what its outcome frees.
    """

    mail: SendMail
    place: Answer


def feed(tell: Callable[[Any], object], mails: Iterable[SendMail], at_most: int) -> int:
    """Tell emails one after the other; wait while so many have no outcome.

    Args:
        tell: tells a Mailer.
        mails: the emails.
        at_most: how many may be without an outcome at a time.

    Returns:
        How many there were.

    Raises:
        RuntimeError: on the loop thread, which it would block.
        ActorDeadError: the Mailer has stopped.
    """
    room = _Room(check_count("at_most", at_most))
    if event_loop().is_current():
        raise RuntimeError("an AsyncioActor must not wait for emails: it would stop every actor")
    count = 0
    room.take()  # before an email is taken, which may make it
    try:
        for mail in mails:
            if not isinstance(mail, SendMail):
                raise TypeError(f"a Mailer takes a SendMail, not {type(mail).__name__}")  # noqa: TRY301
            tell(Fed(mail, _Place(room.free)))
            count += 1
            room.take()
    except Exception as error:  # such as that of a template: whoever goes on needs to know where
        error.add_note(f"tell_all: {count} emails were told before")
        raise
    return count
