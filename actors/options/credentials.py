"""From a caller's credentials to the mechanisms that may be used, strongest first."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ...smtp.sasl.credentials import WITH_TOKEN, Credentials
from ...smtp.sasl.mechanisms import CramMd5, External, Login, Oauthbearer, Plain, Xoauth2
from ...smtp.sasl.secret import Redactor, Secret, leaks_of
from ...smtp.session.opening.authentication import Authentication, MakeMechanism
from . import scram

Token = str | Secret | Callable[[], str]

TOKEN_MECHANISMS = tuple(sorted(WITH_TOKEN))
# What is not known yet is tried with these.
_ANY_TOKEN = Secret("token")
_ANY_BINDING = bytes(32)

SessionRedactor = Callable[[str], str]
"""Masks the secrets that are known from the start, in texts of the server's."""


def authentication(
    username: str | None,
    password: Secret | None,
    token: Token | None,
    auth: Sequence[str] | None,
    *,
    host: str,
    port: int,
    allow_unsafe: bool,
) -> tuple[Authentication, SessionRedactor] | None:
    """Make the authentication for a session, or None if there is nothing to authenticate with.

    Args:
        username: the user's name.
        password: the password.
        token: an access token, or what gives one.
        auth: the names of the mechanisms that may be used, or None for all.
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
        auth=cast("tuple[str, ...] | None", auth),  # which checks and copies it
    )
    fixed, get = _fixed_or_fetched(credentials)
    makers = _makers(credentials, host, port)
    made = Authentication(
        mechanisms={name: makers[name] for name in _serving(credentials, makers)},
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
    """Return what makes each mechanism, whether or not these credentials can serve it."""
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


def _serving(credentials: Credentials, makers: Mapping[str, MakeMechanism]) -> list[str]:
    """Return the names of the mechanisms that can serve these credentials, strongest first.

    Each is made once here, so that what can't be sent is an error in the caller. Some take less
    than others: SCRAM no emoji in a password, say, and it needs a library; CRAM-MD5 needs MD5.

    Raises:
        ValueError: there is none; tells why the first of them can't.
    """
    serving: list[str] = []
    problem: str | None = None
    for name in credentials.candidates:
        try:
            makers[name](_ANY_TOKEN, _ANY_BINDING)
        except (ValueError, ImportError) as error:
            problem = problem or str(error)
        else:
            serving.append(name)
    if not serving:
        raise ValueError(problem)
    return serving


def _fetcher(token: Callable[[], str]) -> Callable[[], Secret]:
    # Not for a moment in a local variable, which an error would show.
    return lambda: _hidden(token())


def _hidden(token: object) -> Secret:
    if isinstance(token, Secret):
        return token
    if token is None:
        return Secret("")  # which is refused where it is used
    if not isinstance(token, str):
        kind = type(token).__name__
        del token
        raise TypeError(f"a token needs to be a str, not {kind}")
    return Secret(token)
