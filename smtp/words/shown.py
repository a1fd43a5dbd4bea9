"""Formats values and text of any origin for people: in errors, details, logs, transcripts.

An untrusted value can be anything: a number of a million digits, text that controls a terminal or
forges a line of a log, or an object whose `repr` raises.
"""

MAX_SHOWN = 60
"""Characters of a value in an error."""
_MAX_WORDS = 200
"""Characters of another error's text."""
_MAX_BITS = 10_000
"""Bits of a number that is still shown in full: 3 010 digits. Python refuses more than 4 300."""
_BITS_PER_DIGIT = 3.3219280948873626


def shown(value: object, most: int = MAX_SHOWN) -> str:
    """Return a value as an error shows it: quoted as in Python source, in ASCII.

    Args:
        value: anything.
        most: characters at most. Longer text is cut, and ends in ``...``.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        bits = int.bit_length(value)
        if bits > _MAX_BITS:
            return f"a number of about {int(bits / _BITS_PER_DIGIT) + 1} digits"
        text = int.__repr__(value)
    elif isinstance(value, str):
        # Cut first: escaping megabytes of text only to discard them takes long.
        text = ascii(str.__str__(value)[: most + 1])
    else:
        try:
            text = ascii(value)
        except Exception:  # of the value's own `repr`, or of a huge number in it
            return f"<{type(value).__name__}>"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def words_of(error: BaseException) -> str:
    """Return the text of an exception of other code, in ASCII and on one short line."""
    try:
        return ascii(str(error))[1:-1][:_MAX_WORDS]
    except Exception:
        return ""


def text_shown(octets: bytes) -> str:
    """Decode text of a server; octets that are not UTF-8 or not printable are escaped."""
    return escaped(octets.decode("utf-8", "backslashreplace"))


def escaped(text: str) -> str:
    """Return the text with backslash escapes for characters that are not printable."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str, most: int | None = None) -> str:
    """Return a text as one line, because a line break in a log forges the line after it.

    Args:
        text: any text.
        most: characters at most, or None for no limit.
    """
    if not text.isprintable():
        text = " ".join(text.splitlines())
        text = "".join(c if c.isprintable() else " " for c in text)
    return text if most is None or len(text) <= most else f"{text[: most - 3]}..."
