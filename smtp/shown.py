"""How text of any origin is shown to people: in errors, details, logs and transcripts.

What a server or a caller gave may be long, and may have what plays with a terminal or forges a
line of a log.
"""

_MAX_VALUE = 60


def shown(value: object) -> str:
    """Show a value in an error: in printable ASCII, 60 characters at most."""
    text = ascii(value)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 3]}..."


def text_shown(octets: bytes) -> str:
    """Decode text of a server's: what is no UTF-8, or can't be printed, is escaped."""
    text = octets.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, most: int | None = None) -> str:
    """Fit a text into one line: a line break in a line of a log forges the next one.

    Args:
        text: any text.
        most: characters at most, or None for no limit.
    """
    if not text.isprintable():
        text = " ".join(text.splitlines())
        text = "".join(c if c.isprintable() else " " for c in text)
    return text if most is None or len(text) <= most else f"{text[: most - 3]}..."
