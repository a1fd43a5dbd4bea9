"""The mails that all clients send."""

from pathlib import Path

SENDER = "me@example.com"
RECIPIENT = "you@example.org"
CLIENT_NAME = "client.example.com"
"""What EHLO says. Given to all: the standard library's client would ask a name server else."""
_HEADER = (
    b"From: me@example.com\r\n"
    b"To: you@example.org\r\n"
    b"Subject: A mail to measure with\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"\r\n"
)
_LINE = b"The quick brown fox jumps over the lazy dog, and does so until told to ha\r\n"


def mail_of(octets: int = 1000) -> bytes:
    """Return a complete mail, with so many octets after its header."""
    body = (_LINE * (octets // len(_LINE) + 1))[: octets - 2]
    return _HEADER + body + b"\r\n"


SUBJECT = "A mail to measure with"
TEXT = "The quick brown fox jumps over the lazy dog, and does so until told to h\n" * 14
"""About 1 kB of text, for mails that are composed."""
HTML = (
    "<p>Gr\u00fc\u00dfe! <a href='https://example.com/'>The quick brown fox</a> jumps.</p>\n"
    + "<p>The quick brown fox jumps over the lazy dog, and does so until told to h</p>\n" * 20
)
"""About 2 kB of HTML."""
PAGE = HTML + '<p><img src="cid:logo"></p>\n'
"""The same with an image."""


def write_mail(path: Path, octets: int) -> None:
    """Write a mail with so many octets after its header into a file, a piece at a time."""
    piece = _LINE * 10_000
    with path.open("wb") as file:
        file.write(_HEADER)
        for _ in range(octets // len(piece)):
            file.write(piece)
        file.write(_LINE * (octets % len(piece) // len(_LINE)))
