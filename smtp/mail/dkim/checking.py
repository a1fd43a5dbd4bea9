"""Checks signatures, with a key that is given (RFC 6376 §6)."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from ..mail_data import encode_whole
from .record import KeyRecord
from .relaxed import RelaxedBody, relaxed_fields
from .signature import ED25519, RSA
from .tag_list import TagListError, tags_of

_END = b"\r\n\r\n"
_MOST_SIGNATURES = 20
"""Signatures of one email that are looked at: each costs a hash of the body."""
_VALUE_OF_B = re.compile(rb"((?:\A|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_KINDS = {RSA: "rsa", ED25519: "ed25519"}
_FORMS = ("simple", "relaxed")

Verify = Callable[[KeyRecord, bytes, bytes], bool]
"""Whether a signature is the key's: record, signature, and the octets that were signed."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A field DKIM-Signature.

    Attributes:
        tags: its values by their names.
        problem: why it can't be checked, in one line; or None.
    """

    tags: dict[str, str]
    problem: str | None
    _raw: bytes  # the field as it is, without its CRLF

    @property
    def domain(self) -> str:
        """Who has signed."""
        return self.tags.get("d", "")

    @property
    def selector(self) -> str:
        """Which of the domain's keys it is."""
        return self.tags.get("s", "")

    @property
    def algorithm(self) -> str:
        """Such as ``"rsa-sha256"``."""
        return self.tags.get("a", "")

    @property
    def expires_at(self) -> int | None:
        """The time from which it is not valid any more, in seconds since 1970, or None."""
        value = self.tags.get("x", "")
        return int(value) if value.isdecimal() and len(value) <= 12 else None


class Signed:
    """An email, to check its signatures.

    Args:
        data: the email, with any line ends.
    """

    def __init__(self, data: bytes) -> None:
        data = encode_whole(data, transparent=False)
        end = data.find(_END)
        header, self._body = (data, b"") if end < 0 else (data[: end + 2], data[end + 4 :])
        self._fields = _raw_fields(header)

    def signatures(self) -> list[Signature]:
        """Return its signatures, from the first to the last; 20 at most."""
        raw = [field for field in self._fields if _name_of(field) == b"dkim-signature"]
        return [_signature(field) for field in raw[:_MOST_SIGNATURES]]

    def flaw(self, signature: Signature, record: KeyRecord, verify: Verify) -> str | None:
        """Return what is wrong with a signature, in one line; None if it is good.

        Args:
            signature: one of `signatures`.
            record: the public key.
            verify: the operation with this key.
        """
        if signature.problem is not None:
            return signature.problem
        if not record.public_key:
            return "the key was revoked: the record has an empty p="
        if _KINDS[signature.algorithm] != record.kind:
            return f"it is {signature.algorithm}, but the key is of the kind {record.kind}"
        if not self.has_its_body(signature):
            return "the body was changed after it was signed"
        octets = self._signed_fields(signature, signature.tags.get("c", "simple").partition("/")[0])
        if not verify(record, _decoded(signature.tags["b"]), octets):
            return "the header was changed after it was signed, or the key is another"
        return None

    def has_its_body(self, signature: Signature) -> bool:
        """Whether the body is the one that was signed; for this, no key is needed.

        Args:
            signature: one of `signatures`, without a problem.
        """
        form = signature.tags.get("c", "simple").partition("/")[2] or "simple"
        return self._body_hash(form, signature.tags.get("l")) == _decoded(signature.tags["bh"])

    def _body_hash(self, form: str, length: str | None) -> bytes:
        if form == "relaxed" and length is None:
            body = RelaxedBody()
            body.feed(self._body)
            return body.digest()
        text = self._body.rstrip(b"\r\n") if form == "simple" else _relaxed_text(self._body)
        if form == "simple":
            text += b"\r\n"  # also of an empty body, §3.4.3
        return hashlib.sha256(text if length is None else text[: int(length)]).digest()

    def _signed_fields(self, signature: Signature, form: str) -> bytes:
        """Return the signed fields and the signature's own, as they were signed (§3.7)."""
        by_name: dict[bytes, list[bytes]] = {}
        for field in self._fields:
            by_name.setdefault(_name_of(field), []).append(field)
        chosen: list[bytes] = []
        for name in signature.tags["h"].split(":"):
            left = by_name.get(name.strip().lower().encode())
            if left:
                chosen.append(left.pop())
        field, _, value = signature._raw.partition(b":")
        own = b"%b:%b" % (field, _VALUE_OF_B.sub(rb"\1", value, count=1))
        if form == "relaxed":
            chosen = [relaxed_fields(field)[0][1] for field in chosen]
            own = relaxed_fields(own)[0][1]
        return b"\r\n".join([*chosen, own])


def _raw_fields(header: bytes) -> list[bytes]:
    """Return the fields as they are, without their last CRLF."""
    fields: list[bytes] = []
    for line in header.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields.append(b"%b\r\n%b" % (fields.pop(), line))
        elif b":" in line:
            fields.append(line)
    return fields


def _name_of(field: bytes) -> bytes:
    return field.partition(b":")[0].rstrip(b" \t").lower()


def _signature(raw: bytes) -> Signature:
    text = raw.partition(b":")[2].decode("utf-8", "replace")
    try:
        tags = tags_of(text)
    except TagListError as error:
        return Signature({}, str(error), raw)
    return Signature(tags, _problem(tags), raw)


def _problem(tags: dict[str, str]) -> str | None:
    """Return why a signature can't be valid, whatever it covers."""
    missing = [name for name in ("v", "a", "b", "bh", "d", "h", "s") if not tags.get(name)]
    if missing:
        return f"the signature has no {', '.join(f'{name}=' for name in missing)}"
    if tags["v"] != "1":
        return f"the signature has v={tags['v'][:10]!a}, not v=1"
    if tags["a"] not in _KINDS:
        return f"the algorithm {tags['a'][:30]!a} is not one of {', '.join(_KINDS)}"
    if not all(form in _FORMS for form in tags.get("c", "simple").split("/", 1)):
        return f"the form c={tags['c'][:30]!a} is unknown"
    if "from" not in [name.strip().lower() for name in tags["h"].split(":")]:
        return "From is not signed"
    user_domain = tags.get("i", "@" + tags["d"]).rpartition("@")[2].lower()
    if not f".{user_domain}".endswith(f".{tags['d'].lower()}"):
        return "i= is not of the domain d="
    if "l" in tags and not (tags["l"].isdecimal() and len(tags["l"]) <= 12):
        return "l= is not a number"
    for name in ("b", "bh"):
        try:
            _decoded(tags[name])
        except (binascii.Error, ValueError):
            return f"{name}= is not in base64"
    return None


def _decoded(value: str) -> bytes:
    return base64.b64decode("".join(value.split()), validate=True)


def _relaxed_text(body: bytes) -> bytes:
    lines = [re.sub(rb"[ \t]++", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join([line + b"\r\n" for line in lines])
