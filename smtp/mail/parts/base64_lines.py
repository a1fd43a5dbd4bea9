"""Base64 in lines of 76 characters (RFC 2045 §6.8)."""

import binascii
import struct

LINE = 57
"""Octets that become one line."""
_MANY = struct.Struct("76s" * 128)  # cuts many lines in one call


def in_lines(octets: bytes) -> bytes:
    """Return octets in base64, in lines that all end in CRLF.

    Args:
        octets: the octets; of a longer whole, as many as fill their lines.
    """
    text = binascii.b2a_base64(octets, newline=False)
    whole = len(text) - len(text) % _MANY.size
    lines: list[bytes] = []
    for start in range(0, whole, _MANY.size):
        lines += _MANY.unpack_from(text, start)
    lines += [text[start : start + 76] for start in range(whole, len(text), 76)]
    lines.append(b"")
    return b"\r\n".join(lines)


def encoded_size(size: int) -> int:
    """Return how many octets `in_lines` makes of so many."""
    return 4 * -(-size // 3) + 2 * -(-size // LINE)
