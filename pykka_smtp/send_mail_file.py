"""The mail that ``pykka-smtp send`` sends: read once, looked at, and not changed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from .smtp.address import AddressError, check_mailbox
from .smtp.content import MAX_TEXT_LINE
from .smtp.mail_data import scan

MAX_MAIL = 256 * 1024 * 1024
"""Octets. It is held in memory, and few servers take a tenth of that."""
_MAX_HEADER = 1024 * 1024
"""Octets of the mail that are searched for its header."""

_LINE_END = rb"(?:\r\n|\r|\n)"
# RFC 5322 §2.2: a name, a colon, a body that goes on in lines that begin with white space.
_FIELD = re.compile(
    rb"(?P<name>[!-9;-~]++)[ \t]*+:"
    rb"(?P<body>[^\r\n]*+(?:" + _LINE_END + rb"[ \t][^\r\n]*+)*+)"
    rb"(?:" + _LINE_END + rb"|\Z)"
)
_FOLD = re.compile(_LINE_END + rb"(?=[ \t])")
# RFC 5322 §3.4: a name and an address in angle brackets; or the bare address, perhaps with a
# comment, which is how mail was written once and cron still writes it.
_NAMED = re.compile(r'(?:"(?:[^"\\]|\\.)*+"|[^"<>(),:;])*+<([^<>]*+)>')
_BARE = re.compile(r"([^\s<>(),:;]++)(?:\s*+\([^()]*+\))?")

_ASK = "name the sender with --sender"


class BadMailError(Exception):
    """What was read is not a mail that can be sent. The message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFile:
    """A complete mail.

    Attributes:
        data: its octets.
        size: as the server will count them (RFC 1870 §5).
        warnings: what not every server will like, one line each.
    """

    data: bytes = field(repr=False)
    size: int
    warnings: tuple[str, ...] = ()

    @property
    def sender(self) -> str:
        """The one address in From (RFC 5322 §3.6.2), as it stands there.

        Raises:
            BadMailError: there is none, or more than one, or it is no address.
        """
        bodies = [body for name, body in _fields(self.data) if name == b"from"]
        if len(bodies) != 1:
            raise BadMailError(f"has {len(bodies)} From fields; {_ASK}")
        try:
            text = _FOLD.sub(b"", bodies[0]).decode().strip()
            match = _NAMED.fullmatch(text) or _BARE.fullmatch(text)
            if match is None:
                raise BadMailError(f"has not exactly one address in From; {_ASK}")
            return check_mailbox(match[1])
        except UnicodeDecodeError:
            raise BadMailError(f"has a From field that is not UTF-8; {_ASK}") from None
        except AddressError as error:
            raise BadMailError(f"has a From field with an {error}; {_ASK}") from None


def read_mail(file: IO[bytes]) -> MailFile:
    """Read a mail, and see whether it can be one.

    Args:
        file: read from where it stands, to its end.

    Raises:
        BadMailError: it is too long, has no header, or has a Bcc field.
        OSError: it can't be read.
    """
    data = file.read(MAX_MAIL + 1)
    if len(data) > MAX_MAIL:
        raise BadMailError(f"is longer than {MAX_MAIL} octets")
    if not data:
        raise BadMailError("is empty")
    names = {name for name, _ in _fields(data)}
    if not names:
        raise BadMailError(
            "does not begin with a header field, such as 'From: me@example.com';"
            " it needs to be a complete mail"
        )
    if names & {b"bcc", b"resent-bcc"}:
        # Programs that take recipients from the header cut it off. Nobody does so here.
        raise BadMailError("has a Bcc field, which every recipient would see; take it out")
    facts = scan(data)
    warnings: list[str] = []
    if facts.nul or facts.longest_line > MAX_TEXT_LINE:
        what = "a NUL octet" if facts.nul else f"a line of {facts.longest_line} octets"
        warnings.append(f"has {what}; only servers with BINARYMIME take that (RFC 3030)")
    return MailFile(data=data, size=facts.size, warnings=tuple(warnings))


def _fields(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give names, in lower case, and bodies of the fields, up to what is no field."""
    position = 0
    while match := _FIELD.match(data, position, _MAX_HEADER):
        yield match["name"].lower(), match["body"]
        position = match.end()
