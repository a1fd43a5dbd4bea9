"""`Html`: a page that several emails have, encoded once."""

import re

from ...smtp.mail.parts.cids import cids_fetched, cids_of
from ...smtp.mail.parts.entity import Entity, text_entity
from ...smtp.mail.parts.plain_text import text_of
from ...smtp.mail.parts.text import octets_of


class Html:
    """An HTML page for ``SendMail(html=…)``.

    It is immutable, and encoded once: where many emails have the same page, give them the same
    object. For a page of its own in each email, a str is enough.

    Args:
        text: the page.

    Raises:
        TypeError: it is not a str.
        ValueError: it has a NUL, or a lone surrogate.
    """

    __slots__ = ("_entity", "_named", "_text", "_words")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            hint = "; read the file: Path(...).read_text()" if hasattr(text, "read_text") else ""
            raise TypeError(f"html: needs a str or Html, not {type(text).__name__}{hint}")
        self._text = str.__str__(text)
        octets = octets_of(self._text, "html")
        self._entity = text_entity(octets, "text/html", utf8=True)
        self._named = cids_of(self._text, octets)
        self._words: Entity | None = None

    @property
    def text(self) -> str:
        """The page."""
        return self._text

    @property
    def fetched(self) -> frozenset[str]:
        """The names of the parts that it embeds, such as ``logo`` for ``src="cid:logo"``."""
        return cids_fetched(self._text) if self._named else self._named

    @property
    def named(self) -> frozenset[str]:
        """The same, and perhaps names of which it only speaks."""
        return self._named

    @property
    def entity(self) -> Entity:
        """The page as a part of an email."""
        return self._entity

    @property
    def words(self) -> Entity:
        """Its text as a part of an email, for those who see no HTML."""
        if self._words is None:
            self._words = text_entity(text_of(self._text), "text/plain")
        return self._words

    def __repr__(self) -> str:
        return f"<Html, {len(self._text)} characters>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self._text == other
        return self._text == other._text if isinstance(other, Html) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)


_METHOD = re.compile(r"^METHOD(?:;[^:\n]*+)?:(.*+)$", re.MULTILINE | re.IGNORECASE)
_VALUE = re.compile(r"[A-Za-z0-9-]{1,40}")


def invitation_of(calendar: object) -> Entity:
    """Return an invitation as a part of an email (RFC 6047 §2.4).

    Args:
        calendar: an iCalendar object, a str or bytes in UTF-8.

    Raises:
        TypeError: it is neither.
        ValueError: it is no iCalendar object, or has no method, or several.
    """
    if isinstance(calendar, bytes):
        try:
            calendar = calendar.decode()
        except UnicodeDecodeError:
            raise ValueError("calendar: is not in UTF-8") from None
    if not isinstance(calendar, str):
        raise TypeError(f"calendar: needs a str or bytes, not {type(calendar).__name__}")
    calendar = calendar.lstrip("\ufeff \t\r\n")  # no client expects a byte order mark here
    if not calendar[:15].upper() == "BEGIN:VCALENDAR":
        raise ValueError("calendar: does not begin with BEGIN:VCALENDAR")
    octets = octets_of(calendar, "calendar")
    methods = _METHOD.findall(calendar.replace("\r\n", "\n").replace("\r", "\n"))
    if len(methods) > 1:
        raise ValueError("calendar: has METHOD twice; clients would take either")
    method: str = methods[0].strip(" \t") if methods else ""
    if not _VALUE.fullmatch(method):
        raise ValueError(
            "calendar: has no METHOD, without which clients show no invitation; write"
            " METHOD:REQUEST into it, or attach it as a file"
        )
    return text_entity(octets, f"text/calendar; method={method.upper()}", utf8=True)
