"""Text of any origin, made fit for a terminal."""

from typing import TextIO

MAX_SHOWN = 500
"""Characters of one line of text that are shown."""


def printable(text: str, out: TextIO) -> str:
    """Return one line without what would play with the terminal, or what it can't show.

    Args:
        text: perhaps a server's, or the name of a file.
        out: where it is to be written.
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(text) > MAX_SHOWN:
        text = f"{text[: MAX_SHOWN - 3]}..."
    encoding = out.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)
