"""Makes the SASL mechanisms that a caller's credentials can use, strongest first."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ...smtp.sasl.credentials import WITH_TOKEN, Credentials
from ...smtp.sasl.mechanisms import CramMd5, External, Login, Oauthbearer, Plain, Xoauth2
from ...smtp.sasl.secret import Redactor, Secret, leaks_of
from ...smtp.session.opening.authentication import Authentication, MakeMechanism
from . import scram

Token = str | Secret | Callable[[], str]

TOKEN_MECHANISMS = tuple(sorted(WITH_TOKEN))
# Placeholders for values that are not known yet, to check the other credentials with.
_ANY_TOKEN = Secret("token")
_ANY_BINDING = bytes(32)

Redact = Callable[[str], str]
"""Redacts the secrets that are known from the start, in texts of the server."""


def authentication(
    username: str | None,
    password: Secret | None,
    token: Token | None,
    auth: Sequence[str] | None,
    *,
    host: str,
    port: int,
    allow_unsafe: bool,
) -> tuple[Authentication, Redact] | None:
    """Return the authentication of a session, or None if there are no credentials.

    Args:
        username: the user name.
        password: the password.
        token: an access token, or a function that returns one.
        auth: the names of the enabled mechanisms, or None for all.
        host: the server's name.
        port: its port.
        allow_unsafe: whether secrets may be sent without verified TLS.

    Raises:
        ValueError: the credentials are incomplete, or can't be sent.
        TypeError: one has the wrong type.
    """
    if username is None and password is None and token is None and auth is None:
        return None
    credentials = Credentials(
        username="" if username is None else username,
        password=password,
        token=Secret(token) if isinstance(token, str) else token,
        auth=cast("tuple[str, ...] | None", auth),  # checked and copied by `Credentials`
    )
    fixed, get = _fixed_or_fetched(credentials)
    makers = _makers(credentials, host, port)
    made = Authentication(
        mechanisms={name: makers[name] for name in _working(credentials, makers)},
        token=None if get is None else _fetcher(get),
        allow_unsafe=allow_unsafe,
    )
    known = credentials.password or fixed
    forms = () if known is None else leaks_of(known.reveal(), user=username)
    return made, Redactor(forms).redact


def _fixed_or_fetched(credentials: Credentials) -> tuple[Secret | None, Callable[[], str] | None]:
    token = credentials.token
    return (token, None) if isinstance(token, Secret) else (None, token)


def _makers(credentials: Credentials, host: str, port: int) -> dict[str, MakeMechanism]:
    """Return the constructor of each mechanism, usable with these credentials or not."""
    user, password = credentials.username, credentials.password or Secret("")
    fixed, _ = _fixed_or_fetched(credentials)

    def bearer(token: Secret | None) -> Secret:
        return fixed or token or Secret("")

    return {
        "EXTERNAL": lambda _token, _binding: External(user),
        **{name: _scram_maker(name, user, password) for name in scram.NAMES},
        "OAUTHBEARER": lambda token, _binding: Oauthbearer(user, bearer(token), host, port),
        "XOAUTH2": lambda token, _binding: Xoauth2(user, bearer(token)),
        "CRAM-MD5": lambda _token, _binding: CramMd5(user, password),
        "PLAIN": lambda _token, _binding: Plain(user, password),
        "LOGIN": lambda _token, _binding: Login(user, password),
    }


def _scram_maker(name: str, user: str, password: Secret) -> MakeMechanism:
    return lambda _token, binding: scram.scram(name, user, password, binding)


def _working(credentials: Credentials, makers: Mapping[str, MakeMechanism]) -> list[str]:
    """Return the names of the mechanisms that work with these credentials, strongest first.

    Each is made once here, so that the caller gets the error if none works. Some are stricter than
    others: SCRAM allows no emoji in a password, for example, and needs a library; CRAM-MD5 needs
    MD5.

    Raises:
        ValueError: there is none; the message says why the strongest does not work.
    """
    working: list[str] = []
    problem: str | None = None
    for name in credentials.candidates:
        try:
            makers[name](_ANY_TOKEN, _ANY_BINDING)
        except (ValueError, ImportError) as error:
            problem = problem or str(error)
        else:
            working.append(name)
    if not working:
        raise ValueError(problem)
    return working


def _fetcher(token: Callable[[], str]) -> Callable[[], Secret]:
    # The token is never in a local variable, which an error report would show.
    return lambda: _hidden(token())


def _hidden(token: object) -> Secret:
    if isinstance(token, Secret):
        return token
    if token is None:
        return Secret("")  # rejected when it is used
    if not isinstance(token, str):
        kind = type(token).__name__
        del token
        raise TypeError(f"a token needs to be a str, not {kind}")
    return Secret(token)
