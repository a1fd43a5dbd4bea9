"""The field DKIM-Signature (RFC 6376 §3.5)."""

import base64
import re
from collections.abc import Callable
from functools import lru_cache

from .digest import Digest
from .relaxed import relaxed_fields

RSA = "rsa-sha256"
ED25519 = "ed25519-sha256"
"""The algorithms that are in use (RFC 8301, RFC 8463)."""

_WIDTH = 76
_HOLE = "%"
_HOLES = re.compile(rb"%+")


def signature_field(
    digest: Digest,
    *,
    domain: str,
    selector: str,
    algorithm: str,
    signed_at: int,
    expires_at: int | None,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Return the field, folded, with its CRLF.

    Args:
        digest: what is signed.
        domain: who signs, with A-labels.
        selector: which of the domain's keys it is.
        algorithm: `RSA` or `ED25519`.
        signed_at: the time, in seconds since 1970.
        expires_at: the time from which the signature is not valid any more, or None.
        sign: signs octets with the private key: by RSASSA-PKCS1-v1_5 with SHA-256, or by Ed25519
            the SHA-256 hash of them (RFC 8463 §3).
    """
    times = (b"%d" % signed_at,) if expires_at is None else (b"%d" % signed_at, b"%d" % expires_at)
    lengths = tuple(map(len, times))
    forms = _forms(digest.names, domain, selector, algorithm, lengths)
    values = (*times, base64.b64encode(digest.body_hash))
    unsigned, text = forms[0] % values, forms[1] % values
    value = base64.b64encode(sign(digest.fields + text))
    first = _WIDTH - len(" b=")
    rest = [value[at : at + _WIDTH - 1] for at in range(first, len(value), _WIDTH - 1)]
    return b"\r\n ".join([unsigned + value[:first], *rest]) + b"\r\n"


@lru_cache(maxsize=256)  # a program's emails have the same few fields
def _forms(
    names: tuple[str, ...], domain: str, selector: str, algorithm: str, lengths: tuple[int, ...]
) -> tuple[bytes, bytes]:
    """Return the field without its signature: folded, and in relaxed form.

    Both have ``%b`` for the time, the time of expiry if there is one, and the body's hash.

    Args:
        names: the signed fields.
        domain: who signs.
        selector: which of the domain's keys it is.
        algorithm: `RSA` or `ED25519`.
        lengths: characters of each time.
    """
    tags = ["v=1", f"a={algorithm}", "c=relaxed/relaxed", f"d={domain}", f"s={selector}"]
    # Something as long in their place, which nothing else here has in it.
    tags += [f"{tag}={_HOLE * length}" for tag, length in zip("tx", lengths, strict=False)]
    lines = _folded([f"{tag};" for tag in tags], "DKIM-Signature: ")
    lines += _folded(_names(names), " h=", between="")
    lines += [f" bh={_HOLE};", " b="]
    unsigned = "\r\n".join(lines).encode()
    ((_, text),) = relaxed_fields(unsigned)
    return _HOLES.sub(b"%b", unsigned), _HOLES.sub(b"%b", text)


def _names(names: tuple[str, ...]) -> list[str]:
    """Return names with the colons between them, and a semicolon at the end."""
    return [*[f"{name}:" for name in names[:-1]], f"{names[-1]};"]


def _folded(words: list[str], start: str, between: str = " ") -> list[str]:
    """Return words in lines of 76 characters, if no word is longer."""
    lines: list[str] = []
    line = start + words[0]
    for word in words[1:]:
        if len(line) + len(between) + len(word) <= _WIDTH:
            line += between + word
        else:
            lines.append(line)
            line = f" {word}"
    lines.append(line)
    return lines
