"""`Pgp`: signs and encrypts by keys of OpenPGP (RFC 3156, RFC 9580)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from ...smtp.mail.wrapped.wrapping import (
    UnprotectableError,
    check_signable,
    encrypted_by_pgp,
    signed_by_pgp,
)
from ..signing.private_key import GivenKey
from .by_keys import ByKeys
from .openpgp import (
    PgpCertificate,
    PgpKey,
    PgpPerson,
    can_be_encrypted_for,
    library_of_pgp,
    pgp_person,
    signer_of,
)


class Pgp(ByKeys[PgpPerson]):
    """Signs the content of emails with a person's OpenPGP key, encrypts it for others', or both.

    An email is signed if there is a `key`, and encrypted if there are `recipients`; if both, the
    signature is within what is encrypted. Immutable; one object serves any number of emails.

    Needs the library pysequoia: ``pip install 'pykka-smtp[pgp]'``.

    Args:
        key: the private key of the sender: a path, octets with or without armor, or a `Tsk` of the
            library's. It is never shown.
        password: decrypts the key. Never shown either.
        recipients: the certificates (public keys) of all who may get an encrypted email, by their
            addresses. An email to anybody else is not sent.
        for_sender: whether the sender can read what is encrypted, if there is a `key`.

    Raises:
        ValueError: a certificate or the key is not fit for it: revoked, expired, or for another
            address.
        TypeError: a value has the wrong type.
        OSError: a file can't be read.
        ImportError: the library is not installed.
    """

    __slots__ = ("_library", "_signer")

    name = "pgp"
    what_signs = "key"

    def __init__(
        self,
        *,
        key: "PgpKey | None" = None,
        password: str | None = None,
        recipients: "Mapping[str, PgpCertificate] | None" = None,
        for_sender: bool = True,
    ) -> None:
        # First: a frame's local variables may be shown.
        hidden, key = None if key is None else GivenKey(key), None
        secret, password = None if password is None else GivenKey(password), None
        # Somebody may give a private key for a certificate.
        others, recipients = None if recipients is None else GivenKey(recipients), None
        self._library: Any = library_of_pgp()
        if hidden is None and others is None:
            raise ValueError("Pgp: needs a key to sign, or recipients to encrypt")
        if secret is not None and hidden is None:
            raise ValueError("password: there is no key that it decrypts")
        if secret is not None and not isinstance(secret.value, str):
            raise TypeError(f"password: needs a str, not {type(secret.value).__name__}")
        self._signer: GivenKey | None = None
        self._person = None
        if hidden is not None:
            self._signer, self._person = signer_of(self._library, hidden, secret)
            self._person.check_time("key: it")
        self._set_readers(others, for_sender=for_sender, what="for_sender")

    @property
    def signs(self) -> bool:
        """Whether it signs."""
        return self._signer is not None

    def check(self, readers: Iterable[str]) -> None:
        """Check that an email for these recipients can be signed and encrypted now."""
        super().check(readers)
        if self._person is not None and self._for_sender and self.encrypts:
            self._person.check_reading("the sender's key")

    def wrapped(self, entity: bytes, readers: Sequence[str], unique: str) -> bytes:
        """Return content, signed and encrypted."""
        signer: Any = None if self._signer is None else self._signer.value
        if signer is not None:
            check_signable(entity)
        if not self.encrypts:
            signature, digest = _signature(self._library, GivenKey(signer), entity)
            if digest is None:
                raise UnprotectableError("the key can't sign it now; has it expired?")
            return signed_by_pgp(entity, signature, digest, unique)
        found = self._all_readers(readers)
        # A certificate may stand for several addresses.
        certificates = {person.certificate.fingerprint: person.certificate for person in found}
        message = _message(self._library, GivenKey(signer), entity, list(certificates.values()))
        if message is None:
            raise UnprotectableError("a key can't be used for it now; has one expired?")
        return encrypted_by_pgp(message, unique)

    def _person_of(self, what: str, given: GivenKey) -> PgpPerson:
        return pgp_person(self._library, what, given)

    def _check_can_read(self, what: str, person: PgpPerson) -> None:
        if not can_be_encrypted_for(self._library, person):
            raise ValueError(f"{what}: the certificate has no key for encryption that is valid now")


# The texts of the library's errors are stack traces, so none leaves these functions.


def _signature(library: Any, signer: GivenKey, entity: bytes) -> tuple[bytes, str | None]:
    """Return a detached signature in armor, and the name of its digest; None if there is none."""
    try:
        signature = library.sign(signer.value, entity, mode=library.SignatureMode.DETACHED)
        digest = library.Sig.from_bytes(signature).hash_algorithm
    except Exception:
        return b"", None
    # The name of an object such as HashAlgorithm.SHA512.
    return signature, str(digest).rpartition(".")[2].lower()


def _message(
    library: Any, signer: GivenKey, entity: bytes, certificates: list[Any]
) -> bytes | None:
    """Return an encrypted message in armor, signed if there is a signer; None if it can't be."""
    try:
        message = library.encrypt(entity, recipients=certificates, signer=signer.value)
    except Exception:
        return None
    return cast("bytes", message)
