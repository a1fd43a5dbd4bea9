"""OpenPGP certificates and keys: read by `pysequoia`, whose errors have stack traces for texts."""

import datetime as dt
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ...smtp.mail.wrapped.wrapping import UnprotectableError
from ..signing.private_key import GivenKey
from .protection import key_of_address
from .subkeys import earlier, reads_until, signs_until

if TYPE_CHECKING:
    from pysequoia import Cert, Tsk

PgpCertificate: TypeAlias = "os.PathLike[str] | bytes | Cert"
"""A public key with its names: a path, octets with or without armor, or the library's object."""
PgpKey: TypeAlias = "os.PathLike[str] | bytes | Tsk"
"""A private key, in the same forms."""

_MOST_OCTETS = 1_048_576
_ADDRESS = re.compile(r"<([^<>]+)>\s*$")


@dataclass(frozen=True, slots=True, repr=False)
class PgpPerson:
    """A certificate, with what is asked of it.

    Attributes:
        certificate: the library's object.
        addresses: those that it is for, as `key_of_address` has them; none if it has none.
        ends: until when it is valid for what it is needed, or None.
        reads_until: until when it has a key for encryption, or None.
    """

    certificate: Any
    addresses: tuple[str, ...]
    ends: dt.datetime | None
    reads_until: dt.datetime | None

    def check_time(self, whose: str) -> None:
        """Check that it is valid now.

        Args:
            whose: for the message.

        Raises:
            UnprotectableError: it is not.
        """
        _check_time(whose, self.ends)

    def check_reading(self, whose: str) -> None:
        """Check that it can be encrypted for now.

        Args:
            whose: for the message.

        Raises:
            UnprotectableError: its key for encryption has expired.
        """
        _check_time(f"{whose} for encryption", self.reads_until)


def _check_time(whose: str, ends: dt.datetime | None) -> None:
    if _is_over(ends):
        raise UnprotectableError(f"{whose} expired on {ends:%Y-%m-%d}")


def _is_over(ends: dt.datetime | None) -> bool:
    return ends is not None and dt.datetime.now(dt.UTC) > ends


def library_of_pgp() -> Any:
    """Import `pysequoia`.

    Raises:
        ImportError: the library is not installed, or too old.
    """
    try:
        import pysequoia

        pysequoia.Tsk.from_bytes  # noqa: B018 - older ones have none
    except (ImportError, AttributeError):
        raise ImportError(
            "PGP needs the pysequoia library, 0.1.35 or newer: pip install 'pykka-smtp[pgp]'"
        ) from None
    return pysequoia


def pgp_person(library: Any, what: str, hidden: GivenKey) -> PgpPerson:
    """Return the certificate that was given; of a file with several, the first.

    Args:
        library: what `library_of_pgp` has returned.
        what: the argument's name, for messages.
        hidden: the certificate, in any form; it may be a private key.

    Raises:
        TypeError: it has another type.
        ValueError: it is none, or was revoked, or can't be encrypted for.
        OSError: the file can't be read.
    """
    if isinstance(hidden.value, library.Cert):
        certificate = hidden.value
    else:
        octets = _octets(what, hidden, "a certificate")
        certificate = _certificate(library, octets)
        if certificate is None:
            raise ValueError(f"{what}: the certificate can't be read; it needs a public key")
    person = person_of(library, what, certificate)
    return replace(person, ends=earlier(person.ends, person.reads_until))


def person_of(library: Any, what: str, certificate: Any) -> PgpPerson:
    """Return a certificate with what is asked of it.

    Args:
        library: what `library_of_pgp` has returned.
        what: whose it is, for messages.
        certificate: the library's object.

    Raises:
        ValueError: it was revoked.
    """
    if certificate.is_revoked:
        raise ValueError(f"{what}: the certificate was revoked")
    addresses: list[str] = []
    for user_id in certificate.user_ids:
        text = str(user_id)
        found = _ADDRESS.search(text)
        address = found[1] if found else text
        if "@" in address:
            try:
                addresses.append(key_of_address(address))
            except ValueError:
                addresses.append(address.lower())
    names = tuple(dict.fromkeys(addresses))
    return PgpPerson(certificate, names, certificate.expiration, reads_until(library, certificate))


def can_be_encrypted_for(library: Any, person: PgpPerson) -> bool:
    """Whether a certificate has a key for encryption that is valid now."""
    if _is_over(person.reads_until):
        return False  # if there is no other, the library takes one that has expired
    try:
        library.encrypt(b"", recipients=[person.certificate])
    except Exception:
        return False
    return True


def signer_of(
    library: Any, hidden: GivenKey, password: GivenKey | None
) -> tuple[GivenKey, PgpPerson]:
    """Return what signs with a private key, and its certificate.

    Args:
        library: what `library_of_pgp` has returned.
        hidden: the key, in any form.
        password: decrypts it; None if it is in clear.

    Raises:
        TypeError: it has another type.
        ValueError: it is no private key, or the password is wrong.
        OSError: the file can't be read.
    """
    if isinstance(hidden.value, library.Tsk):
        key = hidden
    else:
        octets = _octets("key", hidden, "a private key")
        key = _private_key(library, octets)
        if key.value is None:
            raise ValueError("key: can't be read; it needs a private key of OpenPGP")
    signer, problem = _signer(key, password)
    if problem is not None:
        raise ValueError(f"key: {problem}")
    person = person_of(library, "key", cast("Any", key.value).extract_certificate())
    ends = signs_until(library, person.certificate, _who_signs(library, signer))
    return signer, replace(person, ends=earlier(person.ends, ends))


# No exception may leave these functions, nor become the context of another one: their frames hold
# the key, and the texts of these errors are stack traces.


def _certificate(library: Any, octets: GivenKey) -> Any:
    try:
        return library.Cert.split_bytes(octets.value)[0]
    except Exception:
        return None


def _private_key(library: Any, octets: GivenKey) -> GivenKey:
    try:
        return GivenKey(library.Tsk.from_bytes(octets.value))
    except Exception:
        return GivenKey(None)


def _signer(key: GivenKey, password: GivenKey | None) -> tuple[GivenKey, str | None]:
    tsk = cast("Any", key.value)
    secret = None if password is None else password.value
    try:
        return GivenKey(tsk.signer(secret)), None
    except Exception as error:
        text = str(error)
    if password is None:
        if "encrypted" in text or "password" in text:
            return key, "the private key is encrypted; give its password"
        return key, "needs a private key that may sign now"
    if "not encrypted" in text:
        return key, "the private key is not encrypted; leave out the password"
    return key, "the private key can't be decrypted; is the password right?"


def _who_signs(library: Any, signer: GivenKey) -> str:
    """Return the fingerprint of the key that signs; empty if it is not said."""
    try:
        signature = library.sign(signer.value, b"", mode=library.SignatureMode.DETACHED)
        return library.Sig.from_bytes(signature).issuer_fingerprint or ""
    except Exception:
        return ""


def _octets(what: str, hidden: GivenKey, needed: str) -> GivenKey:
    value = hidden.value
    if isinstance(value, bytes | bytearray):
        del value
        return GivenKey(bytes(cast("bytes", hidden.value)))
    if not isinstance(value, os.PathLike):
        kind = type(value).__name__
        del value
        raise TypeError(f"{what}: needs a path, bytes or {needed}, not {kind}")
    path = Path(cast("os.PathLike[str]", value))
    with path.open("rb") as file:
        return GivenKey(file.read(_MOST_OCTETS))
