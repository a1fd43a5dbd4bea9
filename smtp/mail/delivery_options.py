"""Delivery options that a sender may request from the server, as checked values.

Each value has one wire form, of digits, keywords and xtext only: no text of the caller's goes
into a command unencoded. `parameters` decides by the server's extensions what is requested.
"""

import datetime as dt
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from ..words.plain import plain_bool, plain_int
from ..words.shown import shown
from .address import check_forward_path, needs_smtputf8, to_ascii_domain
from .domain import AddressError

Notice: TypeAlias = Literal["success", "failure", "delay"]
"""An event of which the sender may be notified (RFC 3461 §4.1)."""

MAX_ENVID = 100
"""Characters of an envelope identifier, in xtext (RFC 3461 §4.4)."""
MAX_ORCPT = 500
"""Characters of an original recipient with its type, in xtext (RFC 3461 §4.2)."""
MAX_SECONDS = 999_999_999
"""The longest time that fits: nine digits (RFC 2852 §4, RFC 4865 §4)."""
MAX_PRIORITY = 9
"""The highest priority; the lowest is its negative (RFC 6710 §3)."""

_NOTICES: tuple[Notice, ...] = ("success", "failure", "delay")
_NEVER = "never"
# RFC 3461 §4 requires "+", "=" and unprintable characters to be encoded, and allows it for all. A
# server may search the whole line for the end of the path (Exim 4.96 does), so no parameter may
# have a character that looks like it, or like a quoted string.
_NOT_XCHAR = re.compile(r"[^A-Za-z0-9!#$%&'*./?@^_`{|}~-]")
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")  # RFC 6533 §3: nor a backslash

_set = object.__setattr__


def xtext(text: str) -> str:
    """Return printable ASCII as xtext (RFC 3461 §4)."""
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def original_recipient(address: str) -> str:
    """Return the value of ORCPT for an address: its type, a semicolon, the address.

    An address whose local part is ASCII gets the type ``rfc822``, which every server knows, with
    A-labels if necessary. Others get ``utf-8`` (RFC 6533 §3) in the form that is itself ASCII, and
    so may be sent to any server.

    Args:
        address: a checked mailbox.
    """
    if not needs_smtputf8(address):
        return f"rfc822;{xtext(to_ascii_domain(address))}"
    return "utf-8;" + _NOT_QCHAR.sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsn:
    """Requests delivery status notifications (RFC 3461), such as bounces.

    Args:
        notify: the events of which to notify the sender: ``"never"``, or one or several of
            ``"success"``, ``"failure"`` and ``"delay"``. Default: the server decides.
        ret: what a bounce returns: ``"full"`` for the message, or ``"hdrs"`` for the header alone.
        envid: an id for this email, which its notifications repeat: printable ASCII.
        orcpt: True to send each recipient's address along as the original one, so that a
            notification names it even after the email was forwarded. Or a mapping from recipients
            to their original addresses; recipients that are not in it get none.

    Raises:
        ValueError: a value is invalid.
        TypeError: a value has the wrong type.
    """

    notify: Literal["never"] | Notice | Collection[Notice] | None = None
    ret: Literal["full", "hdrs"] | None = None
    envid: str | None = None
    # Not in `repr`: it may have bcc addresses.
    orcpt: bool | Mapping[str, str] | tuple[tuple[str, str], ...] = field(default=False, repr=False)
    _originals: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _set(self, "notify", _checked_notify(self.notify))
        if self.ret not in (None, "full", "hdrs"):
            raise ValueError(f"ret: needs 'full' or 'hdrs', not {shown(self.ret)}")
        if self.envid is not None:
            _set(self, "envid", _checked_envid(self.envid))
        originals: dict[str, str] = {}
        if not isinstance(self.orcpt, bool):
            pairs = _checked_originals(self.orcpt)
            _set(self, "orcpt", pairs)
            originals = {path: original_recipient(address) for path, address in pairs}
        _set(self, "_originals", originals)

    @property
    def is_empty(self) -> bool:
        """Whether it requests nothing."""
        return not (self.orcpt or self.notify or self.for_mail)

    @property
    def is_never(self) -> bool:
        """Whether it requests that no notification is ever sent."""
        return self.notify == _NEVER

    @property
    def for_mail(self) -> tuple[str, ...]:
        """The parameters of MAIL."""
        parameters: list[str] = []
        if self.ret is not None:
            # RFC 3461 §4.3
            parameters.append("RET=FULL" if self.ret == "full" else "RET=HDRS")
        if self.envid is not None:
            parameters.append(f"ENVID={xtext(self.envid)}")  # RFC 3461 §4.4
        return tuple(parameters)

    def for_rcpt(self, path: str) -> tuple[str, ...]:
        """Return the parameters of RCPT.

        Args:
            path: the recipient, as in the envelope.
        """
        parameters: list[str] = []
        if self.is_never:
            parameters.append("NOTIFY=NEVER")
        elif self.notify is not None:
            notify = cast("Collection[str]", self.notify)
            names = ",".join(name.upper() for name in _NOTICES if name in notify)
            parameters.append(f"NOTIFY={names}")  # RFC 3461 §4.1
        original = original_recipient(path) if self.orcpt is True else self._originals.get(path)
        if original is not None:
            parameters.append(f"ORCPT={original}")  # RFC 3461 §4.2
        return tuple(parameters)

    def check_recipients(self, paths: Collection[str]) -> None:
        """Check that the original recipients are for recipients of this email, and short enough.

        Raises:
            ValueError: they are not.
        """
        for path in sorted(self._originals.keys() - set(paths)):
            raise ValueError(f"orcpt: {shown(path)} is not a recipient of this email")
        if self.orcpt is True:
            for path in paths:
                _check_length(path, original_recipient(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverBy:
    """Requests delivery within a time (RFC 2852).

    Args:
        seconds: how long the delivery may take, from the transaction on: 1 to 999999999.
        on_expiry: what the server should do after that: ``"return"`` the email as undeliverable,
            or ``"notify"`` the sender of the delay and continue.
        trace: whether each server on the path should report that it has relayed the email.

    Raises:
        ValueError: a value is invalid.
        TypeError: a value has the wrong type.
    """

    seconds: int
    on_expiry: Literal["return", "notify"]
    trace: bool = False

    def __post_init__(self) -> None:
        _set(self, "seconds", plain_int("seconds", self.seconds, 1, MAX_SECONDS))
        if self.on_expiry not in ("return", "notify"):
            raise ValueError(f"on_expiry: needs 'return' or 'notify', not {shown(self.on_expiry)}")
        plain_bool("trace", self.trace)

    @property
    def parameter(self) -> str:
        """The parameter of MAIL (RFC 2852 §4)."""
        mode = "R" if self.on_expiry == "return" else "N"
        return f"BY={self.seconds};{mode}{'T' if self.trace else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """All that a sender requests from the server beyond delivery.

    By RFC 5321 §2.3.1 it is part of the envelope.

    Attributes:
        dsn: the notifications to request, or None.
        deliver_by: how long the delivery may take, or None.
        hold_for: seconds that the server should hold the email before it delivers it (RFC 4865).
        hold_until: the time until which it should hold it, in UTC and whole seconds.
        priority: -9 (lowest) to 9 (highest), or None (RFC 6710).
        require_tls: whether the email may be relayed under verified TLS only (RFC 8689).

    Raises:
        ValueError: a value is invalid, or contradicts another.
        TypeError: a value has the wrong type.
    """

    dsn: Dsn | None = None
    deliver_by: DeliverBy | None = None
    hold_for: int | None = None
    hold_until: dt.datetime | None = None
    priority: int | None = None
    require_tls: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.dsn, Dsn | None):
            raise TypeError(f"dsn: needs a Dsn, not {type(self.dsn).__name__}")
        if not isinstance(self.deliver_by, DeliverBy | None):
            raise TypeError(f"deliver_by: needs a DeliverBy, not {type(self.deliver_by).__name__}")
        if self.hold_for is not None:
            _set(self, "hold_for", plain_int("hold_for", self.hold_for, 1, MAX_SECONDS))
        if self.hold_until is not None:
            _set(self, "hold_until", _whole_utc(self.hold_until))
        if self.priority is not None:
            priority = plain_int("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)
            _set(self, "priority", priority)
        plain_bool("require_tls", self.require_tls)
        if self.hold_for is not None and self.hold_until is not None:
            raise ValueError("hold_until: and hold_for say the same; give one of them")
        if (
            self.hold_for is not None
            and self.deliver_by is not None
            and self.hold_for >= self.deliver_by.seconds
        ):
            raise ValueError("deliver_by: its time would be over before hold_for is")

    @property
    def hold(self) -> str | None:
        """The parameter of MAIL that requests a hold, or None (RFC 4865 §4)."""
        if self.hold_for is not None:
            return f"HOLDFOR={self.hold_for}"
        if self.hold_until is not None:
            return f"HOLDUNTIL={self.hold_until.replace(tzinfo=None).isoformat()}Z"
        return None


def _checked_notify(value: object) -> object:
    """Return None, ``"never"``, or the set of events."""
    if value is None or value == _NEVER:
        return value
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, list | tuple | set | frozenset):
        raise TypeError(f"notify: needs a str or a set of them, not {type(value).__name__}")
    names = cast("Collection[object]", value)
    if not names:
        raise ValueError("notify: empty; write 'never' for no notification")
    for name in names:
        if name == _NEVER:
            raise ValueError("notify: 'never' goes with nothing else (RFC 3461 §4.1)")
        if name not in _NOTICES:
            raise ValueError(
                f"notify: needs 'never', or of 'success', 'failure' and 'delay', not {shown(name)}"
            )
    return frozenset(names)


def _checked_envid(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"envid: needs a str, not {type(value).__name__}")
    # RFC 3461 §4.4: "printable (graphic and white space) characters from the US-ASCII repertoire".
    if not value or not value.isascii() or not value.isprintable():
        raise ValueError(f"envid: needs printable ASCII, not {shown(value)}")
    if (length := len(xtext(value))) > MAX_ENVID:
        raise ValueError(f"envid: has {length} characters as xtext; {MAX_ENVID} are allowed")
    return str.__str__(value)


def _checked_originals(value: object) -> tuple[tuple[str, str], ...]:
    """Return the checked pairs of a mapping, or of the pairs that were made from one."""
    if isinstance(value, Mapping):
        value = tuple(cast("Mapping[object, object]", value).items())
    if not isinstance(value, tuple):
        raise TypeError(f"orcpt: needs a bool or a mapping, not {type(value).__name__}")
    pairs: list[tuple[str, str]] = []
    for item in cast("tuple[object, ...]", value):
        if not (isinstance(item, tuple) and len(cast("tuple[object, ...]", item)) == 2):
            raise TypeError("orcpt: needs a mapping from recipients to addresses")
        path, original = cast("tuple[object, object]", item)
        if not isinstance(path, str):
            raise TypeError(f"orcpt: a recipient must be a str, not {type(path).__name__}")
        try:
            original = check_forward_path(cast("str", original))
        except AddressError as error:
            raise AddressError(f"orcpt: {error}") from None
        except TypeError as error:
            raise TypeError(f"orcpt: {error}") from None
        _check_length(original, original_recipient(original))
        pairs.append((path, original))
    return tuple(pairs)


def _check_length(address: str, original: str) -> None:
    if len(original) > MAX_ORCPT:
        raise ValueError(
            f"orcpt: {shown(address)} has {len(original)} characters as xtext;"
            f" {MAX_ORCPT} are allowed"
        )


def _whole_utc(value: object) -> dt.datetime:
    """Return a time in UTC, rounded up to whole seconds: the email must not go out too early."""
    if not isinstance(value, dt.datetime):
        raise TypeError(f"hold_until: needs a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ValueError("hold_until: needs a time zone, such as datetime.UTC")
    try:
        utc = value.astimezone(dt.UTC)
        whole = dt.datetime(*utc.timetuple()[:6], tzinfo=dt.UTC)
        return whole + dt.timedelta(seconds=1 if utc.microsecond else 0)
    except OverflowError:
        raise ValueError("hold_until: is not in the years 1 to 9999") from None


NO_OPTIONS = DeliveryOptions()
"""No options: what most emails have."""
