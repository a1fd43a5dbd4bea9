"""A server for the dialog's fuzzing: it knows what would be right, and what could be wrong."""

import base64
import functools
import importlib
from typing import Any

from .choices import Choices
from .ledger import Ledger
from .scene import PASSWORD, Scene
from .transaction import Item, Transaction

CODES = (
    *(250, 550, 450, 421, 354, 220, 221, 251, 235, 334, 500, 502, 503, 535, 552, 554, 200, 299),
    *(300, 399, 400, 499, 504, 521, 530, 534, 599),
)
_TEXTS = (
    *(b"ok", b"", b"2.0.0 ok", b"5.7.1 no", b"4.3.0 later", b"\x1b[2J\0", b"\xff\xe4", b"x" * 600),
    *(b"PIPELINING", b"STARTTLS", b"AUTH PLAIN LOGIN", b"CHUNKING", b"SIZE 1", b"LIMITS RCPTMAX=1"),
    *(b"VXNlcm5hbWU6", b"=", b"!", b"\t", b"250 ok\r", b"mx.test"),
)
_RAW = (
    *(
        b"2",
        b"25",
        b"250",
        b"250-",
        b"250 ok\r",
        b"\r\n",
        b"\n",
        b"250-ok\r\n550 no\r\n",
        b"250_ok\r\n",
    ),
    *(
        b"2500 ok\r\n",
        b"+25 ok\r\n",
        b"250-ok\r\n",
        b"HTTP/1.1 400 Bad\r\n\r\n",
        b"\0" * 9,
        b"421\r\n",
    ),
    *(b"250 ok\n", b"250 ok\r\n250 ok\r\n", b"x" * 5000, b"250-\r\n" * 300),
)


class Server:
    """Says what is right, or not, to the oldest command that has no answer.

    Args:
        scene: what it offers.
        ledger: what was said so far.
    """

    def __init__(self, scene: Scene, ledger: Ledger) -> None:
        self._scene = scene
        self._ledger = ledger
        self._rounds = 0  # of AUTH
        self._mechanism = ""
        self._scram: Any = None
        self.held = b""  # the second half of a reply whose first half went out

    def right(self) -> bytes:
        """What is right; nothing if nothing is owed."""
        if self.held:
            held, self.held = self.held, b""
            return held
        if not self._ledger.owed:
            return b""
        item = self._ledger.owed[0]
        match item.verb:
            case "GREETING":
                return b"220 mx.test ESMTP\r\n"
            case "EHLO" | "LHLO":
                offers = self._scene.offers[self._ledger.in_tls]
                lines = [b"mx.test", *(line.encode() for line in offers)]
                return reply(250, *lines)
            case "STARTTLS":
                return b"220 2.0.0 go ahead\r\n"
            case "AUTH" | "RESPONSE":
                return self._authenticate(item)
            case "DATA":
                assert item.transaction is not None
                taken = item.transaction.taken
                return b"354 go ahead\r\n" if taken else b"503 5.5.1 no recipients\r\n"
            case "END" if item.transaction is not None and _is_for_nobody(item.transaction):
                return b"503 5.5.1 no recipients\r\n"
            case "QUIT":
                return b"221 2.0.0 bye\r\n"
            case _:
                return b"250 2.0.0 ok\r\n"

    def other(self, choices: Choices) -> bytes:
        """A whole reply, of any code and text."""
        code = choices.pick(CODES) if choices.below(8) else 200 + choices.below(400)
        return reply(code, *[choices.pick(_TEXTS) for _ in range(choices.pick((1, 1, 1, 2, 3)))])

    def refusal(self, choices: Choices) -> bytes:
        """A refusal for now, for good, or of everything."""
        code = choices.pick((450, 451, 550, 554, 503, 421))
        return reply(code, b"no")

    def rubbish(self, choices: Choices) -> bytes:
        """Octets that are no whole reply, for the most part."""
        return choices.octets(12) if choices.one_in(3) else choices.pick(_RAW)

    def twisted(self, choices: Choices) -> bytes:
        """What is right, but for one octet."""
        right = self.right()
        if not right:
            return b""
        place = choices.below(len(right))
        new = choices.pick(
            (b"", b"7", b"\r", b"\n", b"-", b" ", b"5", b"\0", right[place:][:1] * 2)
        )
        return right[:place] + new + right[place + 1 :]

    def half(self, choices: Choices) -> bytes:
        """The first half of what is right, or of a verdict; the rest is what is right next."""
        right = self.right() or b"250 2.0.0 ok\r\n"
        place = choices.below(len(right))
        self.held = right[place:]
        return right[:place]

    def echo(self, choices: Choices) -> bytes:
        """A reply that repeats what the client said, or what it keeps secret."""
        last = self._ledger.owed[0].line if self._ledger.owed else b""
        known = self._scene.secret if self._scene.is_secret_known else None
        secret = (known or "x").encode()
        text = choices.pick(
            (
                *(last, secret, b"wrong: " + last.partition(b" ")[2], base64.b64encode(secret)),
                *(b"a" + secret + b"z", secret.hex().encode(), repr(secret.decode()).encode()),
            )
        )
        return reply(choices.pick((535, 250, 334, 501, 421, 454)), text)

    def _authenticate(self, item: Item) -> bytes:
        words = item.line.split(b" ")
        if item.verb == "AUTH":
            self._mechanism, self._rounds = words[1].decode(), 0
        self._rounds += 1
        response = words[-1] if item.verb == "RESPONSE" or len(words) > 2 else None
        match self._mechanism, self._rounds:
            case "LOGIN", 1:
                return b"334 VXNlcm5hbWU6\r\n"
            case "LOGIN", 2:
                return b"334 UGFzc3dvcmQ6\r\n"
            case "CRAM-MD5", 1:
                return b"334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UuZXhhbXBsZS5uZXQ+\r\n"
            case (("SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS"), _) if response is not None:
                return self._scram_round(response)
            case _:
                return b"501 5.5.2 cancelled\r\n" if response == b"*" else b"235 2.7.0 welcome\r\n"

    def _scram_round(self, response: bytes) -> bytes:
        """Answer by the library's own server."""
        scramp: Any = importlib.import_module("scramp")
        try:
            message = base64.b64decode(response).decode()
            if self._rounds == 1:
                mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
                self._scram = mechanism.make_server(lambda _user: _scram_secret())
                self._scram.set_client_first(message)
                return b"334 " + base64.b64encode(self._scram.get_server_first().encode()) + b"\r\n"
            if self._rounds == 2:
                self._scram.set_client_final(message)
                return b"334 " + base64.b64encode(self._scram.get_server_final().encode()) + b"\r\n"
        except (scramp.ScramException, ValueError, AttributeError):
            return b"535 5.7.8 no\r\n"
        return b"235 2.7.0 welcome\r\n"


def _is_for_nobody(transaction: Transaction) -> bool:
    """Whether all recipients are refused: only a speculative mail comes as far as its end then."""
    if transaction.is_refused:
        return True
    return not transaction.taken and all(rcpt.code is not None for rcpt in transaction.rcpts)


@functools.cache
def _scram_secret() -> Any:
    scramp: Any = importlib.import_module("scramp")
    return scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(PASSWORD, iteration_count=4096)


def reply(code: int, *texts: bytes) -> bytes:
    """Write a reply (RFC 5321 §4.2.1)."""
    lines = [
        b"%d%b%b\r\n" % (code, b" " if number == len(texts) else b"-", text)
        for number, text in enumerate(texts, 1)
    ]
    return b"".join(lines)
