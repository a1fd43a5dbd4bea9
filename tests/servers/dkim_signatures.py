"""DKIM signatures, made and verified by dkimpy with a key of the tests' own."""

import base64
import importlib
from functools import cache
from typing import Any

import pytest

from .parsed import MAILS
from .require import require_module

FORMS = (b"simple", b"relaxed")
"""How a signature is made to bear changes (RFC 6376 §3.4)."""
signable = pytest.mark.parametrize(
    ("path", "form"),
    [
        pytest.param(path, form, id=f"{path.stem}-{form.decode()}")
        for path in MAILS
        for form in FORMS
        # The generator ends what was cut off, and the parser drops white space before a value.
        if path.name != "no-multipart-end.eml"
        and (path.name, form) != ("odd-folding.eml", b"simple")
    ],
)
"""A test for each of the mails whose signature survives the standard library's parser."""


@cache
def key() -> tuple[bytes, bytes]:
    """Return a private key for dkimpy, and the record of its public one."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return pem, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def signature(data: bytes, form: bytes) -> bytes:
    require_module("dkim")
    dkim: Any = importlib.import_module("dkim")
    signed: bytes = dkim.sign(data, b"sel", b"b.test", key()[0], canonicalize=(form, form))
    return signed


def verifies(data: bytes) -> bool:
    dkim: Any = importlib.import_module("dkim")
    verdict: bool = dkim.verify(data, dnsfunc=lambda *_args, **_more: key()[1])
    return verdict
