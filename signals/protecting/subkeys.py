"""How long the keys of an OpenPGP certificate can be used: each has an end of its own (RFC 9580).

The library finds a key that is valid now to sign, and keeps it; and encrypts by one that has
expired if there is no other.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class _Key:
    """A key of a certificate.

    Attributes:
        fingerprint: in lower case.
        created: when it was made.
        binding: the latest signature that says what it is for, and until when; or None.
        is_revoked: whether there is a signature that revokes it.
    """

    fingerprint: str
    created: dt.datetime
    binding: Any = None
    is_revoked: bool = False

    @property
    def ends(self) -> dt.datetime | None:
        period = None if self.binding is None else self.binding.key_validity_period
        return None if period is None else self.created + period

    @property
    def encrypts(self) -> bool:
        flags = None if self.binding is None else self.binding.key_flags
        if self.is_revoked or flags is None:
            return not self.is_revoked  # old ones do not say it
        return bool(flags.transport_encryption or flags.storage_encryption)


def reads_until(library: Any, certificate: Any) -> dt.datetime | None:
    """Return the end of the last key for encryption; None if it has no end, or there is no key.

    Args:
        library: what `openpgp.library_of_pgp` has returned.
        certificate: the library's object.
    """
    keys = [key for key in _keys_of(library, certificate) if key.encrypts]
    ends = [key.ends for key in keys]
    return max((end for end in ends if end is not None), default=None) if all(ends) else None


def signs_until(library: Any, certificate: Any, fingerprint: str) -> dt.datetime | None:
    """Return the end of a key; None if it has none, or is not there.

    Args:
        library: what `openpgp.library_of_pgp` has returned.
        certificate: the library's object.
        fingerprint: which key it is.
    """
    for key in _keys_of(library, certificate):
        if key.fingerprint == fingerprint:
            return key.ends
    return None


def earlier(one: dt.datetime | None, other: dt.datetime | None) -> dt.datetime | None:
    """Return the earlier of two ends, where None is no end."""
    if one is None or other is None:
        return one or other
    return min(one, other)


def _keys_of(library: Any, certificate: Any) -> list[_Key]:
    kinds = library.packet.SignatureType
    revocations = (kinds.SubkeyRevocation, kinds.KeyRevocation)
    # Others' signatures on a person's name do not say what a key is for.
    own = certificate.fingerprint
    keys: list[_Key] = []
    # A signature may be forged: at worst it hides an end, or a key that the library uses.
    for packet in library.packet.PacketPile.from_bytes(bytes(certificate)):
        if packet.fingerprint is not None:
            keys.append(_Key(packet.fingerprint.lower(), packet.key_created))
        elif packet.signature_type is None or not keys:
            continue
        elif packet.signature_type in revocations:
            keys[-1].is_revoked = True
        elif (packet.issuer_fingerprint or own) == own and packet.key_flags is not None:
            key = keys[-1]
            if key.binding is None or packet.signature_created >= key.binding.signature_created:
                key.binding = packet
    return keys
