"""Takes an email apart into header and content, and puts content into wrappers.

S/MIME (RFC 8551) and PGP/MIME (RFC 3156) sign and encrypt a MIME entity: the fields ``Content-…``
and the body. All other fields stay outside, readable.
"""

import re

from ..mail_data import encode_whole, scan
from ..parts.base64_lines import in_lines
from ..parts.text import MAX_LINE, to_quoted_printable

_END = b"\r\n\r\n"
_FIELDS = re.compile(rb"\r\n(?![ \t])")
_TEXT = re.compile(rb"^content-type:\s*text/", re.IGNORECASE | re.MULTILINE)
_7BIT = re.compile(
    rb"^content-transfer-encoding:[ \t]*7bit[ \t]*(?=\r?$)", re.IGNORECASE | re.MULTILINE
)
_SIGNATURES = (b"dkim-signature:", b"arc-seal:")


class UnprotectableError(ValueError):
    """An email cannot be signed or encrypted; the text says why."""


def apart(data: bytes) -> tuple[bytes, bytes]:
    """Return the header of an email without ``Content-…``, and its content with these fields.

    Args:
        data: a complete email, with any line ends.

    Raises:
        UnprotectableError: it is signed by DKIM already, which a wrapper would break.
    """
    data = encode_whole(data, transparent=False)
    if data.startswith(b"\r\n"):
        head, body = b"", data[2:]
    else:
        head, _, body = data.partition(_END)
        head = head.removesuffix(b"\r\n")
    outer: list[bytes] = []
    inner: list[bytes] = []
    for field in _FIELDS.split(head) if head else ():
        name = field.lower()
        if name.startswith(_SIGNATURES):
            raise UnprotectableError("it has a DKIM signature already, which would not be good")
        (inner if name.startswith(b"content-") else outer).append(field)
    if not any(field.lower().startswith(b"content-type") for field in inner):
        inner.insert(0, b"Content-Type: text/plain; charset=us-ascii")
    if not any(field.lower().startswith(b"mime-version") for field in outer):
        outer.append(b"MIME-Version: 1.0")
    outer.append(b"")
    return b"\r\n".join(outer), b"\r\n".join([*inner, b"", b""]) + body


def steady(part: bytes) -> bytes:
    """Return a text so that no server on the way changes it; other parts as they are.

    White space at the end of a line may get lost, and ``From`` at its start be quoted: RFC 3156 §3
    and §5 have such a text in quoted-printable.

    Args:
        part: one part with its header, whose line ends are all CRLF.
    """
    head, gap, body = part.partition(_END)
    if not gap or not _TEXT.search(head) or not _is_at_risk(body):
        return part
    head, count = _7BIT.subn(b"Content-Transfer-Encoding: quoted-printable", head)
    if count:
        body = to_quoted_printable(body)
    elif b"quoted-printable" not in head:
        return part
    # With a soft line break: no line may become longer.
    body = (b"\r\n" + body).replace(b"\r\nFrom ", b"\r\n=46rom =\r\n")[2:]
    return head + gap + body


def _is_at_risk(body: bytes) -> bool:
    if b" \r\n" in body or b"\t\r\n" in body:
        return True
    return b"\r\nFrom " in body or body.startswith(b"From ")


def check_signable(entity: bytes) -> None:
    """Check that content survives its way octet for octet (RFC 1847 §2.1).

    Raises:
        UnprotectableError: it is not in 7 bits, or has a line that is too long.
    """
    facts = scan(entity)
    if facts.eight_bit or facts.nul:
        raise UnprotectableError(
            "its message has 8-bit data, and only 7 bits can be signed; give an EmailMessage, or"
            " what it is made of"
        )
    if facts.longest_line > MAX_LINE:
        raise UnprotectableError(f"its message has a line of more than {MAX_LINE} octets")


def signed_by_smime(entity: bytes, signature: bytes, unique: str) -> bytes:
    """Return content with a detached signature (RFC 8551 §3.5.3).

    Args:
        entity: what was signed, octet for octet.
        signature: the signature, in DER; its digest is SHA-256.
        unique: letters and digits that the content does not contain.
    """
    part = (
        b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
        b'Content-Disposition: attachment; filename="smime.p7s"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + in_lines(signature)
    )
    return _multipart(
        "signed",
        'protocol="application/pkcs7-signature";\r\n micalg=sha-256',
        (entity, part),
        unique,
    )


def encrypted_by_smime(envelope: bytes) -> bytes:
    """Return content that is encrypted (RFC 8551 §3.3).

    Args:
        envelope: enveloped data, in DER.
    """
    return (
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n"
        b' name="smime.p7m"\r\n'
        b'Content-Disposition: attachment; filename="smime.p7m"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + in_lines(envelope)
    )


def signed_by_pgp(entity: bytes, signature: bytes, digest: str, unique: str) -> bytes:
    """Return content with a detached signature (RFC 3156 §5).

    Args:
        entity: what was signed, octet for octet.
        signature: the signature, in ASCII armor.
        digest: the name of its digest, such as ``"sha512"``.
        unique: letters and digits that the content does not contain.
    """
    part = (
        b'Content-Type: application/pgp-signature; name="signature.asc"\r\n'
        b"Content-Description: OpenPGP digital signature\r\n\r\n" + _in_lines_of_smtp(signature)
    )
    parameters = f'protocol="application/pgp-signature";\r\n micalg=pgp-{digest}'
    return _multipart("signed", parameters, (entity, part), unique)


def encrypted_by_pgp(message: bytes, unique: str) -> bytes:
    """Return content that is encrypted (RFC 3156 §4).

    Args:
        message: the encrypted message, in ASCII armor.
        unique: letters and digits that it does not contain.
    """
    version = b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
    part = (
        b'Content-Type: application/octet-stream; name="encrypted.asc"\r\n'
        b'Content-Disposition: inline; filename="encrypted.asc"\r\n\r\n'
        + _in_lines_of_smtp(message)
    )
    parameters = 'protocol="application/pgp-encrypted"'
    return _multipart("encrypted", parameters, (version, part), unique)


def _multipart(kind: str, parameters: str, parts: tuple[bytes, bytes], unique: str) -> bytes:
    boundary = f"=_4_{unique}"
    head = f'Content-Type: multipart/{kind}; {parameters};\r\n boundary="{boundary}"\r\n'
    between = b"\r\n--%b\r\n" % boundary.encode()
    pieces = (head.encode(), *[octets for part in parts for octets in (between, part)])
    return b"".join((*pieces, b"\r\n--%b--\r\n" % boundary.encode()))


def _in_lines_of_smtp(armor: bytes) -> bytes:
    return encode_whole(armor, transparent=False)
