"""The SASL mechanisms that need no library, and the other public names of authentication.

SCRAM needs a library, and so is in `pykka_smtp.actors.options.scram`.
"""

import hmac
import re

from .credentials import STRENGTH, Credentials
from .mechanism import (
    MAX_CHALLENGE,
    MAX_RESPONSE,
    Mechanism,
    SaslError,
    SilentMechanism,
    check_challenge,
)
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
]

# Only these error codes (RFC 6750 §3.1) are shown: any other text of the server's could be the
# token.
_STATUS = re.compile(
    rb'"status"\s{0,9}:\s{0,9}"([0-9]{3}|invalid_token|invalid_request|insufficient_scope)"'
)


class Plain(SilentMechanism):
    """PLAIN (RFC 4616): user name and password in plaintext, in one response.

    Characters that SASLprep prohibits are rejected, as a server that follows RFC 4616 §2 must
    reject them. Otherwise the octets are sent as given: preparing them is the server's task, and a
    server that does not do it would reject a prepared password.

    Args:
        user: the user name.
        password: the password.
        authzid: the identity to act as; empty for the user's own.

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
        self.check_size()

    def start(self) -> bytes:
        """Return the only response."""
        return f"{self._authzid}\0{self._user}\0{self._password.reveal()}".encode()


class Login(SilentMechanism):
    """LOGIN: user name, then password, whatever the server's prompts say. It has no RFC.

    Args:
        user: the user name.
        password: the password.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it.
    """

    __slots__ = ("_password", "_prompts", "_user")
    name = "LOGIN"
    shows_secret = True
    reads_challenges = False

    def __init__(self, user: str, password: Secret) -> None:
        check_text("username", user)
        check_text("password", password)
        self._user, self._password = user, password
        self._prompts = 0

    def respond(self, challenge: bytes) -> bytes:
        """Return the user name for the first prompt, the password for the second."""
        check_challenge(self.name, challenge)
        self._prompts += 1
        if self._prompts == 1:
            return self._user.encode()
        if self._prompts == 2:
            return self._password.reveal().encode()
        return super().respond(challenge)


class CramMd5(SilentMechanism):
    """CRAM-MD5 (RFC 2195): sends a keyed digest of the challenge, and not the password.

    Args:
        user: the user name.
        password: the password.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it; or this
            Python has no MD5, as in FIPS mode.
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


class _Bearer(SilentMechanism):
    """A base class of the mechanisms that send an OAuth 2.0 token.

    Attributes:
        error_status: the server's error code for the token, such as ``"401"`` or
            ``"invalid_token"``; None if it sent none that is known.
    """

    __slots__ = ("_is_refused", "_token", "_user", "error_status")
    shows_secret = True
    _error_response = b""

    def __init__(self, user: str, token: Secret) -> None:
        check_text("username", user)
        check_token("token", token)
        self._user, self._token = user, token
        self._is_refused = False
        self.error_status: str | None = None

    def respond(self, challenge: bytes) -> bytes:
        """Read the server's error, and return the response after which the server rejects AUTH."""
        check_challenge(self.name, challenge)
        if self._is_refused:
            return super().respond(challenge)
        self._is_refused = True
        match = _STATUS.search(challenge)
        if match is not None:
            self.error_status = match[1].decode()
        return self._error_response


class Xoauth2(_Bearer):
    """XOAUTH2: an OAuth 2.0 token, in the form of Google and Microsoft.

    Args:
        user: the user name.
        token: the token, without the word ``Bearer``.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it.
    """

    __slots__ = ()
    name = "XOAUTH2"

    def __init__(self, user: str, token: Secret) -> None:
        super().__init__(user, token)
        self.check_size()

    def start(self) -> bytes:
        """Return the only response."""
        return f"user={self._user}\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()


class Oauthbearer(_Bearer):
    """OAUTHBEARER (RFC 7628 §3.1): an OAuth 2.0 token.

    Args:
        user: the user name.
        token: the token, without the word ``Bearer``.
        host: the server's name, as configured.
        port: the server's port.

    Raises:
        ValueError: a field is empty, too long, or has a character that must not be in it.
    """

    __slots__ = ("_host", "_port")
    name = "OAUTHBEARER"
    _error_response = b"\x01"  # RFC 7628 §3.2.3

    def __init__(self, user: str, token: Secret, host: str, port: int) -> None:
        super().__init__(user, token)
        check_text("host", host)
        self._host, self._port = host, port
        self.check_size()

    def start(self) -> bytes:
        """Return the only response."""
        user = self._user.replace("=", "=3D").replace(",", "=2C")  # saslname, RFC 5801 §4
        header = f"n,a={user},\x01host={self._host}\x01port={self._port}"
        return f"{header}\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()


class External(SilentMechanism):
    """EXTERNAL (RFC 4422 appendix A): the client is authenticated by its TLS certificate.

    Args:
        authzid: the identity to act as; empty for the one that the certificate names.

    Raises:
        ValueError: the name is too long, or has a character that must not be in it.
    """

    __slots__ = ("_authzid",)
    name = "EXTERNAL"

    def __init__(self, authzid: str = "") -> None:
        check_text("authzid", authzid, may_be_empty=True)
        self._authzid = authzid

    def start(self) -> bytes:
        """Return the identity to act as, which may be empty."""
        return self._authzid.encode()
