"""A server that changes its mind, and remembers when it was asked what."""

import threading
import time
from collections.abc import Iterable, Mapping

from pykka_smtp.testing.moods import Changing, Moment
from pykka_smtp.testing.polite import Polite


class Moody(Polite):
    """Takes what it need not refuse; but its answers to some things come from a list.

    One object serves all connections of a server, or of several.

    Args:
        extensions: the lines of the EHLO reply.
        answers: what it says, one after the other, and then yes; see `moods.Changing`.

    Attributes:
        times: when MAIL came, on the monotonic clock, over all connections.
    """

    def __init__(
        self, *extensions: str, answers: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        super().__init__(*extensions, moods=[self._note, Changing(answers or {})])
        self.times: list[float] = []
        self._lock = threading.Lock()

    def _note(self, moment: Moment) -> None:
        if moment.stage == "MAIL":
            with self._lock:
                self.times.append(time.monotonic())
