"""``sendmail:///program``: each email goes to a program's standard input. No shell is involved."""

import errno
import os
from collections.abc import Sequence

from ....smtp.words.peer import Peer
from ...loop.event_loop import event_loop
from ...loop.workers import Workers
from .outlet import OFFERS, Outlet, Sink, Taken, unusable
from .program_sink import ProgramSink


class SendmailOutlet(Outlet):
    """Starts a program for each email, with the options that every ``sendmail`` has.

    Args:
        program: its absolute path.
        args: words that come before those options.
    """

    # The recipients are arguments, which have a bound.
    offers: Sequence[str] = (*OFFERS, "LIMITS RCPTMAX=500")

    def __init__(self, program: str, args: tuple[str, ...] = ()) -> None:
        self._program = program
        self._args = args
        self.name: str = f"sendmail://{program}"
        self.peer: Peer | None = Peer(host=program, address="", port=0)

    def pool(self) -> Workers | None:
        """Return the threads for what may block on anything."""
        return event_loop().token_pool

    def check(self) -> None:
        """Check that the program is there.

        Raises:
            Broken: it is not, or may not be run.
        """
        number = None
        try:
            os.stat(self._program)  # noqa: PTH116
        except OSError as error:
            number = error.errno or errno.EIO
        else:
            if os.path.isdir(self._program):  # noqa: PTH112
                number = errno.EISDIR
            elif not os.access(self._program, os.X_OK):
                number = errno.EACCES
        if number is not None:
            raise unusable(self.name, "exec", number)

    def sink(self, taken: Taken) -> Sink:
        """Return what passes one email to the program."""
        # RFC 5321's null reverse-path is "<>" on the command line, too.
        command = (self._program, *self._args, "-i", "-f", taken.sender or "<>", "--")
        return ProgramSink(command, taken.recipients)
