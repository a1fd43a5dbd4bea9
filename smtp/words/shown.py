"""How values and text of any origin are shown to people: in errors, details, logs, transcripts.

A value of a stranger's can be anything: a number of a million digits, text that plays with a
terminal or forges a line of a log, or an object whose `repr` raises.
"""

MAX_SHOWN = 60
"""Characters of a value in an error."""
_MAX_BITS = 10_000
"""Bits of a number that is written out; Python refuses to write one of more than 4 300 digits."""
_BITS_PER_DIGIT = 3.3219280948873626


def shown(value: object, most: int = MAX_SHOWN) -> str:
    """Return what an error shows of a value, quoted as Python does and in ASCII.

    Args:
        value: anything.
        most: characters that are enough. Longer text ends in ``...``.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        bits = int.bit_length(value)
        if bits > _MAX_BITS:
            return f"a number of about {int(bits / _BITS_PER_DIGIT) + 1} digits"
        text = int.__repr__(value)
    elif isinstance(value, str):
        # Cut first: to escape a text of megabytes, and throw it away, takes its time.
        text = ascii(str.__str__(value)[: most + 1])
    else:
        try:
            text = ascii(value)
        except Exception:  # its own, or that of a number in it
            return f"<{type(value).__name__}>"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def words_of(error: BaseException, most: int = 200) -> str:
    """Return what another's exception says, in ASCII and in one line.

    Args:
        error: the exception.
        most: characters that are enough.
    """
    try:
        return ascii(str(error))[1:-1][:most]
    except Exception:
        return ""


def text_shown(octets: bytes) -> str:
    """Decode text of a server's: what is no UTF-8, or can't be printed, is escaped."""
    return escaped(octets.decode("utf-8", "backslashreplace"))


def escaped(text: str) -> str:
    """Escape what can't be printed."""
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
