"""The envelope: who sends, and who shall receive (RFC 5321 §2.3.1).

An `Envelope` that exists is valid: each path in it may be written into a command as it stands.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from .address import (
    check_forward_path,
    check_mailbox,
    check_reverse_path,
    needs_smtputf8,
)
from .delivery_options import NO_OPTIONS, DeliveryOptions
from .domain import AddressError

MAX_RECIPIENTS = 100_000
"""Recipients of one mail. A server may take no more than 100 at a time (RFC 5321 §4.5.3.1.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The reverse-path and the forward-paths of one mail.

    Paths stand here without angle brackets: ``f"MAIL FROM:<{envelope.reverse_path}>"``. `of` takes
    them as people write them.

    Attributes:
        reverse_path: the sender's mailbox; ``""`` is the null reverse-path, ``<>`` on the wire.
        forward_paths: the recipients, in order, exact duplicates once. At least one.
        options: what the sender asks for beyond delivery. RFC 5321 §2.3.1 counts this "optional
            protocol extension material" to the envelope.

    Raises:
        AddressError: a path is invalid.
        ValueError: there are no recipients, or more than `MAX_RECIPIENTS`, or the options do not
            fit them.
        TypeError: a path is no str.
    """

    reverse_path: str
    forward_paths: tuple[str, ...]
    options: DeliveryOptions = NO_OPTIONS

    def __post_init__(self) -> None:
        if self.reverse_path != "":
            reverse_path = _checked("sender", check_mailbox, self.reverse_path)
            if reverse_path is not self.reverse_path:
                object.__setattr__(self, "reverse_path", reverse_path)
        forward_paths = _distinct(_bounded(self.forward_paths))
        if forward_paths is not self.forward_paths:
            object.__setattr__(self, "forward_paths", forward_paths)
        if self.options.dsn is not None:
            self.options.dsn.check_recipients(self.forward_paths)

    @classmethod
    def of(
        cls,
        sender: str,
        recipients: str | Iterable[str],
        options: DeliveryOptions = NO_OPTIONS,
    ) -> "Envelope":
        """Make an envelope of addresses as people write them.

        Args:
            sender: one mailbox, or ``"<>"`` for the null reverse-path.
            recipients: one mailbox, or several. Each may be ``postmaster``.
            options: what the sender asks for beyond delivery.

        Returns:
            The envelope, with the addresses as they were given, octet for octet.

        Raises:
            AddressError: an address is invalid; the message names it and says what is wrong.
            ValueError: there are no recipients, or more than `MAX_RECIPIENTS`, or the options do
                not fit them.
            TypeError: `sender` is no str, or `recipients` is neither a str nor several.
        """
        if sender == "" or not isinstance(sender, str):
            # Where a path is expected, the empty one is the null reverse-path.
            sender = _checked("sender", check_reverse_path, sender)
        return cls(
            reverse_path="" if sender == "<>" else sender,
            forward_paths=(recipients,) if isinstance(recipients, str) else recipients,  # type: ignore[arg-type]
            options=options,
        )

    def only(self, forward_paths: Iterable[str]) -> "Envelope":
        """Return the envelope of the same mail for some of its recipients.

        Args:
            forward_paths: some of `forward_paths`.

        Raises:
            ValueError: there are none, or others.
        """
        chosen = tuple(dict.fromkeys(forward_paths))
        if chosen == self.forward_paths:
            return self
        if not chosen or not self._has(chosen):
            raise ValueError("an envelope is for some of the recipients; give at least one of them")
        # Not by `replace`: all of it was checked, and its options may speak of the others, too.
        part = object.__new__(Envelope)
        object.__setattr__(part, "reverse_path", self.reverse_path)
        object.__setattr__(part, "forward_paths", chosen)
        object.__setattr__(part, "options", self.options)
        return part

    def _has(self, paths: tuple[str, ...]) -> bool:
        return set(self.forward_paths).issuperset(paths)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether a path has a non-ASCII local part, so that the server must offer SMTPUTF8."""
        return needs_smtputf8(self.reverse_path) or any(map(needs_smtputf8, self.forward_paths))


def _checked(name: str, check: Callable[[str], str], path: str) -> str:
    """Check one path, and have its errors say which one it was."""
    try:
        return check(path)
    except AddressError as exc:
        raise AddressError(f"{name}: {exc}") from None
    except TypeError as exc:
        raise TypeError(f"{name}: {exc}") from None


def _bounded(recipients: Iterable[str]) -> tuple[str, ...]:
    """Collect recipients, but not those of an iterator without end."""
    if isinstance(recipients, tuple) and len(recipients) <= MAX_RECIPIENTS:
        return recipients
    # These are iterable, too: octet by octet, character by character.
    if isinstance(recipients, (str, bytes, bytearray, memoryview)):
        raise _not_recipients(recipients)
    try:
        iterator = iter(recipients)
    except TypeError:
        raise _not_recipients(recipients) from None
    paths = tuple(islice(iterator, MAX_RECIPIENTS + 1))
    if len(paths) > MAX_RECIPIENTS:
        raise ValueError(f"more than {MAX_RECIPIENTS} recipients; send to them in several mails")
    return paths


def _distinct(recipients: tuple[str, ...]) -> tuple[str, ...]:
    """Check recipients and leave out exact duplicates.

    Exact is to the octet: only the receiving host knows whether the case of a local part matters
    (RFC 5321 §2.4).
    """
    if not recipients:
        raise ValueError("there are no recipients; give at least one")
    if len(recipients) == 1:
        path = _checked("recipients[0]", check_forward_path, recipients[0])
        # A subclass may say something else to whoever asks next.
        return recipients if type(recipients) is tuple and path is recipients[0] else (path,)
    return tuple(
        dict.fromkeys(
            _checked(f"recipients[{index}]", check_forward_path, path)
            for index, path in enumerate(recipients)
        )
    )


def _not_recipients(value: object) -> TypeError:
    return TypeError(f"recipients must be a str or several of them, not {type(value).__name__}")
