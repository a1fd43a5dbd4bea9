"""What an error shows of a value that it complains of: one line, printable, and never much of it.

A value of a stranger's can be anything: a number of a million digits, text with line ends in it, or
an object whose `repr` raises.
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
