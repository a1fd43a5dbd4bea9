"""What a SASL mechanism is (RFC 4422): octets in, octets out.

The base64 and the lines of RFC 4954 are the dialog's affair. A mechanism is good for one exchange:
call `start`, then `respond` for each challenge, then `finish` if the server accepted. No exception
that it raises holds a secret, nor do the local variables of the frames that the exception passed.
"""

from typing import Protocol

MAX_CHALLENGE = 12288
"""Octets of a decoded challenge. RFC 4954 §4 asks for 12288 before decoding, so this is plenty."""
MAX_RESPONSE = 12288 // 4 * 3
"""Octets of a response: base64 makes 4 of 3, and RFC 4954 §4 lets servers stop at 12288."""


class SaslError(Exception):
    """The server said what the mechanism can't go on from.

    Attributes:
        is_security: whether the server failed to prove that it is the one that knows the password.
    """

    def __init__(self, message: str, *, is_security: bool = False) -> None:
        super().__init__(message)
        self.is_security = is_security


class Mechanism(Protocol):
    """One exchange of one mechanism."""

    @property
    def name(self) -> str:
        """The name by which servers offer it, such as ``"PLAIN"``."""
        ...

    @property
    def shows_secret(self) -> bool:
        """Whether the server learns the password or token: it needs TLS with a verified name."""
        ...

    @property
    def reads_challenges(self) -> bool:
        """Whether it matters what is in a challenge; if not, it need not even be base64."""
        ...

    def start(self) -> bytes | None:
        """Return the initial response, or None where the server speaks first.

        It goes out with the AUTH command, or as the answer to an empty first challenge; `respond`
        is for what comes after it.
        """
        ...

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to a challenge.

        Raises:
            SaslError: there is none; cancel the exchange (RFC 4954 §4).
        """
        ...

    def finish(self) -> None:
        """Take note that the server accepted.

        Raises:
            SaslError: it had to prove itself first, and did not.
        """
        ...


def check_challenge(name: str, challenge: bytes) -> None:
    """Refuse a challenge that is too long to be one.

    Raises:
        SaslError: it has more than `MAX_CHALLENGE` octets.
    """
    if len(challenge) > MAX_CHALLENGE:
        raise SaslError(f"{name}: challenge over {MAX_CHALLENGE} octets")


class SilentMechanism:
    """What mechanisms have in common: this one says nothing, and asks nothing of the server."""

    __slots__ = ()
    name = ""
    shows_secret = False
    reads_challenges = True

    def start(self) -> bytes | None:
        """Leave the first word to the server."""
        return None

    def respond(self, challenge: bytes) -> bytes:
        """Refuse a challenge that comes when all is said."""
        check_challenge(self.name, challenge)
        raise SaslError(f"{self.name}: unexpected challenge: the SASL exchange was complete")

    def finish(self) -> None:
        """Ask for nothing: the server proves nothing here."""

    def check_size(self) -> None:
        """Check that the initial response is not too long for a server.

        Raises:
            ValueError: it has more than `MAX_RESPONSE` octets.
        """
        if len(self.start() or b"") > MAX_RESPONSE:
            raise ValueError(f"{self.name}: all together is longer than {MAX_RESPONSE} octets")
