"""A corpus of injections: what must be refused by whoever is given it, before anything goes out."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pykka_smtp import Dsn, SendMail, SmtpActor

_LINE_ENDS = ("\r\n", "\n", "\r", "\0", "\r\n.\r\n", "\n.\n", "\x7f", "\x1b[2J")
_TAILS = ("", "QUIT", "MAIL FROM:<evil@x.test>", "RCPT TO:<evil@x.test>", "Bcc: evil@x.test")
_ESCAPES = (
    *("> SIZE=1", "> ORCPT=rfc822;x", ">\r\nDATA", "<", ">", " ", "@x.test", ",evil@x.test"),
    *("(x)", ";x", '"', "\\", ":", "\u2028", "\u200b", "\uff20", "\ud800", "\t"),
)


@dataclass(frozen=True, slots=True)
class Injection:
    """One item: a field, and what is put into it.

    Attributes:
        field: the name of what it is put into.
        value: what is put there.
        give: gives it; raises ValueError, or nothing is safe.
    """

    field: str
    value: Any
    give: Callable[[], object]


def injections() -> Iterator[Injection]:
    """Yield all of them."""
    for end, tail in itertools.product(_LINE_ENDS, _TAILS):
        for text in _placed("me@a.test", f"{end}{tail}"):
            for name in ("sender", "recipients", "cc", "bcc"):
                yield _mail(name, text)
            yield _option("local_hostname", text.replace("@", "."))
            yield _option("server", text.replace("@", "."))
        for text in _placed("a text", f"{end}{tail}"):
            yield _mail("subject", text)
            yield _mail("from_name", text)
            yield _mail("to_name", text)
            yield _mail("headers", {"X-Note": text})
            yield _mail("headers", {text: "x"})
        yield _mail("id", f"a{end}{tail}")
        yield _mail("dsn", f"a{end}{tail}", lambda text: Dsn(envid=text))
        yield _option("username", f"user{end}{tail}", password="x")
        yield _option("url", f"smtp://mail.d.test{end}{tail}")
        yield _option("url", f"smtp://u:p{end}{tail}@mail.d.test")
    for escape in _ESCAPES:
        for text in _placed("me@a.test", escape):
            for name in ("sender", "recipients", "cc", "bcc"):
                yield _mail(name, text)


def _placed(text: str, injected: str) -> Iterator[str]:
    """Put it in the middle, and at the end."""
    yield f"{text[:2]}{injected}{text[2:]}"
    yield f"{text}{injected}"


def _mail(name: str, value: Any, make: Callable[[Any], Any] = lambda value: value) -> Injection:
    given: dict[str, Any] = {"sender": "me@a.test", "recipients": "you@b.test"}
    return Injection(name, value, lambda: SendMail(**given | {name: make(value)}))


def _option(name: str, value: str, **others: Any) -> Injection:
    options: dict[str, Any] = {name: value, **others}
    return Injection(name, value, lambda: SmtpActor.start(**options))
