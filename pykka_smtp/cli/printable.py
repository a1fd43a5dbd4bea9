"""Text of any origin, made fit for a terminal."""

from typing import TextIO

from ..smtp.words.shown import escaped

MAX_SHOWN = 500
"""Characters of one line of text that are shown."""


def printable(text: str, out: TextIO, most: int = MAX_SHOWN) -> str:
    """Return one line without what would play with the terminal, or what it can't show.

    Args:
        text: perhaps a server's, or the name of a file.
        out: where it is to be written.
        most: characters that are enough.
    """
    text = escaped(text)
    if len(text) > most:
        text = f"{text[: most - 3]}..."
    encoding = out.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def print_lines(out: TextIO, *lines: str, most: int = MAX_SHOWN) -> None:
    """Print lines of text of any origin.

    Args:
        out: where to.
        lines: without line ends.
        most: characters of each that are enough.

    Raises:
        BrokenPipeError: nobody reads it, whatever the system calls that. A terminal that was closed
            is no pipe, but comes to the same; its `errno` is that of the system.
    """
    try:
        out.writelines(f"{printable(line, out, most)}\n" for line in lines)
        out.flush()
    except OSError as error:
        raise BrokenPipeError(error.errno, error.strerror) from error
