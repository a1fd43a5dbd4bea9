"""The fields of a mail's header: checked, encoded and folded (RFC 5322 §2.2, RFC 2047).

Nothing that a caller gives may end a line, or it could add a field, or begin the body: each piece
of text passes `check_text`, `check_name` or `check_address` before it is used. Lines are folded at
white space, so that unfolding gives back the same text.
"""

import binascii
import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from .address import AddressError, check_forward_path, to_ascii_domain

_MAX_LINE = 998  # octets, RFC 5322 §2.1.1
_MAX_NAME = 76  # octets of a field's name; leaves room for a value on its line
_MAX_WORD = 75  # characters of an encoded word, RFC 2047 §2
_MIN_WORD = 32  # room for some characters, also beside a long field name
_MAX_SHOWN = 60  # characters of a bad value in an error
# RFC 5322 §2.1.1 asks for 78, RFC 2047 §2 for 76 in a line that has encoded words.
_FOLD_AT = 76

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_NAME = re.compile(r"[!-9;-~]+")  # ftext, RFC 5322 §2.2

# RFC 5322 §3.2.3: a phrase of these needs no quotes. Runs of spaces are kept by quoting.
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_ATOMS = re.compile(rf"{_ATOM}(?: {_ATOM})*", re.ASCII)

# RFC 5322 §3.3 has English names, whatever the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MINUTE = dt.timedelta(minutes=1)

# msg-id, RFC 5322 §3.6.4. The bound is that of news systems (RFC 3977 §3.6).
_DOT_ATOM = rf"{_ATOM}(?:\.{_ATOM})*"
_MESSAGE_ID = re.compile(rf"<{_DOT_ATOM}@(?:{_DOT_ATOM}|\[[!-Z^-~]*\])>", re.ASCII)
_MAX_MESSAGE_ID = 250

# White space with the run of text after it: what a line can be folded before.
_PIECE = re.compile(r"[ \t]*[^ \t]+")

# RFC 2047 §5 (3): what stands for itself in a Q word in a phrase, the strictest place.
_Q_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q = [chr(octet) if octet in _Q_PLAIN else f"={octet:02X}" for octet in range(256)]
_Q[0x20] = "_"

# One mailbox of a list, RFC 5322 §3.4, without groups and comments, and the comma behind it.
_ESCAPE = re.compile(r"\\(.)")
_QUOTED_TEXT = re.compile(r"\"((?:[^\"\\]|\\.)*)\"")
_LISTED = re.compile(
    rf"(?P<phrase>(?:{_QUOTED_TEXT.pattern}|[^\"<>,:;()])*)(?:<(?P<address>[^<>]*)>[ \t]*)?(?:,|\Z)"
)

# Fields, in lower case, that hold addresses: text that is not ASCII is a display name there.
_ADDRESS_FIELD = re.compile(
    r"(?:resent-)?(?:from|sender|reply-to|to|cc)|mail-(?:followup|reply)-to"
    r"|disposition-notification-to|return-receipt-to|errors-to"
)
# Fields where an encoded word means nothing, or not everywhere.
_ASCII_FIELD = re.compile(
    r"(?:resent-)?(?:date|message-id)|in-reply-to|references|received|return-path|auto-submitted"
    r"|authentication-results|dkim-signature|(?:arc|list)-.*|content-(?!description$).*"
)


def check_text(field: str, value: object, *, tab: bool = False) -> str:
    """Return `value` if it is one line of text.

    Args:
        field: what to call it in the error.
        value: anything.
        tab: whether a TAB may stand in it.

    Raises:
        TypeError: it is not a str.
        ValueError: it has a control character or a lone surrogate.
    """
    if not isinstance(value, str):
        raise TypeError(f"{field}: must be a str, not {type(value).__name__}")
    value = str.__str__(value)  # what is checked is what is written, also of a str-like enum
    if value.isascii() and value.isprintable():
        return value
    bad = (_CONTROL_BUT_TAB if tab else _CONTROL).search(value)
    if bad is not None:
        raise ValueError(
            f"{field}: control character {bad[0]!r} at position {bad.start()}; "
            "it must be a single line of plain text"
        )
    bad = _SURROGATE.search(value)
    if bad is not None:
        raise ValueError(
            f"{field}: lone surrogate {bad[0]!r} at position {bad.start()}; it is no Unicode text"
        )
    return value


def check_name(name: object) -> str:
    """Return `name` if it can be the name of a field.

    Raises:
        TypeError: it is not a str.
        ValueError: it is not RFC 5322's ftext, is too long, or would show the blind recipients.
    """
    if not isinstance(name, str):
        raise TypeError(f"headers: a name must be a str, not {type(name).__name__}")
    name = str.__str__(name)
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"headers: {_shown(name)} is no header name; "
            "use printable ASCII without spaces and colons"
        )
    if len(name) > _MAX_NAME:
        raise ValueError(f"headers: the name {_shown(name)} has more than {_MAX_NAME} characters")
    if name.lower() in {"bcc", "resent-bcc"}:
        raise ValueError(f"headers: {name} would show who gets a blind copy; use bcc= instead")
    return name


def check_address(field: str, value: object) -> str:
    """Return `value` if it is an address to which the envelope could go as well.

    Args:
        field: what to call it in the error.
        value: anything.

    Raises:
        TypeError: it is not a str.
        ValueError: it is no address of RFC 5321 or RFC 6531.
    """
    try:
        return check_forward_path(cast("str", value))
    except TypeError as error:
        raise TypeError(f"{field}: {error}") from error
    except AddressError as error:
        raise AddressError(f"{field}: {error}") from error


def text_field(name: str, text: str) -> str:
    """Return a field of unstructured text, such as a subject, that reads back as `text`.

    Args:
        name: the field's name, checked.
        text: what was checked by `check_text`. Encoded words are used where it is not ASCII,
            would be taken for an encoded word, or cannot be written or folded as it is.
    """
    pieces = _PIECE.findall(" " + text)
    # Readers strip white space from both ends of a value.
    if _is_plain(text) and text == text.strip(" ") and _can_fold(name, pieces):
        return fold(name, pieces)
    return fold(name, _words(name, text))


def mailbox_field(name: str, mailboxes: Iterable[tuple[str | None, str]]) -> str:
    """Return a field that lists mailboxes (RFC 5322 §3.4).

    Args:
        name: the field's name, checked.
        mailboxes: display name (or None, or empty) and address of each, all checked; at least one.
    """
    pieces: list[str] = []
    for phrase, address in mailboxes:
        if pieces:
            pieces[-1] += ","
        # Where an ASCII form serves, the mail needs no SMTPUTF8.
        written = to_ascii_domain(address)
        pieces += [*_phrase(name, phrase), f" <{written}>"] if phrase else [f" {written}"]
    return fold(name, pieces)


def given_field(name: str, value: str) -> str:
    """Return a field whose value the caller wrote.

    ASCII goes out as given, folded. Of what is not ASCII, text and the display names of address
    lists become encoded words; an address that is not ASCII stays as it is (RFC 6532 §3.2).

    Args:
        name: the field's name, checked.
        value: its value, checked by `check_text`.

    Raises:
        ValueError: it cannot be folded, or it is not ASCII where that has no form.
    """
    value = value.strip(" \t")
    if value.isascii():
        return fold(name, _PIECE.findall(" " + value))
    if _ADDRESS_FIELD.fullmatch(name.lower()):
        return mailbox_field(name, _listed(name, value))
    if _ASCII_FIELD.fullmatch(name.lower()):
        raise ValueError(
            f"header {name}: must be ASCII; write the rest as RFC 2047 words or RFC 2231 parameters"
        )
    return text_field(name, value)


def date_field(date: object) -> str:
    """Return the Date field (RFC 5322 §3.3).

    Args:
        date: a datetime with time zone.

    Raises:
        TypeError: it is no datetime.
        ValueError: it has no time zone, or is before 1900.
    """
    if not isinstance(date, dt.datetime):
        raise TypeError(f"date: must be a datetime, not {type(date).__name__}")
    offset = date.utcoffset()
    if offset is None:
        raise ValueError("date: has no time zone; use datetime.now(timezone.utc), for example")
    if date.year < 1900:
        raise ValueError(f"date: the year {date.year} is before 1900 (RFC 5322 §3.3)")
    # Zones have hours and minutes only. Local mean times have seconds too: the same moment is
    # told in the zone of the full minute before.
    date -= offset % _MINUTE
    minutes = offset // _MINUTE
    return (
        f"Date: {_DAYS[date.weekday()]}, {date.day:02} {_MONTHS[date.month - 1]} {date.year:04} "
        f"{date.hour:02}:{date.minute:02}:{date.second:02} "
        f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    )


def message_id_field(message_id: object) -> str:
    """Return the Message-ID field (RFC 5322 §3.6.4).

    Args:
        message_id: ``<unique@host>``, with the angle brackets.

    Raises:
        TypeError: it is not a str.
        ValueError: it is of another form, or too long.
    """
    if not isinstance(message_id, str):
        raise TypeError(f"message_id: must be a str, not {type(message_id).__name__}")
    message_id = str.__str__(message_id)
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError(f"message_id: {_shown(message_id)} is not of the form <unique@host>")
    if len(message_id) > _MAX_MESSAGE_ID:
        raise ValueError(f"message_id: has more than {_MAX_MESSAGE_ID} characters")
    return f"Message-ID: {message_id}"


def fold(name: str, pieces: Sequence[str]) -> str:
    """Return a field's lines, joined by CRLF, without the last line end.

    Args:
        name: the field's name.
        pieces: its value, cut where it may be folded. Each piece begins with the white space
            before it, and none is white space only: a line of that is obsolete (RFC 5322 §3.2.2),
            and some programs take it for the end of the header.

    Raises:
        ValueError: a piece is too long for a line.
    """
    line = f"{name}:{''.join(pieces)}"
    if len(line) <= _FOLD_AT:
        return line
    if not _can_fold(name, pieces):
        raise ValueError(
            f"header {name}: a run of more than {_room(name)} characters without a space cannot be "
            f"folded into lines of {_MAX_LINE}; put spaces in"
        )
    line = f"{name}:{pieces[0]}"
    lines: list[str] = []
    for piece in pieces[1:]:
        if len(line) + len(piece) <= _FOLD_AT:
            line += piece
        else:
            lines.append(line)
            line = piece
    lines.append(line)
    return "\r\n".join(lines)


def _room(name: str) -> int:
    """The longest piece that can stand on any line of the field, the first one too."""
    return _MAX_LINE - len(name) - len(":")


def _can_fold(name: str, pieces: Sequence[str]) -> bool:
    return max(map(len, pieces), default=0) <= _room(name)


def _is_plain(text: str) -> bool:
    """Whether `text` is ASCII and could not be taken for an encoded word."""
    return text.isascii() and "=?" not in text


def _phrase(name: str, text: str) -> list[str]:
    """The pieces of a display name: atoms, a quoted string, or encoded words."""
    if _is_plain(text):
        phrase = text
        if not _ATOMS.fullmatch(text):
            phrase = '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'
        pieces: list[str] = _PIECE.findall(" " + phrase)
        if _can_fold(name, pieces):
            return pieces
    return _words(name, text)


def _listed(name: str, value: str) -> Iterator[tuple[str, str]]:
    """Read a caller's list of mailboxes: display name and address of each."""
    end = 0
    while end < len(value):
        mailbox = _LISTED.match(value, end)
        if mailbox is None or (mailbox["address"] is None and "@" not in mailbox["phrase"]):
            raise ValueError(
                f"header {name}: {_shown(value[end:])} is no list of addresses such as "
                "Name <name@example.org>, other@example.org"
            )
        end = mailbox.end()
        phrase, address = mailbox["phrase"].strip(" \t"), mailbox["address"]
        if address is None:
            phrase, address = "", phrase
        phrase = _QUOTED_TEXT.sub(lambda quoted: _ESCAPE.sub(r"\1", quoted[1]), phrase)
        yield phrase, check_address(f"header {name}", address)


def _words(name: str, text: str) -> list[str]:
    """The encoded words of `text` (RFC 2047 §2), each with the space before it.

    A reader drops the white space between two encoded words, so the text can be cut between any
    two of its characters; within one it must not be (§5).
    """
    octets = text.encode()
    kind, encode = min(("q", _q), ("b", _b), key=lambda form: len(form[1](octets)))
    # The first word shares its line with the field's name.
    room = max(_FOLD_AT - len(f"{name}: "), _MIN_WORD)
    words: list[str] = []
    word = b""
    for character in text:
        longer = word + character.encode()
        if len(encode(longer)) + len("=?utf-8?q??=") > room:
            words.append(f" =?utf-8?{kind}?{encode(word)}?=")
            longer = longer[len(word) :]
            room = _MAX_WORD
        word = longer
    words.append(f" =?utf-8?{kind}?{encode(word)}?=")
    return words


def _b(octets: bytes) -> str:
    """RFC 2047 §4.1: base64."""
    return binascii.b2a_base64(octets, newline=False).decode()


def _q(octets: bytes) -> str:
    """RFC 2047 §4.2: quoted-printable of a kind, with ``_`` for the space."""
    return "".join(map(_Q.__getitem__, octets))


def _shown(value: str) -> str:
    """`value` for an error: escaped, and cut where it is long."""
    return ascii(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "...")
