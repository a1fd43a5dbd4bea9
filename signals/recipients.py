"""The forms in which a program may give recipients, their names, and header fields."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, cast

from ..smtp.mail.domain import AddressError
from ..smtp.mail.envelope import MAX_RECIPIENTS
from ..smtp.mail.mailbox import check_display_name, split_name

_MAX_HEADERS = 1000
NOBODY: tuple[str, ...] = ()
"""The recipients of a field that was not given."""
NO_HEADERS: tuple[tuple[str, str], ...] = ()
"""The header fields of an email that was given none."""

Recipient: TypeAlias = str | tuple[str | None, str]
"""An address, ``"Name <address>"``, or a pair of display name (or None) and address."""


class Unsaid(tuple[str, ...]):
    """No recipients were given, which is not the same as an empty list of them."""

    __slots__ = ()


def addresses_of(name: str, value: object) -> tuple[str, ...]:
    """Return recipients, as they were given, as a tuple."""
    if isinstance(value, str):
        return (value,)
    if value is NOBODY:
        return NOBODY
    kind = type(value).__name__
    if isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: needs an address or several, not {kind}")
    # The envelope limits the number too, but an endless iterator would never get there.
    return tuple(itertools.islice(cast("Iterable[str]", value), MAX_RECIPIENTS + 1))


Names: TypeAlias = tuple[str | None, ...] | None


def has_names(recipients: tuple[object, ...]) -> bool:
    """Whether any recipient may have a display name."""
    return any(type(item) is not str or item[-1:] == ">" for item in recipients)


def split_names(field: str, recipients: tuple[object, ...]) -> tuple[Names, tuple[str, ...]]:
    """Return display names, or None if there is none, and addresses.

    A value that is neither address nor name is left to the envelope, whose error explains it.
    """
    if not has_names(recipients):
        return None, cast("tuple[str, ...]", recipients)
    pairs = [split_one(f"{field}[{index}]", item) for index, item in enumerate(recipients)]
    names = tuple(name or None for name, _ in pairs)
    return names if any(names) else None, tuple(address for _, address in pairs)


def split_one(field: str, recipient: object) -> tuple[str | None, str]:
    """Return the display name (or None) and the address of a mailbox in any form.

    A value that is neither address nor name is left to the envelope, whose error explains it.
    """
    if isinstance(recipient, str):
        return split_name(field, str.__str__(recipient))
    if not isinstance(recipient, tuple):
        return None, cast("str", recipient)
    pair = cast("tuple[object, ...]", recipient)
    if len(pair) != 2 or not isinstance(pair[1], str):
        raise TypeError(f"{field}: needs an address, or a pair of name and address")
    return None if pair[0] is None else check_display_name(field, pair[0]), pair[1]


def no_recipients(given: object) -> Exception:
    """Return the exception for an email without recipients."""
    if isinstance(given, Unsaid):
        return TypeError("SendMail: recipients is missing; give it, or bcc alone")
    return ValueError("recipients: empty; an email needs at least one recipient")


def with_advice(error: AddressError, *fields: object) -> AddressError:
    """Add advice if a pair was meant as one recipient; by itself it is a sequence of two."""
    for given in fields:
        if isinstance(given, tuple | list) and len(cast("Sequence[object]", given)) == 2:
            name, address = map(str, cast("Sequence[object]", given))
            if "@" not in name and "@" in address:
                advice = "for one recipient with a name, write [(name, address)]"
                return AddressError(f"{error}; {advice}")
    return error


def only_names(to_name: object, names: tuple[str | None, ...]) -> object:
    """Return the names given with the recipients; raise if `to_name` has names, too."""
    others = () if to_name is None else (to_name,) if isinstance(to_name, str) else to_name
    if not isinstance(others, Sequence) or any(cast("Sequence[object]", others)):
        raise ValueError("to_name: the recipients have names already; give them in one place")
    return names


def names_of(value: object, count: int) -> tuple[str | None, ...]:
    """Return one display name, or None, for each recipient."""
    if value is None:
        return (None,) * count
    names: tuple[str | None, ...]
    if isinstance(value, str):
        names = (value,)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        names = tuple(cast("Sequence[str | None]", value))
    else:
        raise TypeError(f"to_name: needs a name or several, not {type(value).__name__}")
    if len(names) != count:
        raise ValueError(f"to_name: has {len(names)} names for {count} recipients")
    return names


def pairs_of(value: object) -> tuple[tuple[str, str], ...]:
    """Return header fields as pairs."""
    if value is NO_HEADERS:
        return NO_HEADERS  # to ask for abstract types costs more than all of this
    if isinstance(value, Mapping):
        return tuple(cast("Mapping[str, str]", value).items())
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(
            f"headers: needs a mapping, or pairs of name and value, not {type(value).__name__}"
        )
    pairs = tuple(itertools.islice(cast("Iterable[tuple[str, str]]", value), _MAX_HEADERS + 1))
    if len(pairs) > _MAX_HEADERS:
        raise ValueError(f"headers: more than {_MAX_HEADERS} fields")
    return pairs
