"""The envelope: the sender and the recipients (RFC 5321 §2.3.1).

An `Envelope` is valid by construction: each of its paths may be written into a command as it is.
"""

from collections.abc import Callable, Collection, Iterable
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
"""Recipients of one email. A server may take only 100 in one transaction (RFC 5321 §4.5.3.1.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The reverse-path and the forward-paths of one email.

    Paths have no angle brackets here: ``f"MAIL FROM:<{envelope.reverse_path}>"``. `of` takes them
    as people write them.

    Attributes:
        reverse_path: the sender's mailbox; ``""`` is the null reverse-path, ``<>`` on the wire.
        forward_paths: the recipients, in order, exact duplicates once. At least one.
        options: what the sender requests beyond delivery. By RFC 5321 §2.3.1 this "optional
            protocol extension material" is part of the envelope.

    Raises:
        AddressError: a path is invalid.
        ValueError: there are no recipients, or more than `MAX_RECIPIENTS`, or the options do not
            fit them.
        TypeError: a path is not a str.
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
        """Return the envelope for addresses as people write them.

        Args:
            sender: one mailbox, or ``"<>"`` for the null reverse-path.
            recipients: one mailbox, or several. Each may be ``postmaster``.
            options: what the sender requests beyond delivery.

        Returns:
            The envelope, with the addresses as they were given, octet for octet.

        Raises:
            AddressError: an address is invalid; the text names it and says what is wrong.
            ValueError: there are no recipients, or more than `MAX_RECIPIENTS`, or the options do
                not fit them.
            TypeError: `sender` is not a str, or `recipients` is neither a str nor several.
        """
        if sender == "" or not isinstance(sender, str):
            # The constructor would take an empty path for the null reverse-path.
            sender = _checked("sender", check_reverse_path, sender)
        return cls(
            reverse_path="" if sender == "<>" else sender,
            forward_paths=(recipients,) if isinstance(recipients, str) else recipients,  # type: ignore[arg-type]
            options=options,
        )

    def only(self, forward_paths: Iterable[str]) -> "Envelope":
        """Return the envelope of the same email for some of its recipients.

        Args:
            forward_paths: some of this envelope's `forward_paths`.

        Raises:
            ValueError: it is empty, or has other paths.
        """
        chosen = tuple(dict.fromkeys(forward_paths))
        if chosen == self.forward_paths:
            return self
        if not chosen or not self._has(chosen):
            raise ValueError("an envelope is for some of the recipients; give at least one of them")
        return self._part(chosen)

    def apart(self, together: Collection[str]) -> tuple["Envelope", ...]:
        """Return an envelope for some of the recipients, if any, and one for each of the others.

        Args:
            together: those that share one; others than this envelope's do not matter.
        """
        seen = tuple([path for path in self.forward_paths if path in together])
        alone = [self._part((path,)) for path in self.forward_paths if path not in together]
        return (self._part(seen), *alone) if seen else tuple(alone)

    def _part(self, chosen: tuple[str, ...]) -> "Envelope":
        # Not by `replace`, which would check everything again, and reject options that mention
        # the other recipients, too.
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
    """Return one checked path; its errors begin with `name`."""
    try:
        return check(path)
    except AddressError as exc:
        raise AddressError(f"{name}: {exc}") from None
    except TypeError as exc:
        raise TypeError(f"{name}: {exc}") from None


def _bounded(recipients: Iterable[str]) -> tuple[str, ...]:
    """Return recipients as a tuple; reject too many before an endless iterator fills the memory."""
    if isinstance(recipients, tuple) and len(recipients) <= MAX_RECIPIENTS:
        return recipients
    # These are iterable, too, by character or byte.
    if isinstance(recipients, (str, bytes, bytearray, memoryview)):
        raise _not_recipients(recipients)
    try:
        iterator = iter(recipients)
    except TypeError:
        raise _not_recipients(recipients) from None
    paths = tuple(islice(iterator, MAX_RECIPIENTS + 1))
    if len(paths) > MAX_RECIPIENTS:
        raise ValueError(f"more than {MAX_RECIPIENTS} recipients; send to them in several emails")
    return paths


def _distinct(recipients: tuple[str, ...]) -> tuple[str, ...]:
    """Return checked recipients without exact duplicates.

    Duplicates are compared by octets: only the receiving host knows whether the case of a local
    part matters (RFC 5321 §2.4).
    """
    if not recipients:
        raise ValueError("there are no recipients; give at least one")
    if len(recipients) == 1:
        path = _checked("recipients[0]", check_forward_path, recipients[0])
        # A subclass of tuple may return other values the next time it is read.
        return recipients if type(recipients) is tuple and path is recipients[0] else (path,)
    return tuple(
        dict.fromkeys(
            _checked(f"recipients[{index}]", check_forward_path, path)
            for index, path in enumerate(recipients)
        )
    )


def _not_recipients(value: object) -> TypeError:
    return TypeError(f"recipients must be a str or several of them, not {type(value).__name__}")
