"""The mail that ``pykka-smtp send`` sends: read once, looked at, and not changed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from ..signals import SendMail
from ..signals.tellable import Tellable
from ..smtp.mail.address import check_mailbox
from ..smtp.mail.content import MAX_TEXT_LINE
from ..smtp.mail.domain import AddressError
from ..smtp.mail.mail_data import scan
from ..smtp.words.shown import shown
from .encoding import BOM, wide_encoding
from .mailbox import read_mailbox

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
_BLANK_LINE = re.compile(rb"(?:\r\n|\r(?!\n)|\n)(?=[\r\n])")
_BCC = re.compile(rb"(?:\A|[\r\n])(?:resent-)?bcc[ \t]*+:", re.IGNORECASE)
_MBOX = b"From "

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
            mailbox = read_mailbox(text)
            if mailbox is None:
                raise BadMailError(f"has not exactly one address in From; {_ASK}")
            return check_mailbox(mailbox[1])
        except UnicodeDecodeError:
            raise BadMailError(f"has a From field that is not UTF-8; {_ASK}") from None
        except AddressError as error:
            raise BadMailError(f"has a From field with an {error}; {_ASK}") from None

    def make(
        self, *, sender: str, to: str | Sequence[str], outcome_to: Tellable | None = None
    ) -> SendMail:
        """Return this mail to some recipients.

        Args:
            sender: the reverse-path.
            to: who gets it.
            outcome_to: who is told the outcome.
        """
        return SendMail(sender=sender, recipients=to, message=self.data, outcome_to=outcome_to)


def read_mail(file: IO[bytes]) -> MailFile:
    """Read a mail, and see whether it can be one.

    Args:
        file: read from where it stands, to its end.

    Raises:
        BadMailError: it is too long, has no header, has a Bcc field, or is in an encoding that no
            mail can have.
        OSError: it can't be read.
    """
    data = file.read(MAX_MAIL + 1)
    if len(data) > MAX_MAIL:
        raise BadMailError(f"is longer than {MAX_MAIL} octets")
    if not data:
        raise BadMailError("is empty")
    data = data.removeprefix(BOM)
    _check_beginning(data)
    broken = _check_header(data)
    facts = scan(data)
    warnings: list[str] = []
    if broken is not None:
        warnings.append(
            f"has a line in its header that is no field: {shown(broken)};"
            " servers and readers may take what follows for the text"
        )
    if facts.nul or facts.longest_line > MAX_TEXT_LINE:
        what = "a NUL octet" if facts.nul else f"a line of {facts.longest_line} octets"
        warnings.append(f"has {what}; only servers with BINARYMIME take that (RFC 3030)")
    return MailFile(data=data, size=facts.size, warnings=tuple(warnings))


def _check_beginning(data: bytes) -> None:
    """See that the mail begins with a header field.

    Raises:
        BadMailError: it does not; says what it begins with, if that is known.
    """
    encoding = wide_encoding(data)
    if encoding is not None:
        raise BadMailError(f"is {encoding}, which no mail can be; save it as UTF-8")
    if data.startswith(_MBOX):
        line = data.splitlines()[0].decode("utf-8", "replace")
        raise BadMailError(
            f"begins with the line of an mbox file, {shown(line)}; take that line out, and send"
            " one mail of it"
        )
    if _FIELD.match(data) is None:
        raise BadMailError(
            "does not begin with a header field, such as 'From: me@example.com';"
            " it needs to be a complete mail"
        )


def _check_header(data: bytes) -> str | None:
    """Look for Bcc up to the first blank line; return a line before that which is no field.

    A line that is no field ends the header for some, and not for others. What stands behind it
    is seen by every recipient in any case.

    Raises:
        BadMailError: there is a Bcc field.
    """
    blank = _BLANK_LINE.search(data)
    end = len(data) if blank is None else blank.end()
    if _BCC.search(data, 0, end):
        # Programs that take recipients from the header cut it off. Nobody does so here.
        raise BadMailError("has a Bcc field, which every recipient would see; take it out")
    position = 0
    while match := _FIELD.match(data, position, min(end, _MAX_HEADER)):
        position = match.end()
    if position >= min(end, _MAX_HEADER):
        return None
    return data[position : position + 1000].splitlines()[0].decode("utf-8", "replace")


def _fields(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give names, in lower case, and bodies of the fields, up to what is no field."""
    position = 0
    while match := _FIELD.match(data, position, _MAX_HEADER):
        yield match["name"].lower(), match["body"]
        position = match.end()
