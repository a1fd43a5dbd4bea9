"""Detects byte order marks and UTF-16 or UTF-32 in files written by text editors."""

BOM = b"\xef\xbb\xbf"
"""The mark in UTF-8 (RFC 3629 §6). It is not a part of the text."""

_MARKS = (  # UTF-32 first, whose mark begins with that of UTF-16
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_LOOKED_AT = 16
"""Bytes that are checked of a text without a mark."""


def wide_encoding(beginning: bytes) -> str | None:
    """Return the name of an encoding that no email or list of addresses can have, or None.

    Args:
        beginning: the first 16 bytes of a file, or all if it is shorter.
    """
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name
    # UTF-16 without a mark: every other byte of ASCII text is NUL.
    few = beginning[:_LOOKED_AT]
    evens, odds = few[::2], few[1::2]
    if len(odds) > 1 and (not any(evens) or not any(odds)):
        return "UTF-16"
    return None
