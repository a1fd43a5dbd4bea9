"""A progress bar for terminals. Needs rich, which is an extra."""

import contextlib
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from .printable import printable
from .results import Tally, in_words


class Bar:
    """A bar with counts and rate.

    Args:
        err: the terminal.
        total: the number of recipients.
        command: which command shows it.
    """

    def __init__(self, err: TextIO, total: int, command: str = "send") -> None:
        self._err = err
        self._command = command
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            TextColumn("{task.fields[words]}", markup=False),
            TimeRemainingColumn(),
            console=Console(file=err),
            auto_refresh=False,  # it would start a thread
            # Output of others must not be changed.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=total, words="")

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):
            self._progress.stop()

    def show(self, tally: Tally, rate: float) -> None:
        """Redraw the bar."""
        words = in_words(tally, rate)
        with contextlib.suppress(OSError):
            self._progress.update(self._task, completed=tally.tried, words=words, refresh=True)

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        with contextlib.suppress(OSError):
            # As Text, not str: rich would parse an address literal as markup.
            text = Text(f"pykka-smtp {self._command}: {printable(line, self._err)}")
            self._progress.console.print(text, soft_wrap=True)
