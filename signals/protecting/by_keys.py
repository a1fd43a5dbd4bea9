"""`ByKeys`: what S/MIME and OpenPGP have in common: one person signs, others can read."""

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar, cast

from ...smtp.mail.wrapped.wrapping import UnprotectableError
from ..signing.private_key import GivenKey
from .protection import Protection, check_number, given_by_address, key_of_address, warn_once


class Holder(Protocol):
    """A certificate, with what is asked of it."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those that it is for, as `key_of_address` has them; none if it has none."""
        ...

    def check_time(self, whose: str) -> None:
        """Check that it is valid now; raise `UnprotectableError` if not."""


_H = TypeVar("_H", bound=Holder)


class ByKeys(Protection, Generic[_H]):
    """Signs by the key of a person, and encrypts by the certificates of others.

    Attributes:
        name: for the log.
        what_signs: what the sender has, for errors.
    """

    __slots__ = ("_for_sender", "_person", "_recipients")

    name: str
    what_signs: str
    _for_sender: bool
    _person: _H | None
    _recipients: dict[str, _H]

    def _set_readers(self, recipients: GivenKey | None, *, for_sender: bool, what: str) -> None:
        """Check who can read what is encrypted. The sender is known already."""
        self._recipients = {} if recipients is None else self._checked_recipients(recipients)
        person = self._person
        self._for_sender = for_sender and person is not None
        if person is not None and self._for_sender and self.encrypts:
            self._check_can_read(what, person)

    def _checked_recipients(self, recipients: GivenKey) -> dict[str, _H]:
        found: dict[str, _H] = {}
        for key, (address, given) in given_by_address("recipients", recipients).items():
            what = f"recipients[{address!r}]"
            person = self._person_of(what, given)
            if person.addresses and key not in person.addresses:
                raise ValueError(f"{what}: the certificate is for {', '.join(person.addresses)}")
            person.check_time(f"{what}: the certificate")
            self._check_can_read(what, person)
            found[key] = person
        return found

    def _person_of(self, what: str, given: GivenKey) -> _H:
        raise NotImplementedError

    def _check_can_read(self, what: str, person: _H) -> None:
        raise NotImplementedError

    @property
    def encrypts(self) -> bool:
        """Whether it encrypts."""
        return bool(self._recipients)

    def check(self, readers: Iterable[str]) -> None:
        """Check that an email for these recipients can be signed and encrypted now."""
        if self._person is not None and (self.signs or self._for_sender):
            self._person.check_time(f"the sender's {self.what_signs}")
        if not self.encrypts:
            return
        for reader in readers:
            person = self._recipients.get(key_of_address(reader))
            if person is None:
                raise UnprotectableError(f"there is no certificate of {reader} to encrypt it for")
            person.check_time(f"the certificate of {reader}")

    def warn_of(self, sender: str) -> None:
        """Log once if what signs is not that of a sender."""
        assert self._person is not None
        has = self._person.addresses
        if has and key_of_address(sender) not in has:
            warn_once(sender, has, self.name)

    def _all_readers(self, readers: Sequence[str]) -> list[_H]:
        """Return who shall be able to read an email, the sender included."""
        check_number(readers)
        found = [self._recipients[key_of_address(reader)] for reader in readers]
        return [*found, cast("_H", self._person)] if self._for_sender else found

    def __repr__(self) -> str:
        kind = type(self).__name__
        if not hasattr(self, "_for_sender"):  # `__init__` raised
            return f"<{kind}>"
        told = ["key=***"] if self.signs else []
        if self.encrypts:
            told.append(f"recipients=<{len(self._recipients)}>")
        return f"{kind}({', '.join(told)})"
