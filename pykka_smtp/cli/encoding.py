"""How a file begins that a text editor has written: some begin with a byte order mark."""

BOM = b"\xef\xbb\xbf"
"""In UTF-8 (RFC 3629 §6). It is no part of the text."""

_MARKS = (  # of those that begin alike, the longer first
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_LOOKED_AT = 16
"""Octets of a text without a mark that are looked at."""


def wide_encoding(beginning: bytes) -> str | None:
    """Return the name of an encoding that no mail and no list of addresses can have, or None.

    Args:
        beginning: the first octets of a file, 16 of them if there are as many.
    """
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name
    # Without a mark: in ASCII text every other octet is then NUL.
    few = beginning[:_LOOKED_AT]
    evens, odds = few[::2], few[1::2]
    if len(odds) > 1 and (not any(evens) or not any(odds)):
        return "UTF-16"
    return None
