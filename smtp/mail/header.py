"""The fields of an email's header: checked, encoded and folded (RFC 5322 §2.2, RFC 2047).

No text of a caller's may end a line, or it could add a field, or begin the body: each piece of
text passes `check_text`, `check_name` or `check_address` before it is used. Lines are folded at
white space, so that unfolding gives back the same text.
"""

import datetime as dt
import functools
import re
from collections.abc import Iterable, Sequence
from typing import cast

from ..words.shown import shown
from .address import check_forward_path, to_ascii_domain
from .domain import AddressError
from .folding import FOLD_AT, can_fold, fold, pieces_of, words

_MAX_NAME = 76  # octets of a field's name; leaves room for a value on its line

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_NAME = re.compile(r"[!-9;-~]+")  # ftext, RFC 5322 §2.2

# RFC 5322 §3.2.3: a phrase of atoms needs no quotes. Several spaces in a row need them.
_ATOM = r"[A-Za-z0-9_!#$%&'*+/=?^`{|}~-]++"
_ATOMS = re.compile(rf"{_ATOM}(?: {_ATOM})*+")

_MINUTE = dt.timedelta(minutes=1)

# msg-id, RFC 5322 §3.6.4. The limit of its length is that of netnews (RFC 3977 §3.6).
_DOT_ATOM = rf"{_ATOM}(?:\.{_ATOM})*+"
_MESSAGE_ID = re.compile(rf"<{_DOT_ATOM}@(?:{_DOT_ATOM}|\[[!-Z^-~]*\])>")
_MAX_MESSAGE_ID = 250

# One mailbox of a list, RFC 5322 §3.4, without groups and comments, and the comma after it.
_ESCAPE = re.compile(r"\\(.)")
_QUOTED_TEXT = re.compile(r"\"((?:[^\"\\]|\\.)*+)\"")
# In quoted strings, comments and address literals, a comma is not a separator. One without an end
# is taken up to the end, so that nothing is searched twice.
_ATOMIC = re.compile(r"\"(?:[^\"\\]|\\.)*+(\")?|\((?:[^()\\]|\\.)*+(\))?|\[[^\]]*+(\])?", re.DOTALL)
_LISTED = re.compile(
    rf"(?P<phrase>(?:{_QUOTED_TEXT.pattern}|[^\"<>,:;()])*)(?:<(?P<address>[^<>]*)>[ \t]*)?(?:,|\Z)"
)

# Fields, in lower case, that hold addresses: in them, non-ASCII text is a display name.
ADDRESS_FIELD = re.compile(
    r"(?:resent-)?(?:from|sender|reply-to|to|cc)|mail-(?:followup|reply)-to"
    r"|disposition-notification-to|return-receipt-to|errors-to"
)
# Fields in which encoded words are not allowed, or not everywhere.
_ASCII_FIELD = re.compile(
    r"(?:resent-)?(?:date|message-id)|in-reply-to|references|received|return-path|auto-submitted"
    r"|authentication-results|dkim-signature|(?:arc|list)-.*|content-(?!description$).*"
)


def check_text(field: str, value: object, *, tab: bool = False) -> str:
    """Return `value` if it is one line of text.

    Args:
        field: the name of the value in the error.
        value: anything.
        tab: whether a TAB is allowed.

    Raises:
        TypeError: it is not a str.
        ValueError: it has a control character or a lone surrogate.
    """
    if not isinstance(value, str):
        raise TypeError(f"{field}: must be a str, not {type(value).__name__}")
    value = str.__str__(value)  # what is checked is what is written, even for a str-like enum
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
            f"headers: {shown(name)} is not a header name; "
            "use printable ASCII without spaces and colons"
        )
    if len(name) > _MAX_NAME:
        raise ValueError(f"headers: the name {shown(name)} has more than {_MAX_NAME} characters")
    if name.lower() in {"bcc", "resent-bcc"}:
        raise ValueError(f"headers: {name} would show who gets a blind copy; use bcc= instead")
    return name


def check_field_name(name: object) -> None:
    """Check that `name` can be the name of a field, of any length.

    Raises:
        ValueError: it is not RFC 5322's ftext.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError(f"{shown(str(name))} is not a header name")


def check_address(field: str, value: object) -> str:
    """Return `value` if it is an address that would be valid in the envelope, too.

    Args:
        field: the name of the value in the error.
        value: anything.

    Raises:
        TypeError: it is not a str.
        ValueError: it is not an address of RFC 5321 or RFC 6531.
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
        text: checked by `check_text`. It is written as encoded words if it is not ASCII, looks
            like an encoded word, or cannot be written or folded as it is.
    """
    if _is_plain(text) and len(name) + len(text) < FOLD_AT - 1 and text == text.strip(" \t") != "":
        return f"{name}: {text}"  # most subjects, without a look at where they can be folded
    pieces = pieces_of(" " + text)
    # Readers strip white space from both ends of a value.
    if _is_plain(text) and text == text.strip(" ") and can_fold(name, pieces):
        return fold(name, pieces)
    return fold(name, words(name, text))


def mailbox_field(name: str, mailboxes: Sequence[tuple[str | None, str]]) -> str:
    """Return a field that lists mailboxes (RFC 5322 §3.4).

    Args:
        name: the field's name, checked.
        mailboxes: display name (or None, or empty) and address of each, all checked; at least one.
    """
    if len(mailboxes) == 1:
        # Most fields: one mailbox that needs no quotes, and no second line.
        [(phrase, address)] = mailboxes
        line = f"{name}: {phrase} <{address}>" if phrase else f"{name}: {address}"
        if len(line) <= FOLD_AT and _is_plain(line) and (not phrase or _ATOMS.fullmatch(phrase)):
            return line
    return fold(name, _mailboxes(name, mailboxes))


def group_field(
    name: str, groups: Iterable[tuple[str | None, Iterable[tuple[str | None, str]]]]
) -> str:
    """Return a field that lists mailboxes and groups of them (RFC 5322 §3.4).

    Args:
        name: the field's name, checked.
        groups: display name of each group, or None for mailboxes outside a group; and its
            mailboxes, as in `mailbox_field`. Names need no check.
    """
    pieces: list[str] = []
    for phrase, mailboxes in groups:
        if pieces:
            pieces[-1] += ","
        if phrase is None:
            pieces += _mailboxes(name, mailboxes)
            continue
        pieces += _phrase(name, phrase)
        pieces[-1] += ":"
        pieces += _mailboxes(name, mailboxes)
        pieces[-1] += ";"
    return fold(name, pieces)


def given_field(name: str, value: str) -> str:
    """Return a field whose value the caller wrote.

    An ASCII value is written as given, folded. In others, text and the display names of address
    lists become encoded words; an address that is not ASCII stays as it is (RFC 6532 §3.2).

    Args:
        name: the field's name, checked.
        value: its value, checked by `check_text`.

    Raises:
        ValueError: it cannot be folded, or is not ASCII and the field allows no encoded words.
    """
    value = value.strip(" \t")
    if value.isascii():
        return fold(name, pieces_of(" " + value))
    if ADDRESS_FIELD.fullmatch(name.lower()):
        return fold(name, _listed(name, value))
    if _ASCII_FIELD.fullmatch(name.lower()):
        raise ValueError(
            f"header {name}: must be ASCII; write the rest as RFC 2047 words or RFC 2231 parameters"
        )
    return text_field(name, value)


def has_several(value: str) -> bool:
    """Whether a caller's list of mailboxes has more than one, valid or not."""
    rest = _ATOMIC.sub(lambda found: "" if found.lastindex else found[0], value)
    return "," in rest or ":" in rest or rest.count("<") > 1


def date_field(date: object) -> str:
    """Return the Date field (RFC 5322 §3.3).

    Args:
        date: a datetime with time zone.

    Raises:
        TypeError: it is not a datetime.
        ValueError: it has no time zone, or is before 1900.
    """
    # All emails of one second have the same date. Not so in other zones: two that are equal can be
    # written differently.
    if type(date) is dt.datetime and date.tzinfo is dt.UTC and date.year >= 1900:
        return _date_in_utc(date)
    if not isinstance(date, dt.datetime):
        raise TypeError(f"date: must be a datetime, not {type(date).__name__}")
    offset = date.utcoffset()
    if offset is None:
        raise ValueError("date: has no time zone; use datetime.now(timezone.utc), for example")
    if date.year < 1900:
        raise ValueError(f"date: the year {date.year} is before 1900 (RFC 5322 §3.3)")
    # Time zones have hours and minutes only here. The offset of a local mean time has seconds, too:
    # then the same moment is written with the offset of the full minute before.
    zone = "+0000"
    if offset:
        date -= offset % _MINUTE
        minutes = offset // _MINUTE
        zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    return _dated(date, zone)


@functools.lru_cache(maxsize=16)
def _date_in_utc(date: dt.datetime) -> str:
    return _dated(date, "+0000")


def _dated(date: dt.datetime, zone: str) -> str:
    # Cut out of "Tue Dec  1 18:44:20 2026", which costs less than to write each number.
    text = dt.datetime.ctime(date)  # in English, whatever the locale: RFC 5322 §3.3
    day = text[8:10].replace(" ", "0")
    return f"Date: {text[:3]}, {day} {text[4:7]} {text[20:]} {text[11:19]} {zone}"


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
        raise ValueError(f"message_id: {shown(message_id)} is not of the form <unique@host>")
    if len(message_id) > _MAX_MESSAGE_ID:
        raise ValueError(f"message_id: has more than {_MAX_MESSAGE_ID} characters")
    return f"Message-ID: {message_id}"


def _is_plain(text: str) -> bool:
    """Whether `text` is ASCII and does not look like an encoded word."""
    return text.isascii() and "=?" not in text


def _mailboxes(name: str, mailboxes: Iterable[tuple[str | None, str]]) -> list[str]:
    pieces: list[str] = []
    for phrase, address in mailboxes:
        if pieces:
            pieces[-1] += ","
        # In ASCII if there is such a form: then the email needs no SMTPUTF8.
        written = to_ascii_domain(address)
        pieces += [*_phrase(name, phrase), f" <{written}>"] if phrase else [f" {written}"]
    return pieces


def _phrase(name: str, text: str) -> list[str]:
    """Return the pieces of a display name: atoms, a quoted string, or encoded words."""
    if _is_plain(text):
        phrase = text
        if not _ATOMS.fullmatch(text):
            if not text.isprintable():  # decoded from an encoded word; it may have a line end
                return words(name, text)
            phrase = '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'
        pieces: list[str] = pieces_of(" " + phrase)
        if can_fold(name, pieces):
            return pieces
    return words(name, text)


def _listed(name: str, value: str) -> list[str]:
    """Return the pieces of a caller's list of mailboxes; raise if it is invalid."""
    pieces: list[str] = []
    end = 0
    while end < len(value):
        mailbox = _LISTED.match(value, end)
        if mailbox is None or (mailbox["address"] is None and "@" not in mailbox["phrase"]):
            raise ValueError(
                f"header {name}: {shown(value[end:])} is not a list of addresses such as "
                "Name <name@example.org>, other@example.org"
            )
        end = mailbox.end()
        phrase, address = mailbox["phrase"].strip(" \t"), mailbox["address"]
        if address is None:
            phrase, address = "", phrase
        checked = check_address(f"header {name}", address)
        if pieces:
            pieces[-1] += ","
        if "=?" in phrase and phrase.isascii():  # the caller's own encoded words
            pieces += [*pieces_of(" " + phrase), f" <{to_ascii_domain(checked)}>"]
        else:
            phrase = _QUOTED_TEXT.sub(lambda quoted: _ESCAPE.sub(r"\1", quoted[1]), phrase)
            pieces += _mailboxes(name, ((phrase, checked),))
    return pieces
