"""The record of a public key in the DNS: ``<selector>._domainkey.<domain>`` (RFC 6376 §3.6)."""

import base64
import binascii
from dataclasses import dataclass

from .tag_list import TagListError, tags_of

_MAX_STRING = 255
"""Octets of one string of a TXT record (RFC 1035 §3.3)."""
_KEYS = ("rsa", "ed25519")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A public key, as a domain publishes it.

    Attributes:
        kind: ``"rsa"`` or ``"ed25519"``.
        public_key: for RSA the DER form of a SubjectPublicKeyInfo, for Ed25519 the 32 octets of
            the key (RFC 8463 §4.2). Empty if the key was revoked.
        is_test: whether the domain tests DKIM, and receivers should ignore failures.
    """

    kind: str
    public_key: bytes
    is_test: bool = False


def record_name(domain: str, selector: str) -> str:
    """Return the name that the record has in the DNS."""
    return f"{selector}._domainkey.{domain}"


def record_text(record: KeyRecord) -> str:
    """Return the record's text: the value of a TXT record."""
    return f"v=DKIM1; k={record.kind}; p={base64.b64encode(record.public_key).decode()}"


def zone_line(domain: str, selector: str, record: KeyRecord) -> str:
    """Return the record as zone files have it, in strings of 255 octets at most.

    An RSA key does not fit into one string; the DNS joins them without a space (§3.6.2.2).
    """
    text = record_text(record)
    strings = [text[at : at + _MAX_STRING] for at in range(0, len(text), _MAX_STRING)]
    quoted = " ".join([f'"{string}"' for string in strings])
    if len(strings) > 1:
        quoted = f"( {quoted} )"
    return f"{record_name(domain, selector)}. IN TXT {quoted}"


def parse_record(text: str) -> KeyRecord:
    """Return the key in the text of a record.

    Args:
        text: the strings of the TXT record, joined.

    Raises:
        TagListError: it is no record of a key for email, or has none of a known kind.
    """
    tags = tags_of(text)
    if tags.get("v", "DKIM1") != "DKIM1":
        raise TagListError(f"the record has v={tags['v'][:20]}, not v=DKIM1")
    if "p" not in tags:
        raise TagListError("the record has no p=, the public key")
    kind = tags.get("k", "rsa")
    if kind not in _KEYS:
        raise TagListError(f"the record's key is {kind[:20]!a}, not {' or '.join(_KEYS)}")
    if "sha256" not in tags.get("h", "sha256").split(":"):
        raise TagListError("the record does not permit SHA-256 (h=)")
    if not {"*", "email"} & set(tags.get("s", "*").split(":")):
        raise TagListError("the record is not for email (s=)")
    try:
        key = base64.b64decode("".join(tags["p"].split()), validate=True)
    except (binascii.Error, ValueError):
        raise TagListError("the record's p= is not in base64") from None
    return KeyRecord(kind, key, "y" in tags.get("t", "").split(":"))
