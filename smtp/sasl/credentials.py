"""The credentials of a client, and the SASL mechanisms that can use them."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import cast

from ..words.shown import shown
from .saslprep import check_text, check_token
from .secret import Secret

STRENGTH = (
    "EXTERNAL",  # only if `auth` names it: it authenticates by the client's TLS certificate
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
"""The supported mechanisms, strongest first."""
WITH_TOKEN = frozenset({"OAUTHBEARER", "XOAUTH2"})
"""The mechanisms that take an OAuth 2.0 token."""
SHOW_SECRET = WITH_TOKEN | {"PLAIN", "LOGIN"}
"""The mechanisms that disclose the password or token to the server: they need verified TLS."""

_WITH_PASSWORD = frozenset(STRENGTH) - WITH_TOKEN - {"EXTERNAL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user name, and the password or token that proves it.

    Attributes:
        username: the user name; may be empty only if EXTERNAL is the only mechanism.
        password: the password, or None. A str becomes a `Secret`.
        token: an OAuth 2.0 access token without the word ``Bearer``, or a callable that returns
            one (never called here), or None. Password and token exclude each other.
        auth: the names of the enabled mechanisms, in any case; None for all except EXTERNAL,
            which must be named. A str is one name.

    Raises:
        ValueError: a field is invalid, or no mechanism is left.
        TypeError: a field has the wrong type.
    """

    username: str = ""
    password: Secret | None = None
    token: Secret | Callable[[], str] | None = field(default=None, repr=False)
    auth: tuple[str, ...] | None = None

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
        if self.auth is not None:
            object.__setattr__(self, "auth", _checked_names(self.auth))
        if self.password is not None and self.token is not None:
            raise ValueError("credentials: a password and a token; give one of them")
        if not self.candidates:
            raise ValueError(f"credentials: {self._why_useless()}")
        check_text("username", self.username, may_be_empty=self.candidates == ("EXTERNAL",))
        if self.password is not None:
            check_text("password", self.password)
        if isinstance(self.token, Secret):
            check_token("token", self.token)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The enabled mechanisms that work with these credentials, strongest first.

        Whether SCRAM is installed, and whether there is a channel binding, is not known here.
        """
        can: set[str] = set()
        if self.password is not None:
            can |= _WITH_PASSWORD
        elif self.auth is not None:
            can.add("EXTERNAL")
        if self.token is not None:
            can |= WITH_TOKEN
        if self.auth is not None:
            can.intersection_update(self.auth)
        return tuple(name for name in STRENGTH if name in can)

    def _why_useless(self) -> str:
        if self.auth is None:
            return "neither password nor token; give one beside the user name"
        names = ", ".join(self.auth)
        if self.password is None and self.token is None:
            return f"neither password nor token for {names}; give one, or leave out auth"
        given = "token" if self.password is None else "password"
        return f"a {given} is of no use to {names}; allow another mechanism"


def _checked_names(auth: object) -> tuple[str, ...]:
    if isinstance(auth, str):
        auth = (auth,)
    if not isinstance(auth, Sequence | AbstractSet):
        raise TypeError("auth: needs names of mechanisms, such as ('SCRAM-SHA-256', 'PLAIN')")
    names: list[str] = []
    for name in cast("Sequence[object]", auth):
        if not isinstance(name, str):
            raise TypeError(f"auth: needs names of mechanisms, not {type(name).__name__}")
        if name.upper() not in STRENGTH:
            raise ValueError(f"auth: not one of {', '.join(STRENGTH)}: {shown(name, 40)}")
        names.append(name.upper())
    if not names:
        raise ValueError("auth: empty; name a mechanism, or leave it out for all")
    return tuple(names)
