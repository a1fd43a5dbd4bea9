"""From a caller's credentials to the mechanisms that may be used, strongest first."""

import functools
from collections.abc import Callable, Sequence

from ..smtp.authentication import Authentication, MakeMechanism
from ..smtp.sasl import CramMd5, External, Login, Oauthbearer, Plain, Xoauth2
from ..smtp.secret import Scrubber, Secret, leaks_of
from . import scram

Token = str | Secret | Callable[[], str]

_SHOWS_SECRET = frozenset({"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"})
_PASSWORD_MECHANISMS = (
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1",
    "CRAM-MD5",
    "PLAIN",
    "LOGIN",
)
TOKEN_MECHANISMS = ("OAUTHBEARER", "XOAUTH2")
MECHANISMS = (*_PASSWORD_MECHANISMS, *TOKEN_MECHANISMS, "EXTERNAL")


class Masking:
    """Masks what must not be shown, in texts of the server's. A token becomes known only later."""

    def __init__(self, secret: Secret | None, user: str | None) -> None:
        self._user = user
        self._scrubber = Scrubber()
        if secret is not None:
            self.learn(secret)

    def learn(self, secret: Secret) -> None:
        """Mask this one from now on."""
        self._scrubber = _scrubber(secret, self._user)

    def __call__(self, text: str) -> str:
        """Return the text with the secrets masked."""
        return self._scrubber.scrub(text)


@functools.lru_cache(maxsize=16)  # each send of a program has the same
def _scrubber(secret: Secret, user: str | None) -> Scrubber:
    return Scrubber(leaks_of(secret.reveal(), user=user))


def authentication(
    username: str | None,
    password: Secret | None,
    token: Token | None,
    allowed: Sequence[str] | None,
    *,
    host: str,
    port: int,
    allow_unsafe: bool,
) -> tuple[Authentication, Masking] | None:
    """Make the authentication for a session, or None if there are no credentials.

    Args:
        username: the user's name.
        password: the password.
        token: an access token, or what gives one.
        allowed: the names of the mechanisms that may be used, or None for all.
        host: the server's name.
        port: its port.
        allow_unsafe: whether secrets may be sent without verified TLS.

    Raises:
        ValueError: the credentials are incomplete, or can't be sent.
    """
    names = _allowed(allowed)
    if username is None and password is None and token is None and names != ("EXTERNAL",):
        return None
    if password is not None and token is not None:
        raise ValueError("give a password or a token, not both")
    user = username or ""
    masking = Masking(password or _fixed(token), username)
    makers: dict[str, MakeMechanism] = {}
    if password is not None:
        if not user:
            raise ValueError("username: missing; a password needs one")
        makers = _with_password(user, password)
    elif token is not None:
        if not user:
            raise ValueError("username: missing; a token needs one")
        makers = _with_token(user, host, port)
    elif names != ("EXTERNAL",):
        raise ValueError("password: missing; a username needs one (or a token)")
    if names == ("EXTERNAL",):
        makers = {"EXTERNAL": lambda _token, _binding: External(user)}
    if names is not None:
        makers = {name: maker for name, maker in makers.items() if name in names}
    if not makers:
        raise ValueError("auth: no mechanism is left that these credentials can be used with")
    get = None if token is None else _getter(token, masking)
    return (
        Authentication(
            mechanisms=makers,
            token=get,
            shows_secret=_SHOWS_SECRET,
            allow_unsafe=allow_unsafe,
        ),
        masking,
    )


def _allowed(names: Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    chosen = tuple(name.upper() for name in ([names] if isinstance(names, str) else names))
    for name in chosen:
        if name not in MECHANISMS:
            raise ValueError(f"auth: no mechanism {name!r}; there are {', '.join(MECHANISMS)}")
    return chosen


def _with_password(user: str, password: Secret) -> dict[str, MakeMechanism]:
    # Made once here, so that what can't be sent is an error in the caller.
    Plain(user, password)
    makers: dict[str, MakeMechanism] = {}
    if _can_scram(user, password):
        for name in scram.NAMES:
            makers[name] = _scram_maker(name, user, password)
    makers["CRAM-MD5"] = lambda _token, _binding: CramMd5(user, password)
    makers["PLAIN"] = lambda _token, _binding: Plain(user, password)
    makers["LOGIN"] = lambda _token, _binding: Login(user, password)
    return makers


def _can_scram(user: str, password: Secret) -> bool:
    """Whether the library is there and takes this password: SASLprep takes no emoji, say."""
    if not scram.available():
        return False
    try:
        scram.scram("SCRAM-SHA-256", user, password, None)
    except ValueError:
        return False
    return True


def _scram_maker(name: str, user: str, password: Secret) -> MakeMechanism:
    return lambda _token, binding: scram.scram(name, user, password, binding)


def _with_token(user: str, host: str, port: int) -> dict[str, MakeMechanism]:
    return {
        "OAUTHBEARER": lambda token, _binding: Oauthbearer(user, Secret(token or ""), host, port),
        "XOAUTH2": lambda token, _binding: Xoauth2(user, Secret(token or "")),
    }


def _fixed(token: Token | None) -> Secret | None:
    if isinstance(token, str):
        return Secret(token)
    return token if isinstance(token, Secret) else None


def _getter(token: Token, masking: Masking) -> Callable[[], str]:
    fixed = _fixed(token)
    if fixed is not None:
        return fixed.reveal
    assert callable(token)

    def get() -> str:
        fresh = token()
        if not isinstance(fresh, str) or not fresh:
            raise TypeError("the token callable returned no token")
        masking.learn(Secret(fresh))
        return fresh

    return get
