"""SASL mechanisms (RFC 4422): what to answer to a server's challenges.

A mechanism deals in octets; the base64 and the lines of RFC 4954 are the dialog's affair. It is
good for one exchange: call `start`, then `respond` for each challenge, then `finish` if the server
accepted. SCRAM needs a library and is not here; whatever is a `Mechanism` will do.

No exception from here holds a secret, nor do the local variables of the frames that it passed.
"""

import hmac
import re
from typing import Protocol

from .credentials import STRENGTH, Credentials, choose
from .saslprep import check_prepared, check_text, check_token
from .secret import Secret

__all__ = [
    "MAX_CHALLENGE",
    "MAX_RESPONSE",
    "STRENGTH",
    "CramMd5",
    "Credentials",
    "External",
    "Login",
    "Mechanism",
    "Oauthbearer",
    "Plain",
    "SaslError",
    "Xoauth2",
    "check_challenge",
    "choose",
]

MAX_CHALLENGE = 12288
"""Octets of a decoded challenge. RFC 4954 §4 asks for 12288 before decoding, so this is plenty."""
MAX_RESPONSE = 12288 // 4 * 3
"""Octets of a response: base64 makes 4 of 3, and RFC 4954 §4 lets servers stop at 12288."""

# Whatever else a server calls an error is not shown: it could be the token. RFC 6750 §3.1.
_STATUS = re.compile(
    rb'"status"\s{0,9}:\s{0,9}"([0-9]{3}|invalid_token|invalid_request|insufficient_scope)"'
)


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


class _Mechanism:
    """What mechanisms have in common; by itself one that is silent."""

    __slots__ = ()
    name = ""
    shows_secret = False

    def start(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        check_challenge(self.name, challenge)
        raise SaslError(f"{self.name}: the server asks on, though all is said")

    def finish(self) -> None:
        """Ask for nothing: the server proves nothing here."""

    def _check_size(self) -> None:
        if len(self.start() or b"") > MAX_RESPONSE:
            raise ValueError(f"{self.name}: all together is longer than {MAX_RESPONSE} octets")


class Plain(_Mechanism):
    """PLAIN (RFC 4616): user name and password in clear, in one message.

    What SASLprep prohibits is refused, because a server that follows RFC 4616 §2 would have to.
    Otherwise the octets go out as given: to prepare them is the server's part, and one that does
    not would not know a password that was changed on its way.

    Args:
        user: whose password it is.
        password: the password.
        authzid: whom to act for; empty for the user.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it.
    """

    __slots__ = ("_authzid", "_password", "_user")
    name = "PLAIN"
    shows_secret = True

    def __init__(self, user: str, password: Secret, authzid: str = "") -> None:
        check_text("username", user)
        check_text("password", password)
        check_text("authzid", authzid, may_be_empty=True)
        check_prepared("username", user, stored=False)
        check_prepared("password", password, stored=False)
        self._user, self._password, self._authzid = user, password, authzid
        self._check_size()

    def start(self) -> bytes:
        """Return all there is to say."""
        return f"{self._authzid}\0{self._user}\0{self._password.reveal()}".encode()


class Login(_Mechanism):
    """LOGIN: user name, then password, whatever the server's prompts say. It has no RFC.

    Args:
        user: whose password it is.
        password: the password.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it.
    """

    __slots__ = ("_password", "_prompts", "_user")
    name = "LOGIN"
    shows_secret = True

    def __init__(self, user: str, password: Secret) -> None:
        check_text("username", user)
        check_text("password", password)
        self._user, self._password = user, password
        self._prompts = 0

    def respond(self, challenge: bytes) -> bytes:
        """Answer the first prompt with the user name, the second with the password."""
        check_challenge(self.name, challenge)
        self._prompts += 1
        if self._prompts == 1:
            return self._user.encode()
        if self._prompts == 2:
            return self._password.reveal().encode()
        return super().respond(challenge)


class CramMd5(_Mechanism):
    """CRAM-MD5 (RFC 2195): the password stays here, a keyed digest of the challenge goes out.

    Args:
        user: whose password it is.
        password: the password.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it; or this
            Python does without MD5, as in FIPS mode.
    """

    __slots__ = ("_is_done", "_password", "_user")
    name = "CRAM-MD5"

    def __init__(self, user: str, password: Secret) -> None:
        check_text("username", user)
        check_text("password", password)
        try:
            hmac.digest(b"key", b"", "md5")
        except ValueError as error:
            raise ValueError("CRAM-MD5: this Python has no MD5; allow another mechanism") from error
        self._user, self._password = user, password
        self._is_done = False

    def respond(self, challenge: bytes) -> bytes:
        """Return user name and digest."""
        check_challenge(self.name, challenge)
        if self._is_done:
            return super().respond(challenge)
        self._is_done = True
        if not challenge:
            raise SaslError(f"{self.name}: empty challenge")
        digest = hmac.digest(self._password.reveal().encode(), challenge, "md5").hex()
        return f"{self._user} {digest}".encode()


class _Bearer(_Mechanism):
    """What the two ways to show an OAuth 2.0 token have in common.

    Attributes:
        error_status: what the server said was wrong with the token, such as ``"401"`` or
            ``"invalid_token"``; None if it said nothing that is known.
    """

    __slots__ = ("_is_refused", "_token", "_user", "error_status")
    shows_secret = True
    _farewell = b""

    def __init__(self, user: str, token: Secret) -> None:
        check_text("username", user)
        check_token("token", token)
        self._user, self._token = user, token
        self._is_refused = False
        self.error_status: str | None = None

    def respond(self, challenge: bytes) -> bytes:
        """Take note of the server's error; its refusal comes once it is acknowledged."""
        check_challenge(self.name, challenge)
        if self._is_refused:
            return super().respond(challenge)
        self._is_refused = True
        match = _STATUS.search(challenge)
        if match is not None:
            self.error_status = match[1].decode()
        return self._farewell


class Xoauth2(_Bearer):
    """XOAUTH2: an OAuth 2.0 token, as Google and Microsoft take it.

    Args:
        user: whose token it is.
        token: the token, without the word ``Bearer``.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it.
    """

    __slots__ = ()
    name = "XOAUTH2"

    def __init__(self, user: str, token: Secret) -> None:
        super().__init__(user, token)
        self._check_size()

    def start(self) -> bytes:
        """Return all there is to say."""
        return f"user={self._user}\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()


class Oauthbearer(_Bearer):
    """OAUTHBEARER (RFC 7628 §3.1): an OAuth 2.0 token.

    Args:
        user: whose token it is.
        token: the token, without the word ``Bearer``.
        host: the server's name as it was asked for.
        port: the server's port.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it.
    """

    __slots__ = ("_host", "_port")
    name = "OAUTHBEARER"
    _farewell = b"\x01"  # RFC 7628 §3.2.3

    def __init__(self, user: str, token: Secret, host: str, port: int) -> None:
        super().__init__(user, token)
        check_text("host", host)
        self._host, self._port = host, port
        self._check_size()

    def start(self) -> bytes:
        """Return all there is to say."""
        user = self._user.replace("=", "=3D").replace(",", "=2C")  # saslname, RFC 5801 §4
        header = f"n,a={user},\x01host={self._host}\x01port={self._port}"
        return f"{header}\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()


class External(_Mechanism):
    """EXTERNAL (RFC 4422 appendix A): the client's TLS certificate says who it is.

    Args:
        authzid: whom to act for; empty for whom the certificate names.

    Raises:
        ValueError: the name is too long, or has a character that must not be in it.
    """

    __slots__ = ("_authzid",)
    name = "EXTERNAL"

    def __init__(self, authzid: str = "") -> None:
        check_text("authzid", authzid, may_be_empty=True)
        self._authzid = authzid

    def start(self) -> bytes:
        """Return the name, which may be empty."""
        return self._authzid.encode()
