"""`email.message` objects as mail data: one serialisation, by `BytesGenerator`.

An object is mutable, and may change before it is sent, so it is serialized when the `SendMail` is
made. It is never modified: the generator sets policies and boundaries in what it writes, so it
gets a copy of the object's tree (not of its text). Fields are written by `email_field`.

Both the 8-bit and the ASCII form are made at once, in the caller's thread. If the ASCII form were
made only when a server needs it, that would block all sends on the loop's thread, and the object
might have changed. It costs a second pass, and only if the text has 8-bit data.
"""

import base64
import copy
import io
from collections.abc import Sequence
from email.generator import BytesGenerator
from email.message import Message
from email.policy import Compat32
from typing import IO, Any, TypeAlias, TypeGuard, cast

from ..words.shown import words_of
from .content import CompleteContent
from .email_field import keep_field, write_field
from .mail_data import encode_whole
from .parts.text import to_quoted_printable

_MAX_DEPTH = 100  # parts within parts; Postfix's mime_nesting_limit
_MAX_PARTS = 10_000  # a part may be attached many times, at each level, so the number multiplies
_MAX_PARAMETERS = 16_384  # characters of a field that `email.message` parses in quadratic time
_BLIND = frozenset(("bcc", "resent-bcc"))
# These signatures cover the whole body, and fields by name, even absent ones.
_SIGNATURES = ("dkim-signature", "arc-seal")
_SENT_AS_IT_IS = frozenset(("", "7bit", "8bit", "binary"))  # RFC 2045 §6.2

_Email: TypeAlias = "Message[Any, Any]"


class _CannotWriteError(ValueError):
    """The object cannot be serialized; the text tells its author why."""


class _Policy(Compat32):
    """The policy of the copy: compat32 has no parsers that fail on invalid fields of others."""

    keeps = False  # whether a DKIM signature covers what is written


class _NotEncodableError(Exception):
    """The email has no form in ASCII."""


def content_of_email(message: _Email, *, date: str, message_id: str) -> CompleteContent:
    """Return the content of an email object as it is sent, without Bcc.

    Args:
        message: the object; its policy may be any.
        date: a field ``Date: …``, put in front if there is none.
        message_id: a field ``Message-ID: …``, put in front if there is none.

    Returns:
        Its octets, and an ASCII form of it if it has 8-bit text and is not signed.

    Raises:
        ValueError: it cannot be serialized; the text says what to do.
    """
    try:
        return _content_of(message, date, message_id)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"message: {_what_is_wrong(error)}") from error


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, _CannotWriteError):
        return str(error)
    if isinstance(error, UnicodeEncodeError):
        text = ascii(error.object[error.start : error.start + 1])
        return (
            f"its text has {text} and no charset; make the part by set_content(text) or"
            " MIMEText(text, 'plain', 'utf-8'), and parse emails by message_from_bytes()"
        )
    if isinstance(error, RecursionError):
        return "has parts within parts that are nested too deep"
    what = f"{type(error).__name__}: {words_of(error)}"
    return f"cannot be written ({what}); look what its as_bytes() says"


def _content_of(message: _Email, date: str, message_id: str) -> CompleteContent:
    tree = _Copy(message)
    # A signature may also cover the absence of a field, RFC 6376 §5.4.2.
    missing = (("date", date), ("message-id", message_id)) if not _is_signed(message) else ()
    front = "".join(f"{field}\r\n" for name, field in missing if name not in message).encode()
    data, has_utf8 = _flatten(tree.top, message.policy)
    data = front + data
    seven_bit = None
    if not data.isascii() and not tree.is_signed:
        seven_bit = _seven_bit(tree.top, message.policy)
    return CompleteContent(
        data,
        None if seven_bit is None else front + seven_bit,
        needs_smtputf8=has_utf8,
        is_signed=tree.is_signed,
    )


def _is_signed(message: _Email) -> bool:
    return any(name in message for name in _SIGNATURES)


class _Copy:
    """A checked copy of an object's tree: it has only messages, and a bounded number of them."""

    def __init__(self, message: _Email) -> None:
        self._parts = 0
        self._open: set[int] = set()
        self.is_signed = _is_signed(message)
        self.top = self._copied(message, "the message")
        headers = [item for item in _headers(self.top) if item[0].lower() not in _BLIND]
        _set_headers(self.top, headers)
        if not headers and not self.top._payload:  # type: ignore[attr-defined]
            raise _CannotWriteError("the email is empty; was the object filled?")

    def _copied(self, part: object, what: str) -> _Email:
        if not _is_message(part):
            raise _CannotWriteError(
                f"{what} is a {type(part).__name__}, not an object of the email package;"
                " attach MIMEText(...) or the like"
            )
        self._parts += 1
        if id(part) in self._open:
            raise _CannotWriteError("contains itself")
        if len(self._open) >= _MAX_DEPTH:
            raise _CannotWriteError(f"has parts within parts, more than {_MAX_DEPTH} deep")
        if self._parts > _MAX_PARTS:
            raise _CannotWriteError(f"has more than {_MAX_PARTS} parts")
        self._open.add(id(part))
        copied = copy.copy(part)
        copied.policy = _POLICY
        _set_headers(copied, _checked(_headers(copied)))
        _set_payload(copied, self._payload_of(copied))
        self._open.discard(id(part))
        if isinstance(copied._payload, list) and (  # type: ignore[attr-defined]
            copied.get_content_maintype() not in {"multipart", "message"}
        ):
            raise _CannotWriteError(
                f"has parts, and its Content-Type is {copied.get_content_type()}; build it by"
                " MIMEMultipart() or add_attachment()"
            )
        self.is_signed = self.is_signed or copied.get_content_type() == "multipart/signed"
        return copied

    def _payload_of(self, part: _Email) -> object:
        payload = cast("object", part._payload)  # type: ignore[attr-defined]
        if _is_message(payload):
            return [self._copied(payload, "part 1")]
        if isinstance(payload, list | tuple):
            parts = cast("Sequence[object]", payload)
            return [self._copied(sub, f"part {i}") for i, sub in enumerate(parts, 1)]
        if payload is not None and not isinstance(payload, str):
            raise _CannotWriteError(
                f"the text of a part is {type(payload).__name__}, not str; make it by"
                " MIMEApplication(data), or by set_content(data, maintype, subtype)"
            )
        return payload


def _is_message(value: object) -> TypeGuard[_Email]:
    return isinstance(value, Message)


_POLICY = _Policy(linesep="\r\n", cte_type="8bit", mangle_from_=False)


def _headers(part: _Email) -> list[tuple[str, Any]]:
    return part._headers  # type: ignore[attr-defined,no-any-return]


def _set_headers(part: _Email, headers: list[tuple[str, Any]]) -> None:
    part._headers = headers  # type: ignore[attr-defined]


def _set_payload(part: _Email, payload: object) -> None:
    part._payload = payload  # type: ignore[attr-defined]


def _checked(headers: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return a copy of the fields; raise if one is so long that parsing it would take too long."""
    for name, value in headers:
        is_read = name.lower() in {"content-type", "content-disposition"}
        # A Header of `email.header` has no length.
        if is_read and len(str(value)) > _MAX_PARAMETERS:
            raise _CannotWriteError(f"header {name}: has more than {_MAX_PARAMETERS} characters")
    return list(headers)


class _Generator(BytesGenerator):
    """A `BytesGenerator` that leaves each field to `email_field`."""

    fields: "_Fields"

    def clone(self, fp: Any) -> "_Generator":
        cloned = super().clone(fp)
        cloned.fields = self.fields
        return cloned

    def _write(self, msg: _Email) -> None:
        given = cast("Any", self.policy)
        # Everything within a signed message is signed as well, such as a forwarded email.
        if _is_signed(msg):
            self.policy = given.clone(keeps=True)
        try:
            super()._write(msg)  # type: ignore[misc]
        finally:
            self.policy = given

    def _write_headers(self, msg: _Email) -> None:
        policy = cast("_Policy", self.policy)
        out = cast("IO[bytes]", self._fp)  # type: ignore[attr-defined]
        for name, value in msg.raw_items():
            out.write(self.fields.write(name, value, policy) + b"\r\n")
        out.write(b"\r\n")


class _Fields:
    """Writes fields, and notes whether one has raw UTF-8."""

    def __init__(self, given: Any) -> None:
        self._given = given.clone(linesep="\r\n", cte_type="8bit")
        self.has_utf8 = False

    def write(self, name: str, value: object, policy: _Policy) -> bytes:
        try:
            # The generator sets this for parts within multipart/signed (RFC 1847 §2.1).
            if policy.max_line_length == 0:
                field = keep_field(name, value, self._given.clone(max_line_length=0))
            elif policy.keeps:
                field = keep_field(name, value, self._given)
            else:
                field = write_field(name, value)
        except ValueError as error:
            # UnicodeError is a ValueError, too: the library raises it if it cannot en- or decode.
            if isinstance(error, UnicodeError):
                raise _CannotWriteError(f"header {name}: {error}") from error
            raise _CannotWriteError(str(error)) from error
        self.has_utf8 = self.has_utf8 or (not field.isascii() and _is_utf8(field))
        return field


def _is_utf8(field: bytes) -> bool:
    try:
        field.decode()
    except UnicodeDecodeError:
        return False
    return True


def _flatten(tree: _Email, policy: Any) -> tuple[bytes, bool]:
    """Return the octets of a copy, and whether a field has raw UTF-8."""
    out = io.BytesIO()
    generator = _Generator(out, mangle_from_=False, policy=_POLICY)
    generator.fields = _Fields(policy)
    generator.flatten(tree, linesep="\r\n")
    return out.getvalue(), generator.fields.has_utf8


def _seven_bit(tree: _Email, policy: Any) -> bytes | None:
    """Return the email with its 8-bit text encoded, or None if it is not ASCII even then."""
    try:
        if not _encode_parts(tree):
            return None
    except _NotEncodableError:
        return None
    if "mime-version" not in tree:  # without it, no reader decodes (RFC 2045 §4)
        tree["MIME-Version"] = "1.0"
    data, _ = _flatten(tree, policy)
    return data if data.isascii() else None


def _encode_parts(part: _Email) -> bool:
    """Encode parts that are not ASCII; return whether anything changed.

    The octets are encoded without decoding them by a charset, which may be unknown or wrong.
    """
    payload = cast("object", part._payload)  # type: ignore[attr-defined]
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    if isinstance(payload, list):
        changed = [_encode_parts(sub) for sub in cast("list[_Email]", payload)]
        if any(changed) and encoding in {"8bit", "binary"}:
            _set_encoding(part, "7bit")
        return any(changed)
    if not isinstance(payload, str) or payload.isascii():
        return False
    main = part.get_content_maintype()
    if encoding not in _SENT_AS_IT_IS or main in {"multipart", "message"}:
        raise _NotEncodableError
    octets = payload.encode("ascii", "surrogateescape")
    text = encode_whole(octets, transparent=False)
    if not octets.endswith((b"\r", b"\n")):
        text = text.removesuffix(b"\r\n")
    if main == "text":
        _set_encoding(part, "quoted-printable")
        _set_payload(part, to_quoted_printable(text).decode())
    else:
        _set_encoding(part, "base64")
        _set_payload(part, base64.encodebytes(text).decode())
    return True


def _set_encoding(part: _Email, encoding: str) -> None:
    name = "Content-Transfer-Encoding"
    if name in part:
        part.replace_header(name, encoding)
    else:
        part[name] = encoding
