"""The email that ``pykka-smtp send`` reads from a file: read once, checked, and not changed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from ...signals import SendMail
from ...signals.tellable import Tellable
from ...smtp.mail.address import check_mailbox
from ...smtp.mail.content import MAX_TEXT_LINE
from ...smtp.mail.domain import AddressError
from ...smtp.mail.mail_data import scan
from ...smtp.words.shown import shown
from .encoding import BOM, wide_encoding
from .mailbox import read_mailbox
from .recipients import Named

MAX_MAIL = 256 * 1024 * 1024
"""Bytes. The email is held in memory, and few servers accept a tenth of that."""
_MAX_HEADER = 1024 * 1024
"""Bytes that are searched for header fields."""

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

_EXPECTED = ("From", "Date", "Message-ID")
"""Fields that each email must have, or should (RFC 5322 §3.6). None is added here."""
_ASK = "name the sender with --sender"


class BadMailError(Exception):
    """The file is not an email that can be sent. The message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFile:
    """A complete email.

    Attributes:
        data: its bytes.
        size: its size as the server will count it, in octets (RFC 1870 §5).
        warnings: what some servers may reject or misread, one line each.
    """

    data: bytes = field(repr=False)
    size: int
    warnings: tuple[str, ...] = ()

    @property
    def sender(self) -> str:
        """The one address in From (RFC 5322 §3.6.2), unchanged.

        Raises:
            BadMailError: there is not exactly one, or it is invalid.
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
        self, *, sender: str, to: Sequence[Named], outcome_to: Tellable | None = None
    ) -> SendMail:
        """Return this email to some recipients.

        Args:
            sender: the reverse-path.
            to: the recipients; names do not count.
            outcome_to: receives the outcome.
        """
        addresses = [address for _, address in to]
        return SendMail(
            sender=sender, recipients=addresses, message=self.data, outcome_to=outcome_to
        )


def read_mail(file: IO[bytes]) -> MailFile:
    """Read an email, and check it.

    Args:
        file: read from its current position to its end.

    Raises:
        BadMailError: it is too long, has no header, has a Bcc field, or is in an encoding that an
            email can't have, such as UTF-16.
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
    names = {name for name, _ in _fields(data)}
    missing = [name for name in _EXPECTED if name.lower().encode() not in names]
    if missing and broken is None:  # they may stand behind the broken line
        warnings.append(
            f"has no {' and no '.join(missing)}; it goes out without, and may be taken for spam"
        )
    if facts.nul or facts.longest_line > MAX_TEXT_LINE:
        what = "a NUL octet" if facts.nul else f"a line of {facts.longest_line} octets"
        warnings.append(f"has {what}; only servers with BINARYMIME take that (RFC 3030)")
    return MailFile(data=data, size=facts.size, warnings=tuple(warnings))


def _check_beginning(data: bytes) -> None:
    """Check that the email begins with a header field.

    Raises:
        BadMailError: it does not. The message says what the file is, if that is known.
    """
    encoding = wide_encoding(data)
    if encoding is not None:
        raise BadMailError(f"is {encoding}, which no email can be; save it as UTF-8")
    if data.startswith(_MBOX):
        line = data.splitlines()[0].decode("utf-8", "replace")
        raise BadMailError(
            f"begins with the line of an mbox file, {shown(line)}; take that line out, and send"
            " one email of it"
        )
    if _FIELD.match(data) is None:
        raise BadMailError(
            "does not begin with a header field, such as 'From: me@example.com';"
            " it needs to be a complete email"
        )


def _check_header(data: bytes) -> str | None:
    """Look for Bcc up to the first blank line; return a line before that which is not a field.

    For some programs such a line ends the header, for others it does not. Recipients see what
    follows it in any case.

    Raises:
        BadMailError: there is a Bcc field.
    """
    blank = _BLANK_LINE.search(data)
    end = len(data) if blank is None else blank.end()
    if _BCC.search(data, 0, end):
        # Programs that take recipients from the header remove Bcc. This one does not change it.
        raise BadMailError("has a Bcc field, which every recipient would see; take it out")
    position = 0
    while match := _FIELD.match(data, position, min(end, _MAX_HEADER)):
        position = match.end()
    if position >= min(end, _MAX_HEADER):
        return None
    return data[position : position + 1000].splitlines()[0].decode("utf-8", "replace")


def _fields(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names in lower case and bodies of the fields, up to the first line that is none."""
    position = 0
    while match := _FIELD.match(data, position, _MAX_HEADER):
        yield match["name"].lower(), match["body"]
        position = match.end()
