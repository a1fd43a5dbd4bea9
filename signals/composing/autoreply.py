"""`autoreply`: an automatic answer that starts no loop and bothers no list (RFC 3834)."""

import re
from email import message_from_bytes, policy
from email.message import Message
from email.utils import parseaddr
from typing import Any, cast

from ...smtp.mail.header import check_address
from ..send_mail import SendMail
from .given import Mailbox

_SILENT = re.compile(
    r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|owner-.*|.*-(?:request|owner|bounces?))"
    r"(?:[+-].*)?@.*",
    re.IGNORECASE,
)
"""Who does not want to be answered, RFC 3834 §2."""
_ID = re.compile(r"<[!-;=?-~]{1,995}>")
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
        message = message_from_bytes(to, policy=policy.default)
    if message is None:
        raise TypeError(f"to: needs bytes or a Message, not {type(to).__name__}")
    recipient = _return_path(message)
    _refuse_what_is_automatic(message)
    if parts.keys() & {"recipients", "cc", "bcc", "auto_submitted", "in_reply_to", "references"}:
        raise TypeError("autoreply: makes recipients, auto_submitted and references itself")
    answered, thread = _thread(message)
    author = SendMail(sender=sender, recipients=recipient)  # checks, and splits, the sender
    name = author.from_name
    quoted = None if name is None else name.replace("\\", r"\\").replace('"', r"\"")
    headers = {**dict(parts.pop("headers", ()))}
    headers["From"] = author.sender if quoted is None else f'"{quoted}" <{author.sender}>'
    headers.setdefault("Message-ID", author.message_id or "")  # in the author's domain
    parts.setdefault("subject", _subject(message))
    return SendMail(
        sender="<>",
        recipients=recipient,
        headers=headers,
        auto_submitted="auto-replied",
        in_reply_to=answered,
        references=thread,
        **parts,
    )


def _field(message: "Message[Any, Any]", name: str) -> str:
    try:
        value = cast("object", message.get(name))
    except Exception as error:  # of the standard library's parser, on what it does not expect
        raise AutoreplyRefused(f"its {name} cannot be read") from error
    return " ".join(str(value or "").split())


def _return_path(message: "Message[Any, Any]") -> str:
    """Return where it came from; raise if that wants no answer."""
    path = _field(message, "Return-Path")
    if not path:
        raise AutoreplyRefused("it has no Return-Path; only after delivery it has one")
    if path == "<>":
        raise AutoreplyRefused("its Return-Path is null: it is a bounce, or an automatic answer")
    try:
        address = check_address("Return-Path", path.strip("<>"))
    except ValueError as error:
        raise AutoreplyRefused(str(error)) from None
    author = parseaddr(_field(message, "From"))[1]
    for silent in (address, author):
        if _SILENT.fullmatch(silent):
            raise AutoreplyRefused(f"{silent} is no person who reads answers")
    return address


def _refuse_what_is_automatic(message: "Message[Any, Any]") -> None:
    kind = _field(message, "Auto-Submitted").partition(";")[0].strip().lower()
    if kind not in ("", "no"):
        raise AutoreplyRefused(f"it is automatic itself (Auto-Submitted: {kind})")
    for name in message:
        lower = name.lower()
        if lower.startswith("list-"):
            raise AutoreplyRefused(f"it came over a list (it has {name})")
        if lower in ("x-autoreply", "x-autorespond", "x-auto-response-suppress"):
            raise AutoreplyRefused(f"it wants no automatic answer (it has {name})")
    precedence = _field(message, "Precedence").lower()
    if precedence in ("bulk", "list", "junk", "auto_reply"):
        raise AutoreplyRefused(f"it is bulk mail (Precedence: {precedence})")


def _thread(message: "Message[Any, Any]") -> tuple[str | None, list[str] | None]:
    """Return the ids of what is answered, and of its thread (RFC 5322 §3.6.4)."""
    found = _ID.findall(_field(message, "Message-ID"))
    if not found:
        return None, None
    before = _ID.findall(_field(message, "References"))
    if not before:
        before = _ID.findall(_field(message, "In-Reply-To"))
        before = before if len(before) == 1 else []
    return found[0], [*before[-_MOST_REFERENCES:], found[0]]


def _subject(message: "Message[Any, Any]") -> str:
    text = "".join(each if each.isprintable() else " " for each in _field(message, "Subject"))
    return f"Auto: {text[:_MOST_SUBJECT]}".strip()
