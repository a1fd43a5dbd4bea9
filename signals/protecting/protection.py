"""What signs or encrypts the content of emails: `Smime` or `Pgp`, and for whom an email is."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Self, cast

from ...smtp.mail.address import check_mailbox, to_ascii_domain
from ...smtp.mail.content import CompleteContent
from ...smtp.mail.envelope import Envelope
from ...smtp.mail.wrapped.wrapping import UnprotectableError, apart, steady
from ..composing.ids import new_id
from ..dispatcher import log_safely
from ..signing.private_key import GivenKey
from .reading import octets_of

_MOST_READERS = 1000
"""Recipients of one encrypted email: each makes it larger by half a kilobyte."""
_MOST_WARNED = 1000
_warned: set[tuple[str, str]] = set()

# `SendMail` leads to this module, so its type has no name here.


class Protection:
    """Signs the content of emails, encrypts it, or both. Immutable; any thread may use it."""

    __slots__ = ()

    @property
    def signs(self) -> bool:
        """Whether it signs."""
        raise NotImplementedError

    @property
    def encrypts(self) -> bool:
        """Whether it encrypts."""
        raise NotImplementedError

    def check(self, readers: Iterable[str]) -> None:
        """Check that an email for these recipients can be signed and encrypted now.

        Args:
            readers: their addresses.

        Raises:
            UnprotectableError: a certificate or key is missing, or not valid any more.
        """
        raise NotImplementedError

    def warn_of(self, sender: str) -> None:
        """Log once if the key that signs is not that of a sender.

        Args:
            sender: its address.
        """
        raise NotImplementedError

    def wrapped(self, entity: bytes, readers: Sequence[str], unique: str) -> bytes:
        """Return content, signed and encrypted. `check` comes first.

        Args:
            entity: its fields ``Content-…`` and its body, in lines that end in CRLF.
            readers: who shall be able to read it.
            unique: letters and digits that it does not contain.

        Raises:
            UnprotectableError: it can't be signed or encrypted.
        """
        raise NotImplementedError

    def mails(self, mail: Any) -> tuple[Any, ...]:
        """Return an email as complete emails, signed or encrypted now, in this thread.

        One, unless it is encrypted and has blind recipients: then one more for each of these, so
        that nobody sees for whom else it was encrypted. All have the same header and Message-ID.
        The first has the id of `mail`, and each an outcome of its own.

        Args:
            mail: a `SendMail`.

        Raises:
            UnprotectableError: it can't be signed or encrypted.
            OSError: a file that it is made of can't be read.
        """
        if mail.protect and mail.protect is not self:
            raise UnprotectableError("the email has a protect= of its own; use the mails() of that")
        made: list[Any] = []
        for envelope in envelopes_of(mail, self):
            content = protected(mail, self, envelope.forward_paths)
            made.append(_complete(mail, envelope, content.data, is_first=not made))
        return tuple(made)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is never pickled, because of its key")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self.__getstate__()


NOT_PROTECTED: tuple[()] = ()
"""Neither signed nor encrypted: what ``protect=()`` says."""


def protection_of(value: object) -> "Protection | tuple[()]":
    """Return what signs or encrypts.

    Args:
        value: a `Smime` or a `Pgp`; ``()`` for neither.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, Protection):
        return value
    if value == ():
        return NOT_PROTECTED
    kind = type(value).__name__
    raise TypeError(f"protect: needs Smime(...) or Pgp(...), not {kind}")


def protection_for(value: object, paths: Sequence[str]) -> "Protection | tuple[()]":
    """Return what signs or encrypts an email, if it can do so now.

    Args:
        value: as for `protection_of`.
        paths: all recipients of the email.

    Raises:
        TypeError: it is something else.
        UnprotectableError: a certificate or key is missing, or not valid any more.
    """
    protection = protection_of(value)
    if isinstance(protection, Protection):
        protection.check(paths)
    return protection


def protected(mail: Any, protection: Protection, paths: Sequence[str]) -> CompleteContent:
    """Return an email for some of its recipients, signed or encrypted. Blocks: it reads files.

    Args:
        mail: a `SendMail`.
        protection: what signs or encrypts it.
        paths: the recipients of this transaction.

    Raises:
        UnprotectableError: it can't be signed or encrypted.
        OSError: a file that it is made of can't be read.
        ValueError: such a file changes meanwhile.
    """
    readers = _readers_of(mail, paths) if protection.encrypts else ()
    protection.check(readers)
    if protection.signs:
        protection.warn_of(mail.sender)
    head, entity = apart(octets_of(mail))
    entity, error = _wrapped(protection, steady(entity), readers)
    if error is not None:
        raise error
    return CompleteContent(
        head + entity, needs_smtputf8=mail.needs_smtputf8, is_signed=protection.signs
    )


def _wrapped(
    protection: Protection, entity: bytes, readers: Sequence[str]
) -> tuple[bytes, UnprotectableError | None]:
    try:
        return protection.wrapped(entity, readers, os.urandom(12).hex()), None
    except UnprotectableError as error:
        return b"", error
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        # Of a library, whose text could hold a part of a key, as its frames do. Those written in
        # Rust raise a `PanicException`, which is no `Exception`.
        return b"", UnprotectableError(f"the library has failed ({type(error).__name__})")


def envelopes_of(mail: Any, default: "Protection | tuple[()]") -> tuple[Envelope, ...]:
    """Return the envelopes of an email: if it is encrypted, one for each blind recipient alone.

    Args:
        mail: a `SendMail`.
        default: what protects an email without a `protect` of its own.
    """
    envelope: Envelope = mail.envelope
    protection = default if mail.protect is None else mail.protect
    if not mail.bcc or not protection or not protection.encrypts:
        return (envelope,)
    return envelope.apart(_visible(mail))


def _visible(mail: Any) -> frozenset[str]:
    return frozenset((*mail.recipients, *mail.cc))


def _readers_of(mail: Any, paths: Sequence[str]) -> tuple[str, ...]:
    """Return for whom an email is encrypted that goes to some of its recipients."""
    visible = _visible(mail)
    blind = [path for path in paths if path not in visible]
    if not blind:
        # All of them: they see each other in the header anyway, and the same email suits all.
        return tuple(path for path in mail.envelope.forward_paths if path in visible)
    if len(paths) == 1:
        return (paths[0],)
    raise UnprotectableError(
        "each blind recipient needs one of its own, or would see the others' keys: send it by"
        " a Mailer, or send what protect.mails(mail) returns"
    )


def _complete(mail: Any, envelope: Envelope, data: bytes, *, is_first: bool) -> Any:
    paths, dsn = envelope.forward_paths, mail.dsn
    if dsn is not None and not isinstance(dsn.orcpt, bool):
        # Of the others, this one must not even know.
        dsn = replace(dsn, orcpt=tuple([pair for pair in dsn.orcpt if pair[0] in paths]))
    return type(mail)(
        sender=mail.sender,
        recipients=paths,
        message=data,
        id=mail.id if is_first else new_id(),
        protect=(),
        dsn=dsn,
        **{name: getattr(mail, name) for name in _KEPT},
    )


_KEPT = (
    *("deliver_by", "hold_for", "hold_until", "priority", "require_tls", "dkim"),
    *("context", "success_signal", "failure_signal", "outcome_to"),
)
"""What a complete email has of the one that it was made of."""


def key_of_address(address: str) -> str:
    """Return what is the same for an address in all its forms, as certificates have them."""
    return to_ascii_domain(address).lower()


def given_by_address(name: str, given: GivenKey) -> dict[str, tuple[str, GivenKey]]:
    """Return what a mapping of addresses has: by `key_of_address`, the address and the value.

    Args:
        name: the argument's name, for messages.
        given: the mapping. Somebody may have given a private key, so nothing shows it.

    Raises:
        TypeError: it is none, or a key is no str.
        ValueError: a key is no address, or is there twice; or there are none.
    """
    is_mapping = isinstance(given.value, Mapping)
    if not is_mapping:
        kind = type(given.value).__name__
        raise TypeError(f"{name}: needs a mapping of addresses to certificates, not {kind}")
    found: dict[str, tuple[str, GivenKey]] = {}
    for address, certificate in cast("Mapping[Any, object]", given.value).items():
        hidden = GivenKey(certificate)
        del certificate
        try:
            key = key_of_address(check_mailbox(address))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if key in found:
            raise ValueError(f"{name}: {address} is there twice")
        found[key] = (address, hidden)
    if not found:
        raise ValueError(f"{name}: is empty; leave it out to sign only")
    return found


def check_number(readers: Sequence[str]) -> None:
    """Check how many can read one email.

    Raises:
        UnprotectableError: there are too many.
    """
    if len(readers) > _MOST_READERS:
        raise UnprotectableError(
            f"it is for {len(readers)} recipients; one encrypted email is for {_MOST_READERS}"
        )


def warn_once(sender: str, has: Sequence[str], what: str) -> None:
    """Log once for each sender that a key is not its own.

    Args:
        sender: the address.
        has: whose key it is.
        what: ``"smime"`` or ``"pgp"``.
    """
    mark = (what, sender)
    if mark in _warned or len(_warned) >= _MOST_WARNED:
        return
    _warned.add(mark)
    log_safely(
        logging.WARNING,
        "%s: emails from %s are signed by the key of %s, and their readers will be warned",
        what,
        sender,
        ", ".join(has[:3]),
    )
