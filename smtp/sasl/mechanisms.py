"""The SASL mechanisms that need no library, and all else that authentication is made of.

SCRAM takes a library, and so is not here but in `pykka_smtp.actors.options.scram`.
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

# Whatever else a server calls an error is not shown: it could be the token. RFC 6750 §3.1.
_STATUS = re.compile(
    rb'"status"\s{0,9}:\s{0,9}"([0-9]{3}|invalid_token|invalid_request|insufficient_scope)"'
)


class Plain(SilentMechanism):
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
        self.check_size()

    def start(self) -> bytes:
        """Return all there is to say."""
        return f"{self._authzid}\0{self._user}\0{self._password.reveal()}".encode()


class Login(SilentMechanism):
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
    reads_challenges = False

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


class CramMd5(SilentMechanism):
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


class _Bearer(SilentMechanism):
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
        self.check_size()

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
        self.check_size()

    def start(self) -> bytes:
        """Return all there is to say."""
        user = self._user.replace("=", "=3D").replace(",", "=2C")  # saslname, RFC 5801 §4
        header = f"n,a={user},\x01host={self._host}\x01port={self._port}"
        return f"{header}\x01auth=Bearer {self._token.reveal()}\x01\x01".encode()


class External(SilentMechanism):
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
