"""Makes untrusted text safe to print on a terminal."""

from typing import TextIO

from ...smtp.words.shown import escaped

MAX_SHOWN = 500
"""Characters of one line of text that are shown."""


def printable(text: str, out: TextIO, most: int = MAX_SHOWN) -> str:
    """Return one line with control and unprintable characters escaped.

    Args:
        text: the text, such as a reply or a file name.
        out: the stream that it is for, whose encoding counts.
        most: characters to keep at most.
    """
    text = escaped(text)
    if len(text) > most:
        text = f"{text[: most - 3]}..."
    encoding = out.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def print_lines(out: TextIO, *lines: str, most: int = MAX_SHOWN) -> None:
    """Print lines of untrusted text.

    Args:
        out: the stream.
        lines: without line ends.
        most: characters to keep of each line at most.

    Raises:
        BrokenPipeError: it can't be written, for example because the reader has gone or the
            terminal was closed; `errno` is the system's.
    """
    try:
        out.writelines(f"{printable(line, out, most)}\n" for line in lines)
        out.flush()
    except OSError as error:
        raise BrokenPipeError(error.errno, error.strerror) from error
