"""X.509 certificates of people: read and checked by `cryptography` (RFC 8550)."""

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ...smtp.mail.wrapped.wrapping import UnprotectableError
from ..signing.private_key import GivenKey, cryptography
from .protection import key_of_address

if TYPE_CHECKING:
    from cryptography import x509

Certificate: TypeAlias = "os.PathLike[str] | bytes | x509.Certificate"
"""A certificate: a path, octets in PEM or DER, or an object of the library's."""

_MOST_OCTETS = 1_048_576
_PEM = b"-----BEGIN CERTIFICATE-----"
_FOR_MAIL = ("1.3.6.1.5.5.7.3.4", "2.5.29.37.0")  # id-kp-emailProtection, or any purpose


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """A certificate, with what is asked of it.

    Attributes:
        x509: the library's object.
        addresses: those that it is for, as `key_of_address` has them; none if it has none.
        begins: from when it is valid.
        ends: until when.
    """

    x509: Any
    addresses: tuple[str, ...]
    begins: dt.datetime
    ends: dt.datetime

    def check_time(self, whose: str) -> None:
        """Check that it is valid now.

        Args:
            whose: for the message.

        Raises:
            UnprotectableError: it is not.
        """
        now = dt.datetime.now(dt.UTC)
        if now > self.ends:
            raise UnprotectableError(f"{whose} expired on {self.ends:%Y-%m-%d}")
        if now < self.begins:
            raise UnprotectableError(f"{whose} is valid from {self.begins:%Y-%m-%d} on only")


def library_of_smime() -> Any:
    """Import the modules of `cryptography` for S/MIME, as attributes of one object.

    Raises:
        ImportError: the library is not installed, or too old.
    """
    library = cryptography("S/MIME", "smime")
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.ciphers import algorithms
        from cryptography.hazmat.primitives.serialization import pkcs7

        pkcs7.PKCS7EnvelopeBuilder.set_content_encryption_algorithm  # noqa: B018
    except (ImportError, AttributeError):
        raise ImportError(
            "S/MIME needs the cryptography library, 45 or newer: pip install 'pykka-smtp[smime]'"
        ) from None
    library.x509, library.ec, library.algorithms, library.pkcs7 = x509, ec, algorithms, pkcs7
    return library


def persons(library: Any, what: str, given: GivenKey) -> tuple[Person, ...]:
    """Return the certificates that were given: at least one, that of the person first.

    Args:
        library: what `library_of_smime` has returned.
        what: the argument's name, for messages.
        given: a certificate, in any form; a PEM file may have several. With them, or instead, it
            may have a private key, so it is hidden.

    Raises:
        TypeError: it has another type.
        ValueError: it is no certificate.
        OSError: the file can't be read.
    """
    if isinstance(given.value, library.x509.Certificate):
        return (_person(library, given.value),)
    is_path = isinstance(given.value, os.PathLike)
    if is_path:
        with Path(cast("os.PathLike[str]", given.value)).open("rb") as file:
            octets = GivenKey(file.read(_MOST_OCTETS))
    elif isinstance(given.value, bytes | bytearray):
        octets = GivenKey(bytes(given.value))
    else:
        kind = type(given.value).__name__
        raise TypeError(f"{what}: needs a path, bytes or a certificate, not {kind}")
    found, problem = _loaded(library, octets)
    if problem is not None:
        raise ValueError(f"{what}: {problem}")
    return tuple([_person(library, each) for each in found])


def _loaded(library: Any, given: GivenKey) -> tuple[Sequence[Any], str | None]:
    """Return certificates, or what is wrong: no error shows octets that may be those of a key."""
    octets = cast("bytes", given.value)
    try:
        if _PEM in octets:
            return library.x509.load_pem_x509_certificates(octets), None
        if b"-----BEGIN " not in octets:
            return [library.x509.load_der_x509_certificate(octets)], None
    except Exception:  # the text of the library's error says nothing to people
        return (), "the certificate can't be read"
    return (), f"needs a certificate, which has a line {_PEM.decode()}"


def _person(library: Any, x509: Any) -> Person:
    found: list[str] = []
    names = _extension(library, x509, library.x509.SubjectAlternativeName)
    if names is not None:
        found += names.get_values_for_type(library.x509.RFC822Name)
    oid = library.x509.NameOID.EMAIL_ADDRESS
    found += [str(attribute.value) for attribute in x509.subject.get_attributes_for_oid(oid)]
    addresses = tuple(dict.fromkeys([_in_one_form(each) for each in found]))
    return Person(x509, addresses, x509.not_valid_before_utc, x509.not_valid_after_utc)


def _in_one_form(address: str) -> str:
    try:
        return key_of_address(address)
    except ValueError:
        return address.lower()  # equal to none that an email has


def check_purpose(library: Any, what: str, person: Person, usage: str) -> None:
    """Check that a certificate is for emails, and for what is done with it (RFC 8550 §4.4).

    Args:
        library: what `library_of_smime` has returned.
        what: whose it is, for the message.
        person: the certificate.
        usage: ``"digital_signature"`` or ``"key_encipherment"``.

    Raises:
        ValueError: it is not.
    """
    purposes = _extension(library, person.x509, library.x509.ExtendedKeyUsage)
    if purposes is not None and not any(each.dotted_string in _FOR_MAIL for each in purposes):
        raise ValueError(f"{what}: the certificate is not for emails")
    usages = _extension(library, person.x509, library.x509.KeyUsage)
    if usages is not None and not getattr(usages, usage):
        purpose = "signing" if usage == "digital_signature" else "encryption"
        raise ValueError(f"{what}: the certificate is not for {purpose}")


def _extension(library: Any, x509: Any, kind: Any) -> Any:
    try:
        return x509.extensions.get_extension_for_class(kind).value
    except (library.x509.ExtensionNotFound, ValueError):
        return None
