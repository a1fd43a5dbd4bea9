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
from .openpgp import (
    PgpCertificate,
    PgpKey,
    PgpPerson,
    can_be_encrypted_for,
    library_of_pgp,
    pgp_person,
    signer_of,
)
from .protection import (
    Protection,
    check_number,
    given_by_address,
    key_of_address,
    warn_once,
)


class Pgp(Protection):
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

    __slots__ = ("_for_sender", "_library", "_person", "_recipients", "_signer")

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
        self._person: PgpPerson | None = None
        if hidden is not None:
            self._signer, self._person = signer_of(self._library, hidden, secret)
            self._person.check_time("key: it")
        self._recipients: dict[str, PgpPerson] = {}
        if others is not None:
            self._recipients = self._checked_recipients(others)
        self._for_sender = for_sender and self._person is not None
        if self._for_sender and self.encrypts:
            self._check_can_read("for_sender", cast("PgpPerson", self._person))

    @property
    def signs(self) -> bool:
        """Whether it signs."""
        return self._signer is not None

    @property
    def encrypts(self) -> bool:
        """Whether it encrypts."""
        return bool(self._recipients)

    def check(self, readers: Iterable[str]) -> None:
        """Check that an email for these recipients can be signed and encrypted now."""
        if self._person is not None:
            self._person.check_time("the sender's key")
        if not self.encrypts:
            return
        for reader in readers:
            person = self._recipients.get(key_of_address(reader))
            if person is None:
                raise UnprotectableError(f"there is no certificate of {reader} to encrypt it for")
            person.check_time(f"the certificate of {reader}")

    def warn_of(self, sender: str) -> None:
        """Log once if the key is not that of a sender."""
        assert self._person is not None
        has = self._person.addresses
        if has and key_of_address(sender) not in has:
            warn_once(sender, has, "pgp")

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
        check_number(readers)
        found = [self._recipients[key_of_address(reader)] for reader in readers]
        if self._for_sender:
            found.append(cast("PgpPerson", self._person))
        # A certificate may stand for several addresses.
        certificates = {person.certificate.fingerprint: person.certificate for person in found}
        message = _message(self._library, GivenKey(signer), entity, list(certificates.values()))
        if message is None:
            raise UnprotectableError("a key can't be used for it now; has one expired?")
        return encrypted_by_pgp(message, unique)

    def _checked_recipients(self, recipients: GivenKey) -> dict[str, PgpPerson]:
        found: dict[str, PgpPerson] = {}
        for key, (address, given) in given_by_address("recipients", recipients).items():
            what = f"recipients[{address!r}]"
            person = pgp_person(self._library, what, given)
            if person.addresses and key not in person.addresses:
                raise ValueError(f"{what}: the certificate is for {', '.join(person.addresses)}")
            person.check_time(f"{what}: the certificate")
            self._check_can_read(what, person)
            found[key] = person
        return found

    def _check_can_read(self, what: str, person: PgpPerson) -> None:
        if not can_be_encrypted_for(self._library, person):
            raise ValueError(f"{what}: the certificate has no key for encryption that is valid now")

    def __repr__(self) -> str:
        if not hasattr(self, "_for_sender"):  # `__init__` raised
            return "<Pgp>"
        told: list[str] = []
        if self.signs:
            told.append("key=***")
        if self.encrypts:
            told.append(f"recipients=<{len(self._recipients)}>")
        return f"Pgp({', '.join(told)})"


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
