"""Emails and outcomes under seal: encrypted by functions of the program, before they are written.

What the file must know stays as it is: keys, ids, aliases, times, states, and the counts that a
statement reads.
"""

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

Function = Callable[[bytes], bytes]

_SEALED = "sealed"
_PLAIN = ("count", "maybe")
"""Members that statements read: the count of attempts, and whether one may have been accepted."""
_PROOF = b"pykka-smtp outbox"
NO_DIGEST = b""
"""The digest of a sealed email: with another, anybody could try out what it may say."""


class SealError(Exception):
    """A function of the program could not seal something. It says no secret."""


class Seals:
    """Seals texts and octets, and opens them.

    Args:
        seal: encrypts.
        open_: decrypts; raises if it cannot.
    """

    def __init__(self, seal: Function, open_: Function) -> None:
        self._seal = seal
        self._open = open_

    def body(self, data: bytes) -> bytes:
        """Seal a body.

        Raises:
            SealError: the function of the program has raised.
        """
        try:
            return _checked(self._seal(data))
        except Exception as error:
            # Not what it says: it may be about the key.
            raise SealError(f"seal has raised {type(error).__name__}") from None

    def text(self, text: str) -> str:
        """Seal an object of JSON; return one. One that is sealed stays as it is."""
        made: dict[str, Any] = json.loads(text)
        if _SEALED in made:
            return text
        plain = {name: made[name] for name in _PLAIN if name in made}
        octets = self.body(text.encode("utf-8", "surrogatepass"))
        return json.dumps(plain | {_SEALED: base64.b64encode(octets).decode("ascii")})

    def open_text(self, text: str) -> str:
        """Open an object of JSON; one that is not sealed stays as it is.

        Raises:
            ValueError: it cannot be opened.
        """
        sealed = sealed_of(text)
        if sealed is None:
            return text
        return self._opened(sealed).decode("utf-8", "surrogatepass")

    def open_body(self, data: bytes) -> bytes:
        """Open a body.

        Raises:
            ValueError: it cannot be opened.
        """
        return self._opened(data)

    def proof(self) -> str:
        """Return what shows that a later start has the right functions."""
        return base64.b64encode(self.body(_PROOF)).decode("ascii")

    def opens(self, proof: str) -> bool:
        """Whether these functions open what the same have sealed."""
        try:
            return self._opened(base64.b64decode(proof, validate=True)) == _PROOF
        except (ValueError, binascii.Error):
            return False

    def _opened(self, data: bytes) -> bytes:
        try:
            return _checked(self._open(data))
        except Exception as error:
            # Not what it says: it may be about the key.
            raise ValueError(f"it cannot be opened ({type(error).__name__})") from None


def sealed_of(text: str) -> bytes | None:
    """Return what is sealed in an object of JSON; None if nothing is."""
    if f'"{_SEALED}"' not in text:
        return None
    try:
        made: Any = json.loads(text)
        is_sealed = set(made) <= {*_PLAIN, _SEALED}
        return base64.b64decode(made[_SEALED], validate=True) if is_sealed else None
    except (ValueError, TypeError, KeyError):
        return None


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"seal and open need to return bytes, not {type(data).__name__}")
    return data
