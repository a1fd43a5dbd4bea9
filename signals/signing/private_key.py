"""Private keys: read by `cryptography`, and never shown.

Its frames hold the key, so none of its exceptions leaves this file.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

from ...smtp.mail.dkim.record import KeyRecord
from ...smtp.mail.dkim.signature import ED25519, RSA

LEAST_BITS, MOST_BITS = 2048, 8192
"""The lengths of RSA keys to sign with: RFC 8301 §3.2 has 1024 as the least that a receiver must
accept, and large ones refuse it; with more than 8192, a signature takes a twentieth of a second."""
_MOST_OCTETS = 65_536
_ENCRYPTED = "the private key is encrypted"
_BEGIN = b"-----BEGIN "


def cryptography(what: str = "DKIM", extra: str = "dkim") -> Any:
    """Import the library's modules that are used here, as attributes of one object.

    Args:
        what: what needs it, for the message.
        extra: the extra of ours that installs it.

    Raises:
        ImportError: the library is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
    except ImportError:
        raise ImportError(
            f"{what} needs the cryptography library: pip install 'pykka-smtp[{extra}]'"
        ) from None
    modules = type("cryptography", (), {})
    for module in (hashes, serialization, ed25519, padding, rsa):
        setattr(modules, module.__name__.rpartition(".")[2], module)
    modules.InvalidSignature = InvalidSignature  # type: ignore[attr-defined]
    return modules


class GivenKey:
    """A value that may be a key, or is one: it shows as ``***`` wherever it is printed."""

    __slots__ = ("value",)

    def __init__(self, value: object, /) -> None:
        self.value: object = value

    def __repr__(self) -> str:
        return "***"

    def __getstate__(self) -> NoReturn:
        raise TypeError("a key is never pickled: it would stand there in clear")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self.__getstate__()


class PrivateKey:
    """A key to sign with. Immutable; any thread may sign, several at once.

    Attributes:
        algorithm: `RSA` or `ED25519`.
        public: its public key.
        sign: returns the signature of octets.
    """

    __slots__ = ("algorithm", "public", "sign")

    def __init__(self, algorithm: str, public: KeyRecord, sign: Callable[[bytes], bytes]) -> None:
        self.algorithm: str = algorithm
        self.public: KeyRecord = public
        self.sign: Callable[[bytes], bytes] = sign

    def __repr__(self) -> str:
        return "***"


def private_key(given: GivenKey) -> PrivateKey:
    """Return the key to sign with.

    Args:
        given: a path, PEM bytes, or a key of the library's.

    Raises:
        TypeError: it is something else.
        ValueError: it is no private key, or one that is not fit to sign emails.
        OSError: the file can't be read.
        ImportError: the library is not installed.
    """
    library = cryptography()
    return _usable(library, key_object(library, given))


def key_object(
    library: Any,
    given: GivenKey,
    password: GivenKey | None = None,
    advice: str = "give it without a password",
) -> GivenKey:
    """Return a key as an object of the library's, of whatever kind it is.

    Args:
        library: what `cryptography` has returned.
        given: a path, PEM bytes, or already an object: that is not looked at.
        password: octets that decrypt the file, or None if it is in clear.
        advice: what to do if it is not.

    Raises:
        TypeError: it is a str.
        ValueError: it is no private key, or the password is wrong.
        OSError: the file can't be read.
    """
    value = given.value
    if isinstance(value, os.PathLike):
        del value
        given = _read(given)
    elif isinstance(value, str):
        del value
        raise TypeError("key: needs a path, PEM bytes or a key, not str; write Path(...)")
    elif isinstance(value, bytes | bytearray):
        del value
    else:
        del value
        return given
    key, problem = _loaded(library, given, password)
    if problem is _ENCRYPTED:
        raise ValueError(f"key: {problem}; {advice}")
    if problem is not None:
        raise ValueError(f"key: {problem}")
    return GivenKey(key)


def new_key(kind: str, bits: int) -> bytes:
    """Return a new private key in PEM form, which nothing protects: keep it in a safe file.

    Takes up to a second for a long RSA key.

    Args:
        kind: ``"rsa"`` or ``"ed25519"``.
        bits: the length of an RSA key.

    Raises:
        ImportError: the library is not installed.
    """
    library = cryptography()
    if kind == "rsa":
        key = library.rsa.generate_private_key(public_exponent=65537, key_size=bits)
    else:
        key = library.ed25519.Ed25519PrivateKey.generate()
    form = library.serialization
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return cast("bytes", pem)


def _read(given: GivenKey) -> GivenKey:
    path = Path(cast("os.PathLike[str]", given.value))
    with path.open("rb") as file:
        return GivenKey(file.read(_MOST_OCTETS))


def _loaded(library: Any, given: GivenKey, password: GivenKey | None) -> tuple[Any, str | None]:
    """Return the key that a PEM file has, or what is wrong with it.

    No exception may leave this function, nor become the context of another one: its frames hold
    the key.
    """
    octets = bytes(cast("bytes", given.value))
    if _BEGIN not in octets:
        return None, "needs a private key in PEM form, which has a line -----BEGIN PRIVATE KEY-----"
    if b"PRIVATE KEY" not in octets:
        return None, "needs the private key, not the public one or a certificate"
    secret = None if password is None else cast("bytes", password.value)
    try:
        return library.serialization.load_pem_private_key(octets, password=secret), None
    except TypeError:
        if password is None:
            return None, _ENCRYPTED
        return None, "the private key is not encrypted; leave out the password"
    except Exception as error:
        if password is not None:
            return None, "the private key can't be read; is the password right?"
        # The texts of these errors are not fixed, and could hold a part of the key.
        return None, f"the private key can't be read ({type(error).__name__})"


def _usable(library: Any, given: GivenKey) -> PrivateKey:
    key = given.value
    if isinstance(key, library.rsa.RSAPrivateKey):
        return _rsa(library, GivenKey(key))
    if isinstance(key, library.ed25519.Ed25519PrivateKey):
        return _ed25519(library, GivenKey(key))
    kind = type(key).__name__
    del key
    if kind in {"ECPrivateKey", "DSAPrivateKey", "Ed448PrivateKey"}:
        raise ValueError(f"key: DKIM knows RSA and Ed25519, not {kind.removesuffix('PrivateKey')}")
    raise TypeError(f"key: needs a path, PEM bytes or a private key, not {kind}")


def _rsa(library: Any, given: GivenKey) -> PrivateKey:
    key: Any = given.value
    if not LEAST_BITS <= key.key_size <= MOST_BITS:
        raise ValueError(
            f"key: RSA needs {LEAST_BITS} to {MOST_BITS} bits, not {key.key_size} (RFC 8301)"
        )
    scheme, hashed = library.padding.PKCS1v15(), library.hashes.SHA256()

    def sign(octets: bytes) -> bytes:
        return cast("bytes", key.sign(octets, scheme, hashed))

    public = key.public_key().public_bytes(
        library.serialization.Encoding.DER,
        library.serialization.PublicFormat.SubjectPublicKeyInfo,
    )
    return PrivateKey(RSA, KeyRecord("rsa", public), sign)


def _ed25519(library: Any, given: GivenKey) -> PrivateKey:
    key: Any = given.value

    def sign(octets: bytes) -> bytes:
        return cast("bytes", key.sign(hashlib.sha256(octets).digest()))

    public = key.public_key().public_bytes(
        library.serialization.Encoding.Raw, library.serialization.PublicFormat.Raw
    )
    return PrivateKey(ED25519, KeyRecord("ed25519", public), sign)


def verifies(record: KeyRecord, signature: bytes, octets: bytes) -> bool:
    """Whether a signature is that of a public key.

    Args:
        record: the public key.
        signature: the signature.
        octets: what was signed.

    Raises:
        ValueError: the public key can't be read.
        ImportError: the library is not installed.
    """
    library = cryptography()
    try:
        if record.kind == "ed25519":
            key = library.ed25519.Ed25519PublicKey.from_public_bytes(record.public_key)
        else:
            key = library.serialization.load_der_public_key(record.public_key)
    except Exception as error:
        raise ValueError(f"the public key can't be read ({type(error).__name__})") from None
    try:
        if record.kind == "ed25519":
            key.verify(signature, hashlib.sha256(octets).digest())
        elif isinstance(key, library.rsa.RSAPublicKey):
            key.verify(signature, octets, library.padding.PKCS1v15(), library.hashes.SHA256())
        else:
            return False
    except library.InvalidSignature:
        return False
    return True
