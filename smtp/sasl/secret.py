"""Secrets: never shown when printed, and redacted from what a server sends back.

Nothing here may put a secret in an exception or leave it in a local variable of a frame that
raises: tools that report errors print the local variables of each frame.
"""

import base64
import json
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from ..words.shown import text_shown

MASK = "***"
"""The text that replaces a secret."""
SHORTEST = 4
"""Characters of the shortest form that is redacted; shorter ones are in too many harmless words."""


class Secret:
    """A password or token that shows as ``***`` wherever it is printed.

    It can't be pickled; copying it returns the same object. Secrets of the same value are equal.

    Raises:
        TypeError: the value is not a str.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, /) -> None:
        if not isinstance(value, str):
            kind = type(value).__name__
            del value
            raise TypeError(f"a secret needs a str, not {kind}")
        self._value = str.__str__(value)

    def reveal(self) -> str:
        """Return the value itself. Keep it out of local variables of frames that may raise."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is never pickled: it would stand there in clear")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self.__getstate__()


def leaks_of(*secrets: str, user: str | None) -> tuple[str, ...]:
    """Return the forms in which a server could send secrets back, longest first.

    They are the secret itself, its usual encodings, the responses of PLAIN, LOGIN and XOAUTH2, and
    for each secret the characters that any base64 text with the secret in it must contain.

    Args:
        secrets: passwords and tokens, revealed.
        user: the user name, or None if there is none.
    """
    forms: set[str] = set()
    for secret in secrets:
        if secret:
            forms.update(_texts(secret), _hexadecimals(_octets(secret)), _cores(_octets(secret)))
            for message in _messages(_octets(secret), _octets(user or "")):
                forms.update(_base64(message))
    if forms and user:
        forms.update(_base64(_octets(user)))  # the first half of LOGIN
    long_enough = [form for form in forms if len(form) >= SHORTEST]
    return tuple(sorted(long_enough, key=lambda form: (-len(form), form)))


class Redactor:
    """Replaces the forms of secrets in a text by ``***``. Make it once for a session.

    Args:
        forms: what `leaks_of` returned. Empty forms are ignored.
    """

    __slots__ = ("_forms", "_signs")

    def __init__(self, forms: Iterable[str] = ()) -> None:
        self._forms = sorted({_folded(form) for form in forms if form}, key=len)
        # Only a few forms contain no other form. A text without these few has none of the forms, so
        # only they are searched for in each text.
        self._signs: list[bytes] = []
        for form in self._forms:
            if not any(sign in form for sign in self._signs):
                self._signs.append(form)

    def redact(self, text: str) -> str:
        """Return the text without the secrets. ASCII letters match in either case."""
        if not self._signs:
            return text
        folded = _folded(text)
        for sign in self._signs:
            if sign in folded:
                return _masked(text, folded, self._forms)
        return text


class SessionRedactor:
    """Redacts secrets in the texts of one session, even a token that is fetched during it.

    Args:
        redact: redacts the secrets that are known from the start.
        before: the redactor of the previous email in the same session, or None.
    """

    __slots__ = ("_learned", "_redact", "_redactor")

    def __init__(
        self, redact: Callable[[str], str], before: "SessionRedactor | None" = None
    ) -> None:
        self._redact = redact
        self._learned: tuple[Secret, ...] = () if before is None else before._learned
        self._redactor: Redactor = Redactor() if before is None else before._redactor

    def learn(self, secret: Secret) -> None:
        """Redact this secret as well from now on."""
        self._learned = (*self._learned, secret)
        # Without the user name: any base64 text with user name and secret has a form of the secret.
        forms = leaks_of(*[learned.reveal() for learned in self._learned], user=None)
        self._redactor = Redactor(forms)

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        return self._redactor.redact(self._redact(text))


def _masked(text: str, folded: bytes, forms: list[bytes]) -> str:
    """Redact each octet that is part of any form; forms may overlap, and no part may remain."""
    octets = _octets(text)
    parts: list[bytes] = []
    end = 0  # of what is in parts
    for first, last in sorted(span for form in forms for span in _spans(folded, form)):
        if first > end or not parts:
            parts += (octets[end:first], MASK.encode())
        end = max(end, last)
    parts.append(octets[end:])
    return b"".join(parts).decode("utf-8", "surrogatepass")


def _spans(folded: bytes, form: bytes) -> Iterator[tuple[int, int]]:
    start = folded.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = folded.find(form, start + 1)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # redaction must not fail on any text


def _folded(text: str) -> bytes:
    # As octets: this lowers only ASCII, so that positions stay the same.
    return _octets(text).lower()


def _texts(secret: str) -> Iterator[str]:
    """Yield the secret as text, and its usual escaped forms."""
    yield secret
    yield from (secret.lower(), secret.upper())  # a Redactor ignores the case of ASCII only
    yield from (repr(secret)[1:-1], json.dumps(secret)[1:-1], ascii(secret)[1:-1])
    for octets in _encoded(secret):
        yield text_shown(octets)
        yield text_shown(octets).replace("\\", "\\\\")  # an error message that quotes a reply
        yield from (urllib.parse.quote(octets), urllib.parse.quote(octets, safe=""))
        yield urllib.parse.quote_plus(octets)
        yield repr(octets)[2:-1]


def _encoded(secret: str) -> Iterator[bytes]:
    yield _octets(secret)
    if not secret.isascii() and max(secret) <= "\xff":
        yield secret.encode("latin-1")


def _hexadecimals(octets: bytes) -> Iterator[str]:
    for text in (octets.hex(), octets.hex(" "), octets.hex(":")):
        yield from (text, text.upper())


def _messages(secret: bytes, user: bytes) -> Iterator[bytes]:
    """Yield the responses with the secret in them, and what a server may decode them to."""
    messages = [secret]
    if user:
        messages += (
            b"\0%b\0%b" % (user, secret),  # PLAIN, RFC 4616 §2
            b"%b\0%b\0%b" % (user, user, secret),
            b"%b\0%b" % (user, secret),
            b"%b:%b" % (user, secret),
            b"user=%b\x01auth=Bearer %b\x01\x01" % (user, secret),  # XOAUTH2
        )
    for message in messages:
        yield from (message, message + b"\n", message + b"\r\n")


def _base64(octets: bytes) -> Iterator[str]:
    for encoded in (base64.b64encode(octets), base64.urlsafe_b64encode(octets)):
        text = encoded.decode()
        yield from (text, text.rstrip("="))


def _cores(octets: bytes) -> Iterator[str]:
    """Yield the base64 characters that the octets produce, whatever precedes and follows them.

    A base64 character holds 6 bits. The octets begin at one of three positions; at each of them,
    the characters that hold bits only of these octets are always the same.
    """
    for before in range(3):
        first, last = -(-8 * before // 6), 8 * (before + len(octets)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + octets).decode()[first:last]
