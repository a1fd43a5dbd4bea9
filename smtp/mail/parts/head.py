"""The header of an email that is made here: who, to whom, about what, when (RFC 5322 §3.6).

Every value is checked when the email is made, and none can add a field. The date and the id are
passed in: nothing here reads a clock.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from ..header import (
    check_address,
    check_name,
    check_text,
    date_field,
    given_field,
    has_several,
    mailbox_field,
    message_id_field,
    text_field,
)

Mailbox = tuple[str | None, str]
"""A display name, or None, and an address."""

# Generated fields that a field of the caller's may replace.
_GENERATED = ("from", "to", "cc", "subject", "date", "message-id", "content-type")
# RFC 5322 §3.6 allows each of these at most once.
_ONCE = frozenset((*_GENERATED, "sender", "reply-to", "in-reply-to", "references"))
# And RFC 2369 §2, RFC 2919 §2, and RFC 8058 §3.1 each of these.
_ONCE_OF_A_LIST = frozenset(
    (
        *("list-archive", "list-help", "list-id", "list-owner", "list-post", "list-subscribe"),
        *("list-unsubscribe", "list-unsubscribe-post"),
    )
)
_NONE: tuple[()] = ()  # as most emails have them: no copies, no fields of their own
_NO_ADDRESS = frozenset(("", "<>"))
# Generated fields that cannot be replaced, because they must describe the body correctly.
_OURS = frozenset(("mime-version", "content-transfer-encoding"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The header of an email, without what describes its body.

    There is no Bcc: blind recipients appear in the envelope only.

    Args:
        from_address: address of the author. May be empty or ``<>`` if `headers` has a From.
        from_name: the author's display name, or None.
        to: display name (or None) and address of each recipient to be shown in To.
        cc: the same for Cc.
        subject: one line of text.
        headers: more header fields, as pairs of name and value. One with the name of a generated
            field replaces it, at its place; MIME-Version and Content-Transfer-Encoding cannot be
            replaced. Values are sent as given, with encoded words for text that is not ASCII.
        fields: more fields, each of them complete: checked, encoded and folded.
        date: when the email was written, with time zone.
        message_id: ``<unique@host>``, with the angle brackets.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a value cannot be sent as it is, or would change another.
    """

    from_address: str
    from_name: str | None = None
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    subject: str
    headers: tuple[tuple[str, str], ...] = ()
    fields: tuple[str, ...] = ()
    date: dt.datetime
    message_id: str

    def _check(self) -> None:
        """Check and normalise what a header has several of."""
        _set(self, "to", _mailboxes("to", self.to))
        _set(self, "cc", _mailboxes("cc", self.cc))
        _set(self, "headers", _headers(self.headers))

    def _lines(self, content_type: str) -> list[str]:
        """Return the fields, with MIME-Version and Content-Type as the last.

        Args:
            content_type: that field as it is if the caller gives none.
        """
        given, others = _given(self.headers, self.fields)
        fields = [
            self._author(given),
            _recipients("To", self.to),
            _recipients("Cc", self.cc),
            text_field("Subject", check_text("subject", self.subject)),
            date_field(self.date),
            message_id_field(self.message_id),
            content_type,
        ]
        # A field of the caller's replaces the generated one, at the same place.
        if given:
            fields = [given.get(name, line) for name, line in zip(_GENERATED, fields, strict=True)]
        content_type = fields.pop()
        return [*filter(None, fields), *others, "MIME-Version: 1.0", content_type]

    def _author(self, given: dict[str, str]) -> str:
        """Return From; empty if the caller gave no address but a From field in `headers`."""
        name = None if self.from_name is None else check_text("from_name", self.from_name)
        if self.from_address in _NO_ADDRESS:
            if "from" in given:
                return ""
            raise ValueError(
                "from_address: where the reverse-path is null, the email needs a From in headers="
            )
        address = check_address("from_address", self.from_address)
        return mailbox_field("From", ((name, address),))


_set = object.__setattr__  # a frozen dataclass needs it to normalise its own fields


def _recipients(name: str, mailboxes: tuple[Mailbox, ...]) -> str:
    return mailbox_field(name, mailboxes) if mailboxes else ""


def _pairs(name: str, what: str, value: object) -> Iterable[tuple[object, object]]:
    """Return the pairs in `value`; raise if it is not a list of pairs."""
    kind = type(value).__name__
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name}: must be a tuple of pairs {what}, not {kind}")
    pairs: list[tuple[object, object]] = []
    for number, item in enumerate(cast("Sequence[object]", value), 1):
        pair = cast("tuple[object, ...]", item)
        if not isinstance(item, list | tuple) or len(pair) != 2:
            raise TypeError(f"{name}: must be a tuple of pairs {what}; item {number} is none")
        pairs.append((pair[0], pair[1]))
    return pairs


def _mailboxes(name: str, value: object) -> tuple[Mailbox, ...]:
    """Return the mailboxes of one field, checked."""
    if value is _NONE:
        return _NONE
    kind = type(value)
    if kind is tuple and len(items := cast("tuple[object, ...]", value)) == 1:
        kind = type(items[0])
        if kind is tuple and len(pair := cast("tuple[object, ...]", items[0])) == 2:
            return (_mailbox(name, *pair),)  # as most emails have it
    return tuple(
        [
            _mailbox(name, phrase, address)
            for phrase, address in _pairs(name, "(display name or None, address)", value)
        ]
    )


def _mailbox(name: str, phrase: object, address: object) -> Mailbox:
    if phrase is not None:
        phrase = check_text(f"{name}_name", phrase)
    return phrase, check_address(name, address)


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    """Return the fields of the caller's, checked."""
    if value is _NONE:
        return _NONE
    headers = tuple(
        (check_name(name), check_text(f"header {name}", text, tab=True))
        for name, text in _pairs("headers", "(name, value)", value)
    )
    for name, _ in headers:
        if name.lower() in _OURS:
            raise ValueError(f"headers: {name} cannot be given; it is made from the body")
    return headers


def _given(
    headers: tuple[tuple[str, str], ...], fields: tuple[str, ...]
) -> tuple[dict[str, str], list[str]]:
    """Return the fields that replace a generated one, by lower-case name, and the others."""
    if headers is _NONE and fields is _NONE:
        return {}, []
    replacing: dict[str, str] = {}
    others: list[str] = [*fields]
    ours = {line.partition(":")[0].lower() for line in fields}
    seen: set[str] = set()
    for name, value in headers:
        key = name.lower()
        if key in ours:
            raise ValueError(f"headers: {name} is given already, by an argument of its own")
        if key in seen:
            rfc = "RFC 5322 §3.6" if key in _ONCE else "RFC 2369 §2"
            raise ValueError(f"headers: {name} is there twice; an email has one ({rfc})")
        if key in _ONCE or key in _ONCE_OF_A_LIST:
            seen.add(key)
        if key == "sender" and has_several(value):
            raise ValueError(f"headers: {name} has several addresses; it has one (RFC 5322 §3.6.2)")
        line = given_field(name, value)
        if key in _GENERATED:
            replacing[key] = line
        else:
            others.append(line)
    if "list-unsubscribe-post" in seen and not any(
        name.lower() == "list-unsubscribe" and "https:" in value.lower() for name, value in headers
    ):
        raise ValueError(
            "headers: List-Unsubscribe-Post needs a List-Unsubscribe with an https URL beside it"
            " (RFC 8058 §3.1); unsubscribe=Unsubscribe(url=...) makes both"
        )
    return replacing, others
