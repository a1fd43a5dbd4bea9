"""Who may log in to the servers of the tests."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from types import MappingProxyType

USER = "user@mx.test"
"""The user of every server that offers AUTH."""
PASSWORD = 'p@ss word%&+=:/?#"'
"""Its password: octets that a URL or a configuration file would not take as they are."""

USERS: Mapping[str, str] = MappingProxyType({USER: PASSWORD})
"""The default of each server's ``users``."""

SIGNING_KEY = b"the servers of the tests know this key"
"""Servers that verify tokens do it with this one."""
NEVER = 4_102_444_800
"""The year 2100, in seconds since 1970."""


def bearer_token(user: str = USER, *, expires: int = NEVER) -> str:
    """Make an OAuth 2.0 bearer token, a JSON Web Token (RFC 7519) that the servers can verify.

    Args:
        user: whose token it is.
        expires: seconds since 1970.
    """
    claims = {"sub": user, "iat": 1, "exp": expires}
    signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    signature = hmac.digest(SIGNING_KEY, signed.encode(), hashlib.sha256)
    return f"{signed}.{_base64url(signature)}"


def _encoded(value: object) -> str:
    return _base64url(json.dumps(value).encode())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


TOKEN = bearer_token()
"""The user's token, good for every server that offers XOAUTH2 or OAUTHBEARER."""
EXPIRED_TOKEN = bearer_token(expires=2)
"""A token that was good once."""
