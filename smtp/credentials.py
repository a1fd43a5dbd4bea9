"""Who a client says it is, and which mechanisms can say so."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import cast

from .saslprep import check_text, check_token
from .secret import Secret

STRENGTH = (
    "EXTERNAL",  # only where it is asked for by name: the client's certificate says it all
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1",
    "OAUTHBEARER",
    "XOAUTH2",
    "CRAM-MD5",
    "PLAIN",
    "LOGIN",
)
"""The mechanisms that there are, strongest first."""

_WITH_TOKEN = frozenset({"OAUTHBEARER", "XOAUTH2"})
_WITH_PASSWORD = frozenset(STRENGTH) - _WITH_TOKEN - {"EXTERNAL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user name, and what proves it.

    Attributes:
        username: the user name; may be empty for EXTERNAL alone.
        password: the password, or None. A str is made a `Secret`.
        token: an OAuth 2.0 access token without the word ``Bearer``, or what returns one; it is
            never called here. Or None.
        allowed: the names of the mechanisms that may be used, in any case; None for all but
            EXTERNAL, which has to be named.

    Raises:
        ValueError: a field is invalid, or no mechanism is left.
        TypeError: a field has the wrong type.
    """

    username: str = ""
    password: Secret | None = None
    token: Secret | Callable[[], str] | None = field(default=None, repr=False)
    allowed: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("password", "token"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Secret(getattr(self, name)))
        if not isinstance(self.username, str):
            raise TypeError(f"username: needs a str, not {type(self.username).__name__}")
        if not isinstance(self.password, Secret | None):
            raise TypeError(f"password: needs a Secret, not {type(self.password).__name__}")
        if not (isinstance(self.token, Secret | None) or callable(self.token)):
            raise TypeError(f"token: needs a Secret or callable, not {type(self.token).__name__}")
        if self.allowed is not None:
            object.__setattr__(self, "allowed", _checked_names(self.allowed))
        if not self.candidates:
            raise ValueError(f"credentials: {self._why_useless()}")
        check_text("username", self.username, may_be_empty=self.candidates == ("EXTERNAL",))
        if self.password is not None:
            check_text("password", self.password)
        if isinstance(self.token, Secret):
            check_token("token", self.token)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The mechanisms that these credentials can serve and that are allowed, strongest first.

        Whether SCRAM is installed and the channel can be bound to is not known here.
        """
        can: set[str] = set()
        if self.password is not None:
            can |= _WITH_PASSWORD
        elif self.allowed is not None:
            can.add("EXTERNAL")
        if self.token is not None:
            can |= _WITH_TOKEN
        if self.allowed is not None:
            can.intersection_update(self.allowed)
        return tuple(name for name in STRENGTH if name in can)

    def _why_useless(self) -> str:
        if self.allowed is None:
            return "neither password nor token; give one beside the user name"
        given = "password" if self.password is not None else "token" if self.token else "user name"
        return f"a {given} is of no use to {', '.join(self.allowed)}; allow another mechanism"


def choose(offered: AbstractSet[str] | Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Return the mechanisms to try, strongest first.

    Args:
        offered: what the server's EHLO reply names (RFC 4954 §3), in any case.
        candidates: what the client can do and wants to.
    """
    common = {name.upper() for name in offered} & {name.upper() for name in candidates}
    return [name for name in STRENGTH if name in common]


def _checked_names(allowed: object) -> tuple[str, ...]:
    if isinstance(allowed, str) or not isinstance(allowed, Sequence | AbstractSet):
        raise TypeError("allowed: needs several names of mechanisms, such as ('SCRAM-SHA-256',)")
    names: list[str] = []
    for name in cast("Sequence[object]", allowed):
        if not isinstance(name, str):
            raise TypeError(f"allowed: needs names of mechanisms, not {type(name).__name__}")
        if name.upper() not in STRENGTH:
            raise ValueError(f"allowed: not one of {', '.join(STRENGTH)}: {name[:40]!r}")
        names.append(name.upper())
    if not names:
        raise ValueError("allowed: empty; name a mechanism, or leave it out for all")
    return tuple(names)
