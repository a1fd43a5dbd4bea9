"""The mails of the soak: each has a number, and is marked with it at both ends."""

import re

LARGE = 80_000
"""Octets of a large mail: too many for it to go out before it is asked for."""
SMALL = 1_000
MAX_RECIPIENTS = 3

_HEAD = re.compile(rb"Message-ID: <([0-9]+)@soak\.test>\r\nX-Octets: ([0-9]{7})\r\n")
_LINES = b".\r\n..\r\n" + b"." + b"x" * 70 + b"\r\n"


def mail_data(number: int, size: int) -> bytes:
    """Make the mail with this number, of about this many octets."""
    filler = _LINES * max(1, size // len(_LINES))
    end = b"end of %d\r\n" % number
    head = b"Message-ID: <%d@soak.test>\r\nX-Octets: %07d\r\nSubject: soak\r\n\r\n"
    total = len(head % (number, 0)) + len(filler) + len(end)
    return head % (number, total) + filler + end


def is_whole(number: int, data: bytes) -> bool:
    """Whether this is the mail with this number, and nothing else."""
    match = _HEAD.match(data)
    return (
        match is not None
        and int(match[1]) == number
        and int(match[2]) == len(data)
        and data.endswith(b"\r\nend of %d\r\n" % number)
    )


def sender(number: int) -> str:
    """Name the sender of a mail by its number."""
    return f"s{number}@a.test"


def recipients(count: int) -> list[str]:
    """Name so many recipients."""
    return [f"r{bit}@b.test" for bit in range(count)]


def recipient_of(path: bytes) -> int:
    """Return which recipient this is."""
    return int(path[1:2])
