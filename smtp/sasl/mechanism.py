"""The interface of a SASL mechanism (RFC 4422): challenges in, responses out, both as octets.

The dialog does the base64 and the command lines of RFC 4954. A mechanism is for one exchange: call
`start`, then `respond` for each challenge, then `finish` if the server accepted. No exception that
it raises holds a secret, nor do the local variables of the frames that the exception passed.
"""

from typing import Protocol

MAX_CHALLENGE = 12288
"""Octets of a decoded challenge. RFC 4954 §4 requires 12288 in base64, so this is ample."""
MAX_RESPONSE = 12288 // 4 * 3
"""Octets of a response: base64 makes 4 of 3, and by RFC 4954 §4 servers may stop at 12288."""


class SaslError(Exception):
    """The exchange failed because of what the server sent.

    Attributes:
        is_security: whether the server failed to prove that it knows the password.
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
        """Whether it discloses the password or token to the server: then it needs verified TLS."""
        ...

    @property
    def reads_challenges(self) -> bool:
        """Whether it uses the content of challenges; if not, they need not even be base64."""
        ...

    def start(self) -> bytes | None:
        """Return the initial response, or None if the server begins with a challenge.

        It is sent with the AUTH command, or as the response to an empty first challenge; `respond`
        is for the challenges after that.
        """
        ...

    def respond(self, challenge: bytes) -> bytes:
        """Return the response to a challenge.

        Raises:
            SaslError: there is no response; cancel the exchange (RFC 4954 §4).
        """
        ...

    def finish(self) -> None:
        """Complete the exchange; called once the server has accepted.

        Raises:
            SaslError: the server had to prove itself before, and did not.
        """
        ...


def check_challenge(name: str, challenge: bytes) -> None:
    """Reject a challenge that is too long.

    Raises:
        SaslError: it has more than `MAX_CHALLENGE` octets.
    """
    if len(challenge) > MAX_CHALLENGE:
        raise SaslError(f"{name}: challenge over {MAX_CHALLENGE} octets")


class SilentMechanism:
    """A base class: it has no initial response, rejects challenges, and requires no proof."""

    __slots__ = ()
    name = ""
    shows_secret = False
    reads_challenges = True

    def start(self) -> bytes | None:
        """Return None: the server begins with a challenge."""
        return None

    def respond(self, challenge: bytes) -> bytes:
        """Reject a challenge after the end of the exchange."""
        check_challenge(self.name, challenge)
        raise SaslError(f"{self.name}: unexpected challenge: the SASL exchange was complete")

    def finish(self) -> None:
        """Do nothing: the server proves nothing in this mechanism."""

    def check_size(self) -> None:
        """Check that the initial response is not too long for a server.

        Raises:
            ValueError: it has more than `MAX_RESPONSE` octets.
        """
        if len(self.start() or b"") > MAX_RESPONSE:
            raise ValueError(f"{self.name}: all together is longer than {MAX_RESPONSE} octets")
