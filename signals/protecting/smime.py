"""`Smime`: signs and encrypts by certificates (RFC 8551)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ...smtp.mail.wrapped.wrapping import (
    check_signable,
    encrypted_by_smime,
    signed_by_smime,
)
from ..signing.private_key import LEAST_BITS, GivenKey, key_object
from .by_keys import ByKeys
from .certificates import Certificate, Person, check_purpose, library_of_smime, persons

if TYPE_CHECKING:
    import os

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SmimeKey: TypeAlias = "os.PathLike[str] | bytes | RSAPrivateKey | EllipticCurvePrivateKey"

_MOST_IN_CHAIN = 20


class Smime(ByKeys[Person]):
    """Signs the content of emails with a person's certificate, encrypts it for others', or both.

    An email is signed if there is a `key`, and encrypted if there are `recipients`; if both, it is
    signed first. Immutable; one object serves any number of emails.

    Needs the library cryptography: ``pip install 'pykka-smtp[smime]'``.

    Args:
        certificate: that of the sender: a path, octets in PEM or DER, or an object of the
            library's. Those that follow it in a PEM file belong to `chain`.
        key: its private key, RSA or EC: a path, PEM bytes, or an object. It is never shown.
        password: decrypts the key. Never shown either.
        chain: the certificates between that of the sender and a root, which go with a signature.
        recipients: the certificates of all who may get an encrypted email, by their addresses. An
            email to anybody else is not sent. They need RSA keys.
        for_sender: whether the sender can read what is encrypted, if there is a `certificate`.

    Raises:
        ValueError: a certificate or the key is not fit for it, they don't belong together, or
            a certificate has expired, or is for another address.
        TypeError: a value has the wrong type.
        OSError: a file can't be read.
        ImportError: the library is not installed.
    """

    __slots__ = ("_chain", "_key", "_library")

    name = "smime"
    what_signs = "certificate"

    def __init__(
        self,
        *,
        certificate: "Certificate | None" = None,
        key: "SmimeKey | None" = None,
        password: str | bytes | None = None,
        chain: "Certificate | Iterable[Certificate]" = (),
        recipients: "Mapping[str, Certificate] | None" = None,
        for_sender: bool = True,
    ) -> None:
        # First: a frame's local variables may be shown.
        hidden, key = None if key is None else GivenKey(key), None
        secret, password = None if password is None else GivenKey(password), None
        # These, too: a file with a certificate often has its private key as well.
        own, certificate = None if certificate is None else GivenKey(certificate), None
        links, chain = GivenKey(chain), ()
        others, recipients = None if recipients is None else GivenKey(recipients), None
        self._library: Any = library_of_smime()
        if own is None and hidden is not None:
            raise ValueError("key: needs certificate=, too")
        if secret is not None and hidden is None:
            raise ValueError("password: there is no key that it decrypts")
        if hidden is None and others is None:
            raise ValueError("Smime: needs certificate and key to sign, or recipients to encrypt")
        self._person = None
        self._chain: tuple[Any, ...] = ()
        if own is not None:
            self._person, *more = persons(self._library, "certificate", own)
            self._chain = tuple([each.x509 for each in more]) + self._chain_of(links)
        self._key: GivenKey | None = None
        if hidden is not None:
            advice = "give its password"
            key_in_clear = key_object(self._library, hidden, _octets_of(secret), advice)
            self._key = self._checked_key(key_in_clear)
        self._set_readers(others, for_sender=for_sender, what="certificate")

    @property
    def signs(self) -> bool:
        """Whether it signs."""
        return self._key is not None

    def wrapped(self, entity: bytes, readers: Sequence[str], unique: str) -> bytes:
        """Return content, signed and encrypted."""
        if self._key is not None:
            check_signable(entity)
            entity = signed_by_smime(entity, self._signature(entity), unique)
        if not self.encrypts:
            return entity
        found = self._all_readers(readers)
        library = self._library
        builder = library.pkcs7.PKCS7EnvelopeBuilder().set_data(entity)
        builder = builder.set_content_encryption_algorithm(library.algorithms.AES256)
        for x509 in dict.fromkeys([person.x509 for person in found]):
            builder = builder.add_recipient(x509)
        form = library.serialization.Encoding.DER
        return encrypted_by_smime(builder.encrypt(form, [library.pkcs7.PKCS7Options.Binary]))

    def _signature(self, entity: bytes) -> bytes:
        library, person, key = self._library, self._person, self._key
        assert person is not None
        assert key is not None
        options = library.pkcs7.PKCS7Options
        builder = library.pkcs7.PKCS7SignatureBuilder().set_data(entity)
        # In this order: the library's `add_signer` forgets certificates.
        builder = builder.add_signer(person.x509, key.value, library.hashes.SHA256())
        for x509 in self._chain:
            builder = builder.add_certificate(x509)
        form = library.serialization.Encoding.DER
        signature = builder.sign(form, [options.DetachedSignature, options.Binary])
        return cast("bytes", signature)

    def _chain_of(self, chain: GivenKey) -> tuple[Any, ...]:
        several, are_several = [chain], isinstance(chain.value, list | tuple)
        if are_several:
            several = [GivenKey(each) for each in cast("Sequence[object]", chain.value)]
        found = [p for each in several for p in persons(self._library, "chain", each)]
        if len(found) > _MOST_IN_CHAIN:
            raise ValueError(f"chain: more than {_MOST_IN_CHAIN}")
        return tuple([person.x509 for person in found])

    def _checked_key(self, hidden: GivenKey) -> GivenKey:
        library, person = self._library, self._person
        assert person is not None
        if not isinstance(
            hidden.value, library.rsa.RSAPrivateKey | library.ec.EllipticCurvePrivateKey
        ):
            kind = type(hidden.value).__name__
            if hasattr(hidden.value, "private_bytes"):
                raise ValueError(f"key: S/MIME takes RSA and EC here, not {kind}")
            raise TypeError(f"key: needs a path, PEM bytes or a private key, not {kind}")
        check_purpose(library, "certificate", person, "digital_signature")
        self._check_bits("certificate", person)
        if not _is_of(library, hidden, person):
            raise ValueError("key: is not the key of the certificate")
        person.check_time("certificate: it")
        return hidden

    def _person_of(self, what: str, given: GivenKey) -> Person:
        return persons(self._library, what, given)[0]

    def _check_can_read(self, what: str, person: Person) -> None:
        is_rsa = isinstance(person.x509.public_key(), self._library.rsa.RSAPublicKey)
        if not is_rsa:
            raise ValueError(f"{what}: only a certificate with an RSA key can be encrypted for")
        self._check_bits(what, person)
        check_purpose(self._library, what, person, "key_encipherment")

    def _check_bits(self, what: str, person: Person) -> None:
        public = person.x509.public_key()
        if isinstance(public, self._library.rsa.RSAPublicKey) and public.key_size < LEAST_BITS:
            raise ValueError(f"{what}: RSA needs {LEAST_BITS} bits, not {public.key_size}")


def _is_of(library: Any, hidden: GivenKey, person: Person) -> bool:
    form = library.serialization
    spki = form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo
    public: Any = cast("Any", hidden.value).public_key()
    return bool(public.public_bytes(*spki) == person.x509.public_key().public_bytes(*spki))


def _octets_of(secret: GivenKey | None) -> GivenKey | None:
    if secret is None:
        return None
    if isinstance(secret.value, str):
        # So that it takes any str: the error for a lone surrogate would have the password.
        return GivenKey(secret.value.encode("utf-8", "surrogatepass"))
    if isinstance(secret.value, bytes | bytearray):
        return secret
    raise TypeError(f"password: needs a str or bytes, not {type(secret.value).__name__}")
