"""SCRAM (RFC 5802, RFC 7677): adapts the scramp library to `Mechanism`.

The library is an extra (``pip install 'pykka-smtp[scram]'``) and is imported when it is needed.
Its frames hold the password and keys derived from it, so none of its exceptions leaves this file.
"""

import enum
import re
from collections.abc import Callable
from typing import Any, Protocol

from ...smtp.sasl.mechanism import Mechanism, SaslError, check_challenge
from ...smtp.sasl.saslprep import check_prepared, check_text
from ...smtp.sasl.secret import Secret
from ...smtp.words.shown import shown, words_of
from ..net.tls.channel_binding import BINDING_TYPE, library

NAMES = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")
"""The SCRAM mechanisms, strongest first."""
MIN_ITERATIONS = 4096
"""The minimum of hashing rounds (RFC 5802 §5.1): with fewer, the password can be found from the
proof by trying."""
MAX_ITERATIONS = 100_000
"""The maximum of hashing rounds: these take about 20 ms, on the event loop (RFC 5802 §9)."""

_ITERATIONS = re.compile(r",i=([0-9]+)(?:,|$)")


def scram(
    name: str,
    user: str,
    password: Secret,
    channel_binding: bytes | None,
    *,
    nonce: str | None = None,
) -> Mechanism:
    """Return a SCRAM mechanism for one exchange.

    A client that supports channel binding says so even if it does not use it (RFC 5802 §6), so
    that the server notices if an attacker removed the ``-PLUS`` mechanisms from its EHLO reply. So
    pass `channel_binding` with a ``-PLUS`` name, and with the other names if the server offers no
    ``-PLUS`` mechanism; pass None with another name if the server does offer one.

    Args:
        name: one of `NAMES`, in any case.
        user: the user name.
        password: the password.
        channel_binding: as returned by `server_end_point`, or None.
        nonce: the client's nonce, for tests; None for a random one.

    Raises:
        ValueError: SASLprep prohibits a character of a field, the name is unknown, or a ``-PLUS``
            name has no channel binding.
        ImportError: the library is not installed.
    """
    name = name.upper()
    if name not in NAMES:
        raise ValueError(f"not one of {', '.join(NAMES)}: {shown(name, 40)}")
    if name.endswith("-PLUS") and channel_binding is None:
        raise ValueError(f"{name}: needs TLS, and a certificate that allows channel binding")
    for field, value in (("username", user), ("password", password)):
        check_text(field, value)
        check_prepared(field, value, stored=True)
    return _Scram(name, user, password, channel_binding, nonce)


class _Client(Protocol):
    """The methods of `scramp.ScramClient` that are used here."""

    def get_client_first(self) -> str: ...
    def set_server_first(self, message: str) -> None: ...
    def get_client_final(self) -> str: ...
    def set_server_final(self, message: str) -> None: ...


class _State(enum.Enum):
    BEGUN = enum.auto()
    PROOF_SENT = enum.auto()  # the client's
    VERIFIED = enum.auto()  # the server's proof
    FAILED = enum.auto()


class _Scram:
    """One exchange: a first and a final message of each side; the last proves the server."""

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
        """Return the client's proof for the server's first message, nothing for its final one."""
        check_challenge(self.name, challenge)
        state, self._state = self._state, _State.FAILED
        if state in (_State.FAILED, _State.VERIFIED):
            raise SaslError(f"{self.name}: unexpected challenge: the SASL exchange was complete")
        if challenge.startswith(b"e="):
            return b""  # an error (RFC 5802 §7); the server rejects AUTH after this response
        try:
            message = challenge.decode()
        except UnicodeDecodeError as error:
            raise SaslError(
                f"{self.name}: the server's message is not UTF-8",
                is_security=state is _State.PROOF_SENT,
            ) from error
        if state is _State.BEGUN:
            return self._prove(message)
        self._verify(message)
        return b""

    def finish(self) -> None:
        """Require the server's proof: without it, any server could have accepted."""
        if self._state is not _State.VERIFIED:
            raise SaslError(
                f"{self.name}: the server accepted without proving that it knows the password",
                is_security=True,
            )

    def _prove(self, server_first: str) -> bytes:
        self._check_iterations(server_first)

        def respond() -> str:
            self._client.set_server_first(server_first)
            return self._client.get_client_final()

        client_final, problem = _attempt(respond)
        if problem is not None:
            raise SaslError(f"{self.name}: invalid first message from the server: {problem}")
        self._state = _State.PROOF_SENT
        return str(client_final).encode()

    def _verify(self, server_final: str) -> None:
        _, problem = _attempt(lambda: self._client.set_server_final(server_final))
        if problem is not None:
            # RFC 5802 §5: it does not know the password, or an attacker sits between.
            raise SaslError(
                f"{self.name}: the server did not prove that it knows the password: {problem}",
                is_security=True,
            )
        self._state = _State.VERIFIED

    def _check_iterations(self, message: str) -> None:
        match = _ITERATIONS.search(message)
        if match is None:
            return  # the library reports the error in the message
        digits = match[1]
        if len(digits) > len(str(MAX_ITERATIONS)) or int(digits) > MAX_ITERATIONS:
            raise SaslError(
                f"{self.name}: the server asks for more than {MAX_ITERATIONS} iterations"
            )
        if int(digits) < MIN_ITERATIONS:
            raise SaslError(
                f"{self.name}: the server asks for fewer than {MIN_ITERATIONS} iterations, "
                "which would expose the password",
                is_security=True,
            )


def _attempt(call: Callable[[], object]) -> tuple[Any, str | None]:
    """Call the library; return the result, and the problem or None.

    The library's exception must not leave this function, nor become the cause or context of
    another one: its traceback has the frames that hold the password.
    """
    try:
        return call(), None
    except Exception as error:
        # The library's own errors have fixed texts. The text of any other could hold a secret.
        if isinstance(error, library("scramp").ScramException):
            return None, words_of(error)
        return None, type(error).__name__
