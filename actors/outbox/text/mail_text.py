"""An email as text and octets for a file, and back: the same Message-ID and Date each time."""

import datetime as dt
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, cast

import blinker

from ....signals.send_mail import SendMail
from ....smtp.mail.compose import TextEmail
from ....smtp.mail.content import CompleteContent, ComposedContent, Content
from ....smtp.mail.delivery_options import DeliverBy, Dsn
from .large import LargeBody, undated
from .reading import copy_of, in_memory

MAX_SIZE = 64 * 1024 * 1024
"""Octets of a body that a row of the file may hold. A larger one has a file of its own beside."""

_TEXT, _OCTETS, _COMPLETE = "text", "octets", "complete"
_NO_CONTEXT, _PLAIN = {"context": None}, '"context":null'
_COMPLETE_MADE, _COMPLETE_ONLY = {"kind": _COMPLETE}, '"kind":"complete"'
_set = object.__setattr__
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_quoted = encode_basestring


@dataclass(frozen=True, slots=True)
class MailText:
    """An email as it is written into the file.

    Attributes:
        mail: the email, with its message in memory, unless that is large.
        env: everything but the body, as JSON.
        body: the body, or the complete message; empty if it is large.
        digest: the same for the same email, whatever its Date and Message-ID; empty if the body is
            large: who copies it computes the digest.
        large: the body, if it is larger than a row may be.
    """

    mail: SendMail
    env: str
    body: bytes
    digest: bytes
    large: LargeBody | None = None

    @property
    def size(self) -> int:
        """The octets of the body."""
        return len(self.body) if self.large is None else self.large.size


def to_text(mail: SendMail) -> MailText:
    """Return an email as it is written into the file; a file that it names is read.

    Raises:
        ValueError: it is empty, or no regular file.
        TypeError: its context is not JSON, or its signals have no name.
        OSError: its file cannot be read.
    """
    mail, file = in_memory(mail, MAX_SIZE)
    content = mail.content
    env: dict[str, Any] = {}
    if mail.cc:
        env["cc"] = mail.cc
    if mail.bcc:
        env["bcc"] = mail.bcc
    _add_options(env, mail)
    env["context"] = _checked_context(mail.context)
    for name in ("success_signal", "failure_signal"):
        signal = getattr(mail, name)
        if signal is not None:
            env[name] = _name_of(name, signal)
    made: dict[str, Any] = {}
    email = content.email if isinstance(content, ComposedContent) else None
    if file is not None:
        made, body = _COMPLETE_MADE, b""
    elif isinstance(email, TextEmail) and not email.fields:
        body = _add_email(env, made, email)
    else:
        body = _add_complete(made, _complete_content(content))
    # One object, written in three parts: the middle one is what makes two emails the same. By hand
    # where that is easy, as it is done for each email.
    to = ",".join(map(_quoted, mail.recipients))
    rest = _PLAIN if env == _NO_CONTEXT else _to_json(env)[1:-1]
    named = f'"from":{_quoted(mail.sender)},"to":[{to}],{rest}'
    try:
        digest = hashlib.blake2b(named.encode(), digest_size=16)
    except UnicodeEncodeError:
        raise ValueError("context: has a lone surrogate, and so is no Unicode text") from None
    kind = _COMPLETE_ONLY if made == _COMPLETE_MADE else _to_json(made)[1:-1]
    text = f'{{"id":{_quoted(mail.id)},{named},{kind}}}'
    is_complete = made["kind"] == _COMPLETE
    if file is not None:
        large = LargeBody(file.size, file.read, digest, is_complete=True, is_whole=False)
        return MailText(mail, text, b"", b"", large)
    if len(body) > MAX_SIZE:
        return MailText(mail, text, b"", b"", _large(body, digest, made))
    digest.update(undated(body) if is_complete else body)
    return MailText(mail, text, body, digest.digest())


def _large(body: bytes, digest: "hashlib.blake2b", made: dict[str, Any]) -> LargeBody:
    # What a server gets of it depends on more than its octets, and is made in memory; only a
    # message that goes out as it stands can be read while it is sent.
    return LargeBody(
        len(body),
        lambda at, most: body[at : at + most],
        digest,
        is_complete=made["kind"] == _COMPLETE,
        is_whole=made != _COMPLETE_MADE,
    )


def with_file(mail: SendMail, file: "os.PathLike[str]") -> SendMail:
    """Return an email whose complete message is read from a file while it is sent."""
    copy = copy_of(mail)
    _set(copy, "message", file)
    _set(copy, "content", None)
    _set(copy, "_parts", None)
    return copy


def is_whole(env: str, body: bytes, digest: bytes) -> bool:
    """Whether an email is as it was put: SQLite does not see all damage.

    Args:
        env: everything but the body, as JSON.
        body: the body.
        digest: what `to_text` returned.
    """
    try:
        made: dict[str, Any] = json.loads(env)
        is_complete = made["kind"] == _COMPLETE
        start = len(f'{{"id":{_to_json(made["id"])},')
        end = env.rindex(',"kind":' if is_complete else ',"date":')
    except (ValueError, TypeError, KeyError):
        return False
    now = hashlib.blake2b(env[start:end].encode("utf-8", "surrogatepass"), digest_size=16)
    now.update(undated(body) if is_complete else body)
    return now.digest() == digest


def mail_of(env: str, body: "bytes | os.PathLike[str]") -> SendMail:
    """Return the email of its text.

    Args:
        env: everything but the body, as JSON.
        body: the body; or the file of a complete message, from which it is sent.

    Raises:
        ValueError: the text is none of an email.
    """
    try:
        made: dict[str, Any] = json.loads(env)
        if not isinstance(body, bytes):
            return _in_file(made, body)
        return _complete(made, body) if made["kind"] == _COMPLETE else _composed(made, body)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        text = f"the file has an email that cannot be read: {type(error).__name__}: {error}"
        raise ValueError(text) from error


def _complete_content(content: Content | None) -> CompleteContent:
    """Return an email that is more than a text as a complete message, in its forms."""
    if isinstance(content, CompleteContent):
        return content
    assert isinstance(content, ComposedContent)
    data = content.render(eight_bit=True).data
    seven_bit = content.render(eight_bit=False).data
    assert data is not None
    differs = seven_bit if seven_bit != data else None
    return CompleteContent(data, differs, needs_smtputf8=content.needs_smtputf8)


def _checked_context(context: object) -> object:
    if context is None or type(context) in {str, int, bool}:
        return context
    _check_json(context, "context", set())
    return context


def _check_json(value: object, path: str, above: set[int]) -> None:
    """Raise if a value is not the same after it was JSON."""
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, float):
        if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN
            raise TypeError(f"{path}: {value!r} is not JSON, which an outbox needs")
        return
    number = id(value)
    if number in above:
        raise TypeError(f"{path}: contains itself, and so is not JSON, which an outbox needs")
    above.add(number)
    if isinstance(value, list | tuple):
        for index, item in enumerate(cast("list[object]", value)):
            _check_json(item, f"{path}[{index}]", above)
    elif isinstance(value, dict):
        for key, item in cast("dict[object, object]", value).items():
            if not isinstance(key, str):
                raise TypeError(f"{path}: its key {key!r:.60} is no str; an outbox needs JSON")
            _check_json(item, f"{path}[{key!r}]", above)
    else:
        raise TypeError(f"{path}: {type(value).__name__} is not JSON, which an outbox needs")
    above.discard(number)


def _name_of(field: str, signal: str | blinker.Signal) -> str:
    if isinstance(signal, str):
        return signal
    name = getattr(signal, "name", None)
    if not isinstance(name, str) or blinker.default_namespace.get(name) is not signal:
        raise TypeError(f"{field}: an outbox needs a signal that blinker.signal(name) returns")
    return name


def _add_options(env: dict[str, Any], mail: SendMail) -> None:
    if mail.dsn is not None:
        dsn = mail.dsn
        notify = dsn.notify
        originals = dsn.orcpt
        env["dsn"] = {
            "notify": notify if notify is None or isinstance(notify, str) else sorted(notify),
            "ret": dsn.ret,
            "envid": dsn.envid,
            "orcpt": dict(originals) if not isinstance(originals, bool) else originals,
        }
    if mail.deliver_by is not None:
        by = mail.deliver_by
        env["by"] = {"seconds": by.seconds, "on_expiry": by.on_expiry, "trace": by.trace}
    if mail.hold_for is not None:
        env["hold_for"] = mail.hold_for
    if mail.hold_until is not None:
        env["hold_until"] = mail.hold_until.isoformat()
    if mail.priority is not None:
        env["priority"] = mail.priority
    if mail.require_tls:
        env["require_tls"] = True
    if mail.dkim is not None:
        if mail.dkim:
            raise ValueError("dkim: a key is not kept in the file; give it to the Outbox")
        env["unsigned"] = True


def _options_of(made: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name in ("hold_for", "priority", "require_tls", "success_signal", "failure_signal"):
        if name in made:
            options[name] = made[name]
    if "unsigned" in made:
        options["dkim"] = ()
    if "dsn" in made:
        options["dsn"] = Dsn(**made["dsn"])
    if "by" in made:
        options["deliver_by"] = DeliverBy(**made["by"])
    if "hold_until" in made:
        options["hold_until"] = dt.datetime.fromisoformat(made["hold_until"])
    return options


def _add_email(env: dict[str, Any], made: dict[str, Any], email: TextEmail) -> bytes:
    env["subject"] = email.subject
    if email.from_name is not None:
        env["from_name"] = email.from_name
    if any(name for name, _ in email.to):
        env["to_name"] = [name for name, _ in email.to]
    if any(name for name, _ in email.cc):
        env["cc_name"] = [name for name, _ in email.cc]
    if email.headers:
        env["headers"] = email.headers
    made["date"] = email.date.isoformat()
    made["message_id"] = email.message_id
    body = email.body
    made["kind"] = _TEXT if isinstance(body, str) else _OCTETS
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes):
        return body
    lines = [line.encode() if isinstance(line, str) else line for line in body]
    return b"\r\n".join([line.removesuffix(b"\n").removesuffix(b"\r") for line in lines])


def _composed(made: dict[str, Any], body: bytes) -> SendMail:
    cc = tuple(made.get("cc", ()))
    if "cc_name" in made:
        cc = tuple(zip(made["cc_name"], cc, strict=True))
    names = made.get("to_name")
    mail = SendMail(
        sender=made["from"],
        recipients=tuple(made["to"]),
        cc=cc,
        bcc=tuple(made.get("bcc", ())),
        subject=made["subject"],
        body=body.decode() if made["kind"] == _TEXT else body,
        from_name=made.get("from_name"),
        to_name=names,
        headers=tuple((name, value) for name, value in made.get("headers", ())),
        context=made["context"],
        id=made["id"],
        **_options_of(made),
    )
    content = mail.content
    assert isinstance(content, ComposedContent)
    email = content.email
    assert isinstance(email, TextEmail)
    # As they were when it was put: a second copy is the same email to whoever gets both.
    email.date_back(dt.datetime.fromisoformat(made["date"]), made["message_id"])
    return mail


def _add_complete(made: dict[str, Any], content: CompleteContent) -> bytes:
    made["kind"] = _COMPLETE
    if content.needs_smtputf8:
        made["utf8"] = True
    if content.is_signed:
        made["signed"] = True
    if content.seven_bit is None:
        return content.data
    made["seven_bit_at"] = len(content.data)
    return content.data + content.seven_bit


def _in_file(made: dict[str, Any], file: "os.PathLike[str]") -> SendMail:
    problem = getattr(file, "problem", "")
    if problem or made["kind"] != _COMPLETE or "seven_bit_at" in made:
        raise ValueError(problem or f"the file of its body cannot be read: {file}")
    return SendMail(
        sender=made["from"],
        recipients=tuple(made["to"]),
        cc=(),
        bcc=tuple(made.get("bcc", ())),
        message=file,
        context=made["context"],
        id=made["id"],
        **_options_of(made),
    )


def _complete(made: dict[str, Any], body: bytes) -> SendMail:
    at = made.get("seven_bit_at")
    data, seven_bit = (body, None) if at is None else (body[:at], body[at:])
    mail = SendMail(
        sender=made["from"],
        recipients=(*made["to"], *made.get("cc", ())),
        bcc=tuple(made.get("bcc", ())),
        message=data,
        context=made["context"],
        id=made["id"],
        **_options_of(made),
    )
    content = CompleteContent(data, seven_bit, made.get("utf8", False), made.get("signed", False))
    _set(mail, "content", content)
    return mail
