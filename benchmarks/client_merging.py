"""A mail merge: emails made of a template, and signed with DKIM.

Arguments: ``what``: one of `MAKING`, ``"rsa"`` or ``"send"``; ``count``; to send, also ``port``
and ``limit``, the connections.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from cryptography.hazmat.primitives.asymmetric import rsa

from pykka_smtp import (
    Attachment,
    Dkim,
    Mailer,
    SendMail,
    SendSuccess,
    Template,
    smtp_send_failure,
    smtp_send_success,
)
from pykka_smtp.signals.signing.dkim import signed

from .client_compose_parts import IMAGE
from .mail import CLIENT_NAME, SENDER
from .measure import Stopwatch, arguments, report
from .processes import HOST

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_DKIM = Dkim("example.com", "bench", key=_KEY)
_TEMPLATE = Template(
    subject="News for {{ name }}",
    body="Dear {{ name }},\n\n" + "the quick brown fox jumps over the lazy dog.\n" * 20,
    html='<p><img src="cid:logo">Dear {{ name }},</p>\n'
    + "<p>the quick brown fox jumps over the lazy dog.</p>\n" * 20,
    inline={"logo": Attachment(IMAGE[:2_000], name="logo.png")},
)
_HEADER = b"x" * 600
"""As many octets as a signature covers of the header."""


def mail(number: int) -> SendMail:
    """Make one reader's email."""
    return _TEMPLATE.mail(
        sender=SENDER, recipients=f"reader-{number}@example.org", name=f"Reader {number}"
    )


def unsigned(number: int) -> object:
    """Make one, and write it as mail data."""
    content = mail(number).content
    assert content is not None
    return content.render(eight_bit=True)


def whole(number: int) -> object:
    """Make one, and sign it."""
    content = mail(number).content
    assert content is not None
    return signed(content, (_DKIM,))


def openssl(_number: int) -> object:
    """Sign as many octets as a header has: OpenSSL's own share."""
    return _DKIM._key.sign(_HEADER)


MAKING: dict[str, Callable[[int], object]] = {
    function.__name__: function for function in (unsigned, whole, openssl)
}


def send(port: int, count: int, limit: int) -> dict[str, float]:
    """Send them with a Mailer that signs."""
    mailer = Mailer.start(HOST, port, max_connections=limit, dkim=_DKIM, local_hostname=CLIENT_NAME)
    left, sent, done = count, 0, Event()

    def hear(_alias: str, outcome: object, **_extra: object) -> None:
        nonlocal left, sent
        left -= 1
        sent += isinstance(outcome, SendSuccess)
        if not left:
            done.set()

    smtp_send_success.connect(hear)
    smtp_send_failure.connect(hear)

    def mails() -> Iterator[SendMail]:
        yield from map(mail, range(count))

    watch = Stopwatch()
    mailer.tell_all(mails())
    done.wait()
    seconds, cpu = watch.seconds(), watch.cpu()
    mailer.stop()
    return {"seconds": seconds, "cpu": cpu, "sent": sent}


def signatures(count: int) -> dict[str, float]:
    """Make signatures, and nothing else, on all processors at once."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        watch = Stopwatch()
        # In few tasks: what a pool takes for each is not to be measured.
        list(pool.map(lambda _: [openssl(0) for _ in range(count // workers)], range(workers)))
        seconds, cpu = watch.seconds(), watch.cpu()
    return {"seconds": seconds, "cpu": cpu, "sent": count // workers * workers}


def main() -> None:
    """Do as told."""
    told = arguments()
    what, count = told["what"], told["count"]
    if what == "send":
        report(**send(told["port"], count, told["limit"]))
        return
    if what == "rsa":
        report(**signatures(count))
        return
    make = MAKING[what]
    for number in range(count // 10 + 1):
        make(number)
    watch = Stopwatch()
    for number in range(count):
        make(number)
    report(microseconds=watch.cpu() / count * 1e6)


if __name__ == "__main__":
    main()
