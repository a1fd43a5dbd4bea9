"""Domains that sign, and two foreign verifiers: dkimpy, and mailauth of npm."""

import base64
import importlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pykka_smtp import Dkim

from .require import missing, require_module
from .server_root import fetched

DOMAIN = "b.test"
_MAILAUTH = Path(__file__).with_name("mailauth.js")


@cache
def rsa_key(bits: int = 2048) -> Any:
    require_module("cryptography")
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ed25519_key() -> Any:
    require_module("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519.Ed25519PrivateKey.generate()


def pem_of(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    octets: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return octets


@cache
def by_rsa() -> Dkim:
    return Dkim(DOMAIN, "rsa", key=rsa_key())


@cache
def by_ed25519() -> Dkim:
    return Dkim(DOMAIN, "ed", key=ed25519_key())


def records(*signers: Dkim) -> dict[str, str]:
    """Return the TXT records of signers, by their names."""
    return {signer.record_name: signer.record for signer in signers or (by_rsa(), by_ed25519())}


def by_dkimpy(data: bytes, dns: Mapping[str, str] | None = None) -> list[bool]:
    """Return dkimpy's verdict on each signature of an email."""
    require_module("dkim")
    require_module("nacl")
    dkim: Any = importlib.import_module("dkim")
    known = {f"{name}.".encode(): text.encode() for name, text in (dns or records()).items()}
    try:
        verifier = dkim.DKIM(data)
    except dkim.MessageFormatError:
        return [False]
    count = sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)

    def verdict(number: int) -> bool:
        try:
            return bool(verifier.verify(number, dnsfunc=lambda name, **_: known.get(name)))
        except dkim.DKIMException:
            return False

    return [verdict(number) for number in range(count)]


def by_mailauth(mails: Sequence[bytes], dns: Mapping[str, str] | None = None) -> list[list[str]]:
    """Return mailauth's verdicts, such as ``"pass"``, on each signature of each email."""
    programs = fetched("node")
    if not (programs / "node_modules" / "mailauth").is_dir():
        missing("mailauth is not there: run tests/servers/install.sh")
    asked = {
        "mails": [base64.b64encode(data).decode() for data in mails],
        "records": dict(dns or records()),
    }
    answer = subprocess.run(
        [str(programs / "bin/node"), str(_MAILAUTH)],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
        timeout=50,
        env={"NODE_PATH": str(programs / "node_modules")},
    )
    verdicts: list[list[str]] = json.loads(answer.stdout)
    return verdicts
