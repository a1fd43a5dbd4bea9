"""Secrets: held so that they never show, and scrubbed from what a server sends back.

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
"""What stands in the place of a secret."""
SHORTEST = 4
"""Characters of the shortest form that is scrubbed; shorter ones are in too many innocent words."""


class Secret:
    """A password or token that shows as ``***`` wherever it is printed.

    It can't be pickled, and copies are the secret itself. Two secrets of the same value are equal.

    Raises:
        TypeError: the value is no str.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, /) -> None:
        if not isinstance(value, str):
            kind = type(value).__name__
            del value
            raise TypeError(f"a secret needs a str, not {kind}")
        self._value = str.__str__(value)

    def reveal(self) -> str:
        """Return the value in clear. Keep it out of local variables where an error can arise."""
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

    They are the secret itself, its usual encodings, the messages of PLAIN, LOGIN and XOAUTH2, and
    for each secret what any base64 text around it must contain, wherever in it the secret stands.

    Args:
        secrets: passwords and tokens in clear.
        user: the user name, or None where there is none.
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
    """Replaces the forms of secrets in a text by ``***``. Build it once for a session.

    Args:
        forms: what `leaks_of` returned. Empty ones are passed over.
    """

    __slots__ = ("_forms", "_signs")

    def __init__(self, forms: Iterable[str] = ()) -> None:
        self._forms = sorted({_folded(form) for form in forms if form}, key=len)
        # Few of the forms have none of the others in them: these few are looked for in each text.
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
    """Masks secrets in the texts of one session; a token may become known in its course only.

    Args:
        redact: masks those that are known from the start.
        before: what masked those of the mail before this one in the same session.
    """

    __slots__ = ("_learned", "_redact", "_redactor")

    def __init__(
        self, redact: Callable[[str], str], before: "SessionRedactor | None" = None
    ) -> None:
        self._redact = redact
        self._learned: tuple[Secret, ...] = () if before is None else before._learned
        self._redactor: Redactor = Redactor() if before is None else before._redactor

    def learn(self, secret: Secret) -> None:
        """Mask this one as well from now on."""
        self._learned = (*self._learned, secret)
        # Whose it is does not matter: what base64 text around it must contain is a form, too.
        forms = leaks_of(*[learned.reveal() for learned in self._learned], user=None)
        self._redactor = Redactor(forms)

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        return self._redactor.redact(self._redact(text))


def _masked(text: str, folded: bytes, forms: list[bytes]) -> str:
    """Mask each octet that is part of any form: forms may overlap, and none may leave a rest."""
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
    return text.encode("utf-8", "surrogatepass")  # no text may make the scrubbing fail


def _folded(text: str) -> bytes:
    # As octets: this lowers ASCII only, so that positions stay what they were.
    return _octets(text).lower()


def _texts(secret: str) -> Iterator[str]:
    """Yield the secret as text, and as text that somebody escaped."""
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
    """Yield what a server could have got, or could take for what it got, with the secret in it."""
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
    """Yield what base64 makes of the octets, whatever stands before and behind them.

    A base64 character holds 6 bits. Where the octets begin is one of three cases; in each, the
    characters that hold bits of the octets alone are always the same.
    """
    for before in range(3):
        first, last = -(-8 * before // 6), 8 * (before + len(octets)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + octets).decode()[first:last]
