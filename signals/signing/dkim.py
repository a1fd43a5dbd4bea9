"""`Dkim`: a domain that signs emails, with its key (RFC 6376)."""

import logging
import os
import re
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

from ...smtp.mail.content import CompleteContent, Content
from ...smtp.mail.dkim.digest import Digest, UnsignableError, digest_of, in_lines
from ...smtp.mail.dkim.record import KeyRecord, record_name, record_text
from ...smtp.mail.dkim.signature import RSA, signature_field
from ...smtp.mail.domain import domain_to_ascii
from ...smtp.mail.mail_data import MailFacts
from ...smtp.words.plain import plain_int, plain_str
from ...smtp.words.shown import shown
from ..dispatcher import log_safely
from .private_key import GivenKey, private_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Key: TypeAlias = "os.PathLike[str] | bytes | RSAPrivateKey | Ed25519PrivateKey"

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MOST_SECONDS = 366 * 86_400
_MOST = 10
"""Signatures of one email: each takes time, and receivers look at a few only."""


class Dkim:
    """Signs emails for a domain. Immutable; one object can sign any number of emails.

    Needs the library cryptography: ``pip install 'pykka-smtp[dkim]'``.

    Args:
        domain: who signs: the domain of From, or one above it, or else DMARC does not count it.
        selector: which of the domain's keys it is, such as ``"2026"``. The public key is in the DNS
            under ``<selector>._domainkey.<domain>``.
        key: the private key, RSA with 2048 bits or more, or Ed25519: a path, PEM bytes, or a key
            object of the library's. A file is read at once. It is never shown.
        expires_after: seconds after which a signature is not valid any more. Default: never.

    Raises:
        ValueError: a value is invalid, or the key is too short.
        TypeError: a value has the wrong type.
        OSError: the file can't be read.
        ImportError: the library is not installed.
    """

    __slots__ = ("_domain", "_expires_after", "_key", "_selector")

    def __init__(
        self, domain: str, selector: str, *, key: "Key", expires_after: int | None = None
    ) -> None:
        hidden, key = GivenKey(key), b""  # first: a frame's local variables may be shown
        self._domain = _checked_domain(domain)
        self._selector = _checked_selector(selector)
        if expires_after is not None:
            expires_after = plain_int("expires_after", expires_after, 1, _MOST_SECONDS)
        self._expires_after = expires_after
        self._key = private_key(hidden)

    @property
    def domain(self) -> str:
        """The domain, with A-labels."""
        return self._domain

    @property
    def selector(self) -> str:
        """Which of the domain's keys it is."""
        return self._selector

    @property
    def algorithm(self) -> str:
        """``"rsa-sha256"`` or ``"ed25519-sha256"``."""
        return self._key.algorithm

    @property
    def record_name(self) -> str:
        """The name of the TXT record with the public key."""
        return record_name(self._domain, self._selector)

    @property
    def record(self) -> str:
        """The text of this record."""
        return record_text(self._key.public)

    @property
    def public_key(self) -> KeyRecord:
        """The public key."""
        return self._key.public

    def field(self, digest: Digest, now: int) -> bytes:
        """Return the field DKIM-Signature of an email, with its CRLF.

        Args:
            digest: what is signed.
            now: the time, in seconds since 1970.
        """
        return signature_field(
            digest,
            domain=self._domain,
            selector=self._selector,
            algorithm=self._key.algorithm,
            signed_at=now,
            expires_at=None if self._expires_after is None else now + self._expires_after,
            sign=self._key.sign,
        )

    def __repr__(self) -> str:
        if not hasattr(self, "_key"):  # `__init__` raised
            return "<Dkim>"
        return f"Dkim({self._domain!r}, {self._selector!r}, key=***)"

    def __copy__(self) -> "Dkim":
        return self

    def __deepcopy__(self, memo: object) -> "Dkim":
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Dkim is never pickled, because of its key; give it to the Mailer")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self.__getstate__()


_DOMAIN = re.compile(rb"@([A-Za-z0-9.-]{1,255})>?$")
_MOST_WARNED = 1000
_warned: set[str] = set()

Signers = tuple[Dkim, ...]
"""Who signs an email, in the order of their signatures."""


def signers_of(value: object) -> Signers:
    """Return who signs: those with an RSA key first, for few receivers know Ed25519.

    Args:
        value: one `Dkim`, or several; none for no signature.

    Raises:
        TypeError: it is something else.
        ValueError: there are too many, or two with the same selector of one domain.
    """
    given = (value,) if isinstance(value, Dkim) else value
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"dkim: needs Dkim(domain, selector, key=...), not {type(given).__name__}")
    signers: list[Dkim] = []
    for signer in cast("Iterable[object]", given):
        if not isinstance(signer, Dkim):
            kind = type(signer).__name__
            raise TypeError(f"dkim: needs Dkim(domain, selector, key=...), not {kind}")
        if len(signers) == _MOST:
            raise ValueError(f"dkim: more than {_MOST}")
        if any(signer.record_name == other.record_name for other in signers):
            raise ValueError(f"dkim: {signer.record_name} is there twice")
        signers.append(signer)
    return tuple(sorted(signers, key=lambda signer: signer.algorithm != RSA))


def fields_by(signers: Sequence[Dkim], digest: Digest) -> bytes:
    """Return the signatures of an email: complete fields, to put in front of it.

    Takes up to a millisecond for each RSA key. Any thread may call it.

    Args:
        signers: who signs.
        digest: what is signed.

    Raises:
        UnsignableError: the library can't sign.
    """
    _warn_if_unaligned(signers, digest.author)
    now = int(time.time())
    fields, failed = _fields(signers, digest, now)
    if failed is not None:
        raise UnsignableError(f"the library has failed ({failed})")
    return fields


def _fields(signers: Sequence[Dkim], digest: Digest, now: int) -> tuple[bytes, str | None]:
    """Return the fields, or the name of an error: its text and frames could have a key."""
    try:
        return b"".join([signer.field(digest, now) for signer in signers]), None
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # also a `PanicException` of Rust, which is no `Exception`
        return b"", type(error).__name__


def signed(content: Content, signers: Sequence[Dkim]) -> CompleteContent:
    """Return an email with its signatures: in ASCII if there is such a form (RFC 6376 §5.3).

    Takes up to a millisecond for each RSA key, and longer for a large email. Any thread may call
    it.

    Args:
        content: an email in memory.
        signers: who signs.

    Raises:
        UnsignableError: it has no From, or its header is too long.
    """
    rendition = content.render(eight_bit=False)
    data, facts = rendition.data, rendition.facts
    assert data is not None
    if facts is None or not facts.is_plain:
        data = in_lines(data)
    fields = fields_by(signers, digest_of(data))
    if facts is not None:
        # So that the loop, which comes next, need not look at each line again.
        longest = max(facts.longest_line, *map(len, fields.split(b"\r\n")))
        size = len(fields) + facts.size
        facts = MailFacts(size, facts.eight_bit, facts.nul, longest, facts.is_plain)
    return CompleteContent(
        fields + data, needs_smtputf8=content.needs_smtputf8, is_signed=True, facts=facts
    )


def _warn_if_unaligned(signers: Sequence[Dkim], author: bytes) -> None:
    """Log once for each domain of authors that no signature is of it (RFC 7489 §3.1.1)."""
    domain = _unaligned(author, tuple([signer.domain for signer in signers]))
    if domain is None:
        return
    if domain in _warned or len(_warned) >= _MOST_WARNED:
        return
    _warned.add(domain)
    log_safely(
        logging.WARNING,
        "dkim: emails from %s are signed by %s, which DMARC does not count for them",
        domain,
        ", ".join([signer.domain for signer in signers]),
    )


@lru_cache(maxsize=256)  # a program has few authors
def _unaligned(author: bytes, signing: tuple[str, ...]) -> str | None:
    """Return the author's domain if none of those that sign is that, or above it, or below it."""
    found = _DOMAIN.search(author)
    if found is None:
        return None
    domain = found[1].decode().lower()
    # Whether one above both counts, only a list of public suffixes tells.
    if any(f".{domain}".endswith(f".{one}") or one.endswith(f".{domain}") for one in signing):
        return None
    return domain


def _checked_domain(domain: object) -> str:
    domain = plain_str("domain", domain)
    if domain.startswith("["):
        raise ValueError(f"domain: an address literal is none: {shown(domain)}")
    try:
        return domain_to_ascii(domain).lower()
    except ValueError as error:
        raise ValueError(f"domain: {error}: {shown(domain)}") from None


def _checked_selector(selector: object) -> str:
    selector = plain_str("selector", selector)
    if len(selector) > 63 or not _SELECTOR.fullmatch(selector):
        raise ValueError(
            f"selector: needs letters, digits and hyphens, such as 2026, not {shown(selector)}"
        )
    return selector
