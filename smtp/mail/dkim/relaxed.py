"""The forms in which header and body are signed: "relaxed" (RFC 6376 §3.4.2, §3.4.4).

White space may change on the way of an email; these forms are the same before and after.
"""

import hashlib

_BLOCK = 65_536
"""Octets of a body that are hashed at a time: they stay in the processor's cache."""

Field = tuple[bytes, bytes]
"""A field of a header: its name in lower case, and ``name:value`` in relaxed form."""


def relaxed_fields(header: bytes) -> list[Field]:
    """Return the fields of a header, from its first to its last.

    Args:
        header: complete lines that end in CRLF, without the empty one.
    """
    if header.startswith(b"\r\n"):
        return []  # there is no header, and this is a body
    text = _with_single_spaces(header.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" "))
    fields: list[Field] = []
    for line in text.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            name = name.rstrip(b" ").lower()
            fields.append((name, b"%b:%b" % (name, value.strip(b" "))))
    return fields


class RelaxedBody:
    """Hashes a body that comes piece by piece. However long it is, nothing of it is kept."""

    __slots__ = ("_hash", "_is_empty", "_lines", "_open")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._open = b""  # a space, which counts unless its line ends there
        self._lines = 0  # line ends that count if a line that is not empty follows
        self._is_empty = True

    def feed(self, body: bytes) -> None:
        """Add the next octets.

        Args:
            body: octets with CRLF line ends, cut anywhere but within a CRLF.
        """
        start, end = 0, len(body)
        while start < end:
            until = min(start + _BLOCK, end)
            # Not within a CRLF.
            if until < end and body[until - 1] == 0x0D and body[until] == 0x0A:
                until += 1
            self._feed_block(body[start:until])
            start = until

    def _feed_block(self, block: bytes) -> None:
        text = _with_single_spaces(self._open + block)
        if b" " in text:
            text = text.replace(b" \r\n", b"\r\n")
        rest = text.rstrip(b" \r\n")
        if rest:
            while self._lines:
                lines = min(self._lines, _BLOCK)
                self._hash.update(b"\r\n" * lines)
                self._lines -= lines
            self._hash.update(rest)
            self._is_empty = False
        end = text[len(rest) :]
        self._lines += len(end) // 2
        self._open = b" " if end.endswith(b" ") else b""

    def digest(self) -> bytes:
        """Return the SHA-256 hash of all that was fed. Call it once, and last."""
        if not self._is_empty:
            self._hash.update(b"\r\n")  # empty lines at the end do not count
        return self._hash.digest()


def _with_single_spaces(text: bytes) -> bytes:
    """Return `text` with one space for each run of white space in a line.

    Each turn halves the longest run. A regular expression would take ten times as long.
    """
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    while b" " in text:
        shorter = text.replace(b"  ", b" ")
        if len(shorter) == len(text):
            break
        text = shorter
    return text
