"""SCRAM (RFC 5802, RFC 7677): the scramp library as a `Mechanism`.

The library is an extra (``pip install 'pykka-smtp[scram]'``) and is imported when it is needed.
Its frames hold the password and the keys made of it, so none of its exceptions leaves this file.
"""

import enum
import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import Any, Protocol

from ...smtp.sasl.mechanism import Mechanism, SaslError, check_challenge
from ...smtp.sasl.saslprep import check_prepared, check_text
from ...smtp.sasl.secret import Secret
from ...smtp.words.shown import shown, words_of
from ..net.tls.channel_binding import BINDING_TYPE, library

NAMES = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")
"""The mechanisms that are made here, strongest first."""
MIN_ITERATIONS = 4096
"""Rounds of hashing at least (RFC 5802 §5.1): fewer, and the proof soon gives the password away."""
MAX_ITERATIONS = 100_000
"""Rounds of hashing at most: they run on the event loop, and take some 20 ms (RFC 5802 §9)."""

_ITERATIONS = re.compile(r",i=([0-9]+)(?:,|$)")


def available() -> bool:
    """Return whether the library is installed."""
    return importlib.util.find_spec("scramp") is not None


def scram(
    name: str,
    user: str,
    password: Secret,
    channel_binding: bytes | None,
    *,
    nonce: str | None = None,
) -> Mechanism:
    """Return a SCRAM mechanism for one exchange.

    A client that could bind the channel says so even where it does not (RFC 5802 §6), so that a
    server notices if somebody took its ``-PLUS`` mechanisms out of the EHLO reply. So pass
    `channel_binding` with the ``-PLUS`` names, and with the others if the server offers no
    ``-PLUS`` at all; pass None where it does and this is the second choice.

    Args:
        name: one of `NAMES`, in any case.
        user: whose password it is.
        password: the password.
        channel_binding: what `server_end_point` returned, or None.
        nonce: the client's nonce; only a test knows one.

    Raises:
        ValueError: a field has what SASLprep prohibits, or the name and the binding do not fit.
        ImportError: the library is not installed.
    """
    name = name.upper()
    if name not in NAMES:
        raise ValueError(f"not one of {', '.join(NAMES)}: {shown(name, 40)}")
    if name.endswith("-PLUS") and channel_binding is None:
        raise ValueError(f"{name}: needs TLS, and a certificate that the channel can be bound to")
    for field, value in (("username", user), ("password", password)):
        check_text(field, value)
        check_prepared(field, value, stored=True)
    return _Scram(name, user, password, channel_binding, nonce)


class _Client(Protocol):
    """scramp.ScramClient, as far as it is used here."""

    def get_client_first(self) -> str: ...
    def set_server_first(self, message: str) -> None: ...
    def get_client_final(self) -> str: ...
    def set_server_final(self, message: str) -> None: ...


class _State(enum.Enum):
    BEGUN = enum.auto()
    ANSWERED = enum.auto()
    PROVEN = enum.auto()
    OVER = enum.auto()  # without proof


class _Scram:
    """One exchange: first messages, final messages, and the server's proof in the last of them."""

    __slots__ = ("_client", "_first", "_state", "name")
    shows_secret = False
    reads_challenges = True

    def __init__(
        self,
        name: str,
        user: str,
        password: Secret,
        channel_binding: bytes | None,
        nonce: str | None,
    ) -> None:
        self.name = name
        binding = None if channel_binding is None else (BINDING_TYPE, channel_binding)
        make = library("scramp").ScramClient
        client, problem = _attempt(
            lambda: make([name], user, password.reveal(), channel_binding=binding, c_nonce=nonce)
        )
        if problem is not None:
            raise ValueError(f"{name}: {problem}")
        self._client: _Client = client
        self._first: bytes = self._client.get_client_first().encode()
        self._state = _State.BEGUN

    def start(self) -> bytes:
        """Return the client's first message."""
        return self._first

    def respond(self, challenge: bytes) -> bytes:
        """Answer the server's first message with the proof, and its final one with nothing."""
        check_challenge(self.name, challenge)
        state, self._state = self._state, _State.OVER
        if state in (_State.OVER, _State.PROVEN):
            raise SaslError(f"{self.name}: unexpected challenge: the SASL exchange was complete")
        if challenge.startswith(b"e="):
            return b""  # an error (RFC 5802 §7); the refusal comes once it is acknowledged
        try:
            message = challenge.decode()
        except UnicodeDecodeError as error:
            raise SaslError(
                f"{self.name}: the server's message is not UTF-8",
                is_security=state is _State.ANSWERED,
            ) from error
        if state is _State.BEGUN:
            return self._prove(message)
        self._verify(message)
        return b""

    def finish(self) -> None:
        """Insist on the server's proof: without it, anybody could have said yes."""
        if self._state is not _State.PROVEN:
            raise SaslError(
                f"{self.name}: the server accepted without proving that it knows the password",
                is_security=True,
            )

    def _prove(self, server_first: str) -> bytes:
        self._check_iterations(server_first)

        def answer() -> str:
            self._client.set_server_first(server_first)
            return self._client.get_client_final()

        client_final, problem = _attempt(answer)
        if problem is not None:
            raise SaslError(f"{self.name}: invalid first message from the server: {problem}")
        self._state = _State.ANSWERED
        return str(client_final).encode()

    def _verify(self, server_final: str) -> None:
        _, problem = _attempt(lambda: self._client.set_server_final(server_final))
        if problem is not None:
            # RFC 5802 §5: it does not know the password, or somebody sits between it and us.
            raise SaslError(
                f"{self.name}: the server did not prove that it knows the password: {problem}",
                is_security=True,
            )
        self._state = _State.PROVEN

    def _check_iterations(self, message: str) -> None:
        match = _ITERATIONS.search(message)
        if match is None:
            return  # the library says what is wrong with the message
        digits = match[1]
        if len(digits) > len(str(MAX_ITERATIONS)) or int(digits) > MAX_ITERATIONS:
            raise SaslError(
                f"{self.name}: the server asks for more than {MAX_ITERATIONS} iterations"
            )
        if int(digits) < MIN_ITERATIONS:
            raise SaslError(
                f"{self.name}: the server asks for less than {MIN_ITERATIONS} iterations, "
                "which would give the password away",
                is_security=True,
            )


def _attempt(call: Callable[[], object]) -> tuple[Any, str | None]:
    """Call the library; return the result, or what went wrong.

    The exception stays here, and the caller raises its own outside any handler: with the
    library's as its cause or context, it would take along the frames that hold the password.
    """
    try:
        return call(), None
    except Exception as error:
        # The library's own errors tell fixed texts. Of any other, no text is safe to tell.
        if isinstance(error, library("scramp").ScramException):
            return None, words_of(error)
        return None, type(error).__name__
