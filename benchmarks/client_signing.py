"""Signing a complete mail with DKIM, without sending it; figures are processor time.

Arguments: ``who``: one of `WHO`; ``kind``: ``"rsa"`` or ``"ed25519"``; ``octets``: the mail's
size; ``count``.
"""

import base64
import importlib
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from pykka_smtp import Dkim
from pykka_smtp.signals.signing.dkim import signed
from pykka_smtp.smtp.mail.content import CompleteContent

from .mail import mail_of
from .measure import Stopwatch, arguments, report

DOMAIN, SELECTOR = "example.com", "bench"


def ours(key: Any, data: bytes) -> Callable[[], object]:
    """Sign as a send does, up to what the dialog gets."""
    signers = (Dkim(DOMAIN, SELECTOR, key=key),)
    content = CompleteContent(data)
    return lambda: signed(content, signers).render(eight_bit=False)


def unsigned(_key: Any, data: bytes) -> Callable[[], object]:
    """Do what a send does without a signature: the rest is its price."""
    content = CompleteContent(data)
    return lambda: content.render(eight_bit=False)


def raw(key: Any, data: bytes) -> Callable[[], object]:
    """Sign as many octets as a header has: OpenSSL's own share."""
    signer = Dkim(DOMAIN, SELECTOR, key=key)
    octets = data[:600]
    return lambda: signer._key.sign(octets)


def dkimpy(key: Any, data: bytes) -> Callable[[], object]:
    """Sign the same with dkimpy."""
    # Not by a statement: type checkers take it for a folder of the tests.
    dkim: Any = importlib.import_module("dkim")

    if isinstance(key, rsa.RSAPrivateKey):
        form = serialization.PrivateFormat.TraditionalOpenSSL
        told = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        algorithm = b"rsa-sha256"
    else:
        told = base64.b64encode(key.private_bytes_raw())
        algorithm = b"ed25519-sha256"
    relaxed = (b"relaxed", b"relaxed")
    return lambda: dkim.sign(
        data,
        SELECTOR.encode(),
        DOMAIN.encode(),
        told,
        canonicalize=relaxed,
        signature_algorithm=algorithm,
    )


WHO: dict[str, Callable[[Any, bytes], Callable[[], object]]] = {
    function.__name__: function for function in (ours, raw, dkimpy)
}


def main() -> None:
    """Do it over and over."""
    told = arguments()
    key: Any = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if told["kind"] == "rsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    count = told["count"]
    data = mail_of(told["octets"])
    sign = WHO[told["who"]](key, data)
    if told["who"] != "ours":
        report(microseconds=_time_of(sign, count))
        return
    mine, others = _in_turn((sign, raw(key, data), unsigned(key, data)), count)
    report(microseconds=median(mine), beyond=median(mine) - sum(map(median, others)))


def _in_turn(
    calls: Sequence[Callable[[], object]], count: int
) -> tuple[list[float], list[list[float]]]:
    """Return the microseconds of each call of the first one, and of each of the others.

    One after the other, and not each over and over: OpenSSL alone, with nothing between, has its
    tables in the processor's caches, which it has not in a program.
    """
    times: list[list[float]] = [[] for _ in calls]
    for number in range(count + count // 10 + 1):
        for taken, call in zip(times, calls, strict=True):
            began = time.process_time_ns()
            call()
            if number > count // 10:
                taken.append((time.process_time_ns() - began) / 1000)
    return times[0], times[1:]


def _time_of(sign: Callable[[], object], count: int) -> float:
    for _ in range(count // 10 + 1):
        sign()
    watch = Stopwatch()
    for _ in range(count):
        sign()
    return watch.cpu() / count * 1e6


if __name__ == "__main__":
    main()
