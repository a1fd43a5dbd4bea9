"""People with certificates and OpenPGP keys, and two foreign programs that read their mail."""

import datetime as dt
import importlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .require import require, require_module

A, B, C, D = "a@b.test", "bea@d.test", "cid@d.test", "dan@e.test"
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Person:
    """A person with a certificate.

    Attributes:
        key: the private key.
        certificate: the certificate.
    """

    key: Any
    certificate: Any

    @property
    def pem(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding

        octets: bytes = self.certificate.public_bytes(Encoding.PEM)
        return octets

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)


def key_pem(key: Any, password: bytes | None = None) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    form = NoEncryption() if password is None else BestAvailableEncryption(password)
    octets: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, form)
    return octets


@cache
def rsa_key(name: str, bits: int = 2048) -> Any:
    require_module("cryptography")
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key() -> Any:
    require_module("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def issued(
    address: str | None,
    key: Any = None,
    *,
    by: Person | None = None,
    begins: dt.timedelta = -DAY,
    ends: dt.timedelta = DAY,
    more: Sequence[tuple[Any, bool]] = (),
    in_subject: bool = False,
) -> Person:
    """Return a person with a new certificate, self-signed unless somebody has issued it."""
    require_module("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    key = key or rsa_key(address or "nobody")
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, address or "nobody")]
    if in_subject and address:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, address))
    name, now = x509.Name(attributes), dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).public_key(key.public_key())
    builder = builder.issuer_name(name if by is None else by.certificate.subject)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + begins).not_valid_after(now + ends)
    if address and not in_subject:
        names = x509.SubjectAlternativeName([x509.RFC822Name(address)])
        builder = builder.add_extension(names, critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    return Person(key, builder.sign(key if by is None else by.key, hashes.SHA256()))


@cache
def person(address: str) -> Person:
    return issued(address)


def openssl(*arguments: str, data: bytes) -> tuple[int, bytes]:
    """Return how openssl ended, and what it wrote."""
    done = subprocess.run(
        [require("openssl"), *arguments], input=data, capture_output=True, check=False, timeout=50
    )
    return done.returncode, done.stdout


def decrypted_by_openssl(data: bytes, reader: Person) -> bytes | None:
    """Return what a person reads of an encrypted email; None if it is nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reader.pem")
        path.write_bytes(reader.key_pem + reader.pem)
        code, text = openssl("cms", "-decrypt", "-recip", str(path), data=data)
    return None if code else text


def verified_by_openssl(data: bytes, *roots: Person) -> bytes | None:
    """Return the content of a signed email; None if the signature is not good."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "roots.pem")
        path.write_bytes(b"".join([root.pem for root in roots]))
        arguments = ("cms", "-verify", "-CAfile", str(path), "-purpose", "any")
        code, text = openssl(*arguments, data=data)
    return None if code else text


def readers_by_openssl(data: bytes) -> int:
    """Return for how many an email is encrypted."""
    return openssl("cms", "-cmsout", "-print", "-noout", data=data)[1].count(b"issuerAndSerialNum")


@contextmanager
def gpg_home(*keys: bytes) -> Iterator[Path]:
    """Yield a folder of gpg with these keys, whose agent ends with it."""
    program = require("gpg")
    # In /tmp: the path of the agent's socket must be short.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="gpg") as folder:
        home = Path(folder)
        environment = {**os.environ, "GNUPGHOME": folder}
        try:
            for key in keys:
                subprocess.run(
                    [program, "--batch", "--quiet", "--import"],
                    input=key,
                    env=environment,
                    check=True,
                    capture_output=True,
                    timeout=50,
                )
            yield home
        finally:
            subprocess.run(
                [require("gpgconf"), "--kill", "all"], env=environment, check=False, timeout=50
            )


def gpg(home: Path, *arguments: str, data: bytes = b"") -> tuple[bytes, str]:
    """Return what gpg wrote, and its status lines."""
    done = subprocess.run(
        [require("gpg"), "--batch", "--trust-model", "always", "--status-fd", "2", *arguments],
        input=data,
        capture_output=True,
        env={**os.environ, "GNUPGHOME": str(home)},
        check=False,
        timeout=50,
    )
    return done.stdout, done.stderr.decode("utf-8", "replace")


@cache
def pgp_key(address: str) -> Any:
    """Return a private key of a person, as pysequoia has it: one of gpg, and what gpg can read."""
    require_module("pysequoia")
    library: Any = importlib.import_module("pysequoia")
    return library.Tsk.from_bytes(made_by_gpg(address)[0])


def made_by_gpg(
    address: str, password: str = "", *kind: str, lasts: str = "1d"
) -> tuple[bytes, bytes]:
    """Return a new private key in armor, and its certificate."""
    with gpg_home() as home:
        arguments = ("--pinentry-mode", "loopback", "--passphrase", password)
        name, kinds = f"Somebody <{address}>", kind or ("future-default", "default")
        gpg(home, *arguments, "--quick-gen-key", name, *kinds, lasts)
        secret, _ = gpg(home, *arguments, "--armor", "--export-secret-key")
        public, _ = gpg(home, "--export")
    return secret, public


def with_subkeys(address: str, signs: str, *encrypt: str) -> tuple[bytes, bytes]:
    """Return a private key in armor without an end, and its certificate.

    Args:
        address: whose it is.
        signs: how long its key to sign lasts, such as ``"1d"``.
        encrypt: the same of its keys for encryption.
    """
    with gpg_home() as home:
        arguments = ("--pinentry-mode", "loopback", "--passphrase", "")
        gpg(home, *arguments, "--quick-gen-key", f"<{address}>", "ed25519", "cert", "never")
        listed, _ = gpg(home, "--list-keys", "--with-colons")
        fingerprint = next(
            line.split(":")[9] for line in listed.decode().splitlines() if line.startswith("fpr")
        )
        for kind in (("ed25519", "sign", signs), *[("cv25519", "encr", each) for each in encrypt]):
            gpg(home, *arguments, "--quick-add-key", fingerprint, *kind)
        secret, _ = gpg(home, *arguments, "--armor", "--export-secret-key")
        public, _ = gpg(home, "--export")
    return secret, public


def pgp_certificate(address: str) -> Any:
    return pgp_key(address).extract_certificate()


def secret_of(address: str) -> bytes:
    """Return a private key in armor."""
    return str(pgp_key(address)).encode()


_BOUNDARY = re.compile(rb'boundary="([^"]+)"')


def parts_of(content: bytes) -> list[bytes]:
    """Return the parts of a multipart as they are: octet for octet what a signature covers."""
    found = _BOUNDARY.search(content)
    assert found is not None
    _, *parts, end = content.split(b"\r\n--" + found[1])
    assert end.startswith(b"--\r\n")
    return [part.removeprefix(b"\r\n") for part in parts]


def verified_by_gpg(content: bytes, home: Path) -> bool:
    """Whether gpg finds the signature of a PGP/MIME email good."""
    signed, signature = parts_of(content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "signature.asc")
        path.write_bytes(signature.partition(b"\r\n\r\n")[2])
        _, status = gpg(home, "--verify", str(path), "-", data=signed)
    return "[GNUPG:] GOODSIG" in status


def decrypted_by_gpg(content: bytes, home: Path) -> tuple[bytes, str]:
    """Return what gpg reads of an encrypted PGP/MIME email, and its status lines."""
    version, message = parts_of(content)
    assert version == b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
    return gpg(home, "--decrypt", data=message.partition(b"\r\n\r\n")[2])
