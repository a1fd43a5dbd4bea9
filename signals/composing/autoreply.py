"""`autoreply`: an automatic answer that starts no loop and bothers no list (RFC 3834)."""

import re
from email import policy
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from typing import Any

from ...smtp.mail.header import check_address
from ...smtp.words.shown import shown
from ..send_mail import SendMail
from .given import Mailbox

_SILENT = re.compile(
    r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|owner-.*|.*-(?:request|owner|bounces?))"
    r"(?:[+-].*)?@.*",
    re.IGNORECASE,
)
"""Who does not want to be answered, RFC 3834 §2."""
_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_MOST_HEADER = 1_048_576
"""Octets of the header that are read; what follows is as if it were not there."""
_MOST_READ = 65_536
"""Characters of a field that are read."""
_MOST_PARSED = 1000
"""Characters of a field that are parsed, which takes a time that grows with their square."""
_MOST_REFERENCES = 20
_MOST_SUBJECT = 200


class AutoreplyRefused(ValueError):  # noqa: N818 - it is what has happened, and no error
    """An email gets no automatic answer; the text says why."""


def autoreply(to: "bytes | Message[Any, Any]", *, sender: Mailbox, **parts: Any) -> SendMail:
    """Return an automatic answer, such as that somebody is on holiday (RFC 3834).

    It goes to the Return-Path of what it answers, from the null reverse-path; so that nothing comes
    back. In-Reply-To, References, Auto-Submitted and the subject are made here.

    Args:
        to: the email to answer, as it was delivered: with its Return-Path.
        sender: who answers: the address in From, perhaps with a display name.
        parts: what else `SendMail` takes, such as ``body``.

    Raises:
        AutoreplyRefused: it must not be answered: it is automatic itself, from a list, bulk, or a
            bounce; or nobody knows where it came from. A `ValueError`.
        ValueError: a part can't be sent.
        TypeError: `to` is no email.
    """
    message = to if isinstance(to, Message) else None
    if isinstance(to, bytes):
        message = BytesHeaderParser().parsebytes(to[:_MOST_HEADER])
    if message is None:
        raise TypeError(f"to: needs bytes or a Message, not {type(to).__name__}")
    fields = _fields_of(message)
    recipient = _return_path(fields)
    _refuse_what_is_automatic(fields)
    if parts.keys() & {"recipients", "cc", "bcc", "auto_submitted", "in_reply_to", "references"}:
        raise TypeError("autoreply: makes recipients, auto_submitted and references itself")
    answered, thread = _thread(fields)
    author = SendMail(sender=sender, recipients=recipient)  # checks, and splits, the sender
    name = author.from_name
    quoted = None if name is None else name.replace("\\", r"\\").replace('"', r"\"")
    headers = {**dict(parts.pop("headers", ()))}
    headers["From"] = author.sender if quoted is None else f'"{quoted}" <{author.sender}>'
    headers.setdefault("Message-ID", author.message_id or "")  # in the author's domain
    parts.setdefault("subject", _subject(fields))
    return SendMail(
        sender="<>",
        recipients=recipient,
        headers=headers,
        auto_submitted="auto-replied",
        in_reply_to=answered,
        references=thread,
        **parts,
    )


_Fields = dict[str, list[str]]
"""The fields of each name, which is in lower case: as they are, but on one line each."""


def _fields_of(message: "Message[Any, Any]") -> _Fields:
    found: _Fields = {}
    for name, value in message.raw_items():
        text = str(value)[:_MOST_READ]
        if not text.isascii():  # octets that are not ASCII are surrogates
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        found.setdefault(name.lower(), []).append(" ".join(text.split()))
    return found


def _first(fields: _Fields, name: str) -> str:
    return fields.get(name.lower(), [""])[0]


def _parsed(fields: _Fields, name: str) -> str:
    """Return the text of a field, without encoded words."""
    try:
        value: object = policy.default.header_factory(name, _first(fields, name)[:_MOST_PARSED])
    except Exception as error:  # of the standard library's parser, on what it does not expect
        raise AutoreplyRefused(f"its {name} cannot be read") from error
    return " ".join(str(value).split())


def _return_path(fields: _Fields) -> str:
    """Return where it came from; raise if that wants no answer."""
    path = _first(fields, "Return-Path")
    if not path:
        raise AutoreplyRefused("it has no Return-Path; only after delivery it has one")
    if path == "<>":
        raise AutoreplyRefused("its Return-Path is null: it is a bounce, or an automatic answer")
    try:
        address = check_address("Return-Path", path.strip("<>"))
    except ValueError as error:
        raise AutoreplyRefused(str(error)) from None
    author = parseaddr(_parsed(fields, "From"))[1]
    for silent in (address, author):
        if _SILENT.fullmatch(silent):
            raise AutoreplyRefused(f"{shown(silent)} is no person who reads answers")
    return address


def _refuse_what_is_automatic(fields: _Fields) -> None:
    for value in fields.get("auto-submitted", ()):
        if value.partition(";")[0].strip().lower() not in ("", "no"):
            raise AutoreplyRefused(f"it is automatic itself ({shown(f'Auto-Submitted: {value}')})")
    if _first(fields, "Content-Type").lower().startswith("multipart/report"):
        raise AutoreplyRefused("it is a report, such as a bounce")
    for name in fields:
        if name.startswith("list-"):
            raise AutoreplyRefused(f"it came over a list (it has {shown(name)})")
        if name in ("x-autoreply", "x-autorespond", "x-auto-response-suppress"):
            raise AutoreplyRefused(f"it wants no automatic answer (it has {name})")
    for value in fields.get("precedence", ()):
        if value.lower() in ("bulk", "list", "junk", "auto_reply"):
            raise AutoreplyRefused(f"it is bulk mail (Precedence: {value})")


def _thread(fields: _Fields) -> tuple[str | None, list[str] | None]:
    """Return the ids of what is answered, and of its thread (RFC 5322 §3.6.4)."""
    found = _ID.findall(_first(fields, "Message-ID"))
    if not found:
        return None, None
    before = _ID.findall(_first(fields, "References"))
    if not before:
        before = _ID.findall(_first(fields, "In-Reply-To"))
        before = before if len(before) == 1 else []
    return found[0], [*before[-_MOST_REFERENCES:], found[0]]


def _subject(fields: _Fields) -> str:
    text = _parsed(fields, "Subject")
    text = "".join([each if each.isprintable() else " " for each in text[:_MOST_SUBJECT]])
    return f"Auto: {text}".strip()
