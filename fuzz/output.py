"""The third target: all that goes out."""

# Invariant: whatever a caller gives for addresses, names, subject, header fields, options, body or
# a complete mail, it is refused with a ValueError before anything goes out, or what goes out is
# exactly one transaction of valid commands with the addresses that were given, no bare CR or LF,
# the header fields that were asked for and no others, and, once transparency is undone, the body
# that went in, however it was cut into pieces on its way.

import base64
import quopri
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pykka_smtp.signals.send_mail import SendMail
from pykka_smtp.smtp.mail.delivery_options import Dsn
from pykka_smtp.smtp.mail.mail_data import MailDataEncoder, MailScanner, encode_whole, scan
from pykka_smtp.smtp.session.opening.session import TlsPolicy
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

from .choices import Choices
from .client import Client
from .ledger import Ledger
from .scene import Mail, Scene
from .server import Server
from .transaction import Transaction
from .violation import Hang, insist

_MILD = (
    *(
        "a",
        "b",
        "mail",
        " ",
        "x y",
        ".",
        "@",
        ",",
        ";",
        ":",
        "<",
        ">",
        '"',
        "\\",
        "(",
        ")",
        "[",
        "]",
    ),
    *(
        "\u00e4",
        "\u5c71",
        "\U0001f600",
        "=?utf-8?q?x?=",
        "=?",
        "?=",
        "=",
        "+",
        "%0d%0a",
        "..",
        "\xa0",
    ),
    *("Bcc: evil@x.test", "MAIL FROM:<evil@x.test>", "> SIZE=1", "QUIT", "a@b.test", "\u2028"),
    *("word " * 20, "x" * 80, "\u00e4" * 40, "  ", "'", "\u00fc\u0308", "\u202e"),
)
_HOSTILE = (
    *("\r\n", "\n", "\r", "\0", "\t", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\ud800", "y" * 1100),
    *("\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n\r\n", "\r\n.", "\r\r\n", "\n\r"),
    *("\r\nBcc: evil@x.test", "\r\n.\r\nMAIL FROM:<evil@x.test>\r\n", "DATA\r\n"),
)
_ADDRESSES = (
    *("c@d.test", '"a b"@d.test', "postmaster", "x@[192.0.2.1]", "u@\u5c71.test", "\u5c71@d.test"),
    *("a+b=c@d.test", "A@D.test", '"\\"@\\\\"@d.test', "o'brien@d.test", "x@[IPv6:2001:db8::1]"),
)
_NAMES = (
    *("X-Note", "Reply-To", "Subject", "From", "To", "List-Id", "Comments", "Date", "Message-ID"),
    *(
        "Content-Type",
        "References",
        "MIME-Version",
        "Bcc",
        "X Note",
        "X-Note:",
        "",
        "\u00e4",
        "X\r\nY",
    ),
)
_OFFERS = (
    ("PIPELINING", "8BITMIME", "SIZE", "SMTPUTF8", "CHUNKING", "DSN"),
    ("SIZE 10240000", "SMTPUTF8", "DSN"),
    ("PIPELINING", "8BITMIME", "BINARYMIME", "CHUNKING"),
    (),
)
_GENERATED = ("from", "to", "subject", "date", "message-id")
_OURS = ("mime-version", "content-type", "content-transfer-encoding")
_FIELD = re.compile(rb"([!-9;-~]+):((?: [^\r\n]*|)(?:\r\n[ \t][^\r\n]*)*)\r\n")
_WORD = re.compile(r"=\?utf-8\?([qb])\?([!-~]*?)\?=")
_MOST_STEPS = 64

SEEDS: Sequence[bytes] = (
    b"",
    bytes(64),
    b"\x01\x00\x04.\r\n.\x00",
    bytes([0, 1, 0, 2, 0, 3, 18, 19, 20, 35, 36]),
    bytes([0, 0, 5, 18, 48, 18, 48, 18, 48]),
    bytes([2, 4, 18, 48, 22, 60, 5, 5, 48, 49, 50]),
)
"""Inputs to begin with."""


def run(data: bytes) -> str:
    """Write one mail.

    Returns:
        What became of it, in a word or two.
    """
    choices = Choices(data)
    if choices.below(3) == 1:
        return _encode(choices)
    try:
        mail, given = _make(choices)
    except ValueError as error:
        insist(str(error).isprintable() or "\n" not in str(error), "an error of several lines")
        return "refused"
    return _send(mail, given, choices)


# The encoder alone.


def _encode(choices: Choices) -> str:
    """Encode a mail whole and in pieces, and compare with the plainest way to do it."""
    cuts = choices.below(8)
    transparent = not choices.one_in(3)
    data = choices.rest() if choices.one_in(2) else _hostile_octets(choices)
    pieces = choices.cut(data, most=cuts)
    truth = _slowly_encoded(data, transparent=transparent)
    encoder = MailDataEncoder(transparent=transparent)
    scanner = MailScanner()
    written = b"".join([*map(encoder.encode, pieces), encoder.finish()])
    for piece in pieces:
        scanner.feed(piece)
    insist(written == truth, "another mail when it is cut")
    insist(encode_whole(data, transparent=transparent) == truth, "another mail when it is whole")
    plain = _slowly_encoded(data, transparent=False)
    insist(re.sub(rb"(?m)^\.", b"", truth) == plain or not transparent, "another when un-stuffed")
    insist(b"\r\n.\r\n" not in b"\r\n" + truth or not transparent, "an end in the middle")
    facts = scanner.finish()
    insist(facts == scan(data), "other facts when it is cut")
    insist(facts.size == len(plain), "another size")
    insist(facts.longest_line == max(map(len, plain.split(b"\r\n"))), "another longest line")
    return "encoded"


def _slowly_encoded(data: bytes, *, transparent: bool) -> bytes:
    """RFC 5321 §4.5.2, octet by octet: each of CRLF, CR and LF ends a line."""
    lines: list[bytearray] = [bytearray()]
    previous = 0
    for octet in data:
        if octet == 10 and previous == 13:
            pass
        elif octet in {10, 13}:
            lines.append(bytearray())
        else:
            lines[-1].append(octet)
        previous = octet
    if not lines[-1]:
        lines.pop()
    dot = b"." if transparent else b""
    return b"".join((dot if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)


def _hostile_octets(choices: Choices) -> bytes:
    return _text(choices, 20, hostile=2).encode("utf-8", "surrogatepass")


# A whole mail.


def _text(choices: Choices, most: int, hostile: int = 24) -> str:
    """Choose a text; one piece in so many is hostile."""
    return "".join(
        choices.pick(_HOSTILE if choices.one_in(hostile) else _MILD)
        for _ in range(choices.below(most + 1))
    )


def _address(choices: Choices) -> str:
    if choices.one_in(6):
        return _text(choices, 6)
    return choices.pick(_ADDRESSES)


def _make(choices: Choices) -> tuple[SendMail, dict[str, Any]]:
    """Make a mail of what a hostile caller may give.

    Raises:
        ValueError: it is refused.
    """
    given: dict[str, Any] = {"sender": _address(choices) if choices.one_in(2) else "a@b.test"}
    given["recipients"] = [_address(choices) for _ in range(choices.below(3) + 1)]
    if choices.one_in(4):
        given["bcc"] = ["hidden@d.test", _address(choices)]
    if choices.one_in(8):
        given["dsn"] = Dsn(envid=_text(choices, 3) or None, orcpt=choices.one_in(2))
    if choices.one_in(8):
        given["id"] = _text(choices, 4)
    if choices.one_in(4):
        given["message"] = _hostile_octets(choices)
        return SendMail(**given), given
    given["subject"] = _text(choices, 6)
    body = _text(choices, 12, hostile=3).replace("\0", "" if choices.below(8) else "\0")
    octets = body.encode("utf-8", "surrogatepass")
    given["body"] = choices.pick((body, octets, body.splitlines(keepends=True)))
    if choices.one_in(2):
        given["from_name"] = _text(choices, 4)
    if choices.one_in(4):
        given["cc"] = [_address(choices)]
    if choices.one_in(4):
        names = [_text(choices, 4) for _ in given["recipients"]]
        given["to_name"] = names
    if choices.one_in(2):
        count = choices.below(3)
        given["headers"] = [(choices.pick(_NAMES), _text(choices, 5)) for _ in range(count)]
    return SendMail(**given), given


def _send(mail: SendMail, given: dict[str, Any], choices: Choices) -> str:
    """Send it to a server that keeps to the rules, and look at what it got."""
    offers = choices.pick(_OFFERS)
    assert mail.content is not None
    scene = Scene(
        mails=(Mail(envelope=mail.envelope, content=mail.content, keeps=choices.one_in(4)),),
        is_lmtp=False,
        tls=TlsPolicy.OFF,
        is_implicit=False,
        is_verified=False,
        authentication=None,
        redactor=None,
        secret=None,
        is_secret_known=False,
        may_show=False,
        offers=(offers, offers),
    )
    ledger = Ledger(may_be_speculative=scene.mails[0].keeps)
    client, server = Client(scene, scene.mails[0], ledger, choices), Server(scene, ledger)
    client.connect()
    for _ in range(_MOST_STEPS):
        if client.is_over:
            break
        if client.body is not None:
            client.write_body()
        else:
            octets = server.right()
            ledger.server(octets)
            client.hear(octets)
    insist(client.is_over, "it does not end", Hang)
    verdict = client.verdict
    if isinstance(verdict, Failed):
        insist(verdict.kind is FailureKind.LOCAL, f"not sent: {verdict.detail}")
        insist(not ledger.transactions, "refused here, and yet something went out")
        return "not for this server"
    insist(isinstance(verdict, Accepted), "no verdict")
    insist("dsn" in given or not (verdict and verdict.warnings), "something was odd")
    insist(len(ledger.transactions) == 1, "not one transaction")
    _check(ledger.transactions[0], client.data, mail, given)
    return "sent"


def _check(
    transaction: Transaction, rendered: bytes, mail: SendMail, given: dict[str, Any]
) -> None:
    """See that the server got what was given, and nothing else."""
    data = transaction.data
    assert data is not None
    insist(data == rendered, "another mail than that which was rendered")
    sent = [rcpt.path.decode() for rcpt in transaction.rcpts]
    wanted = list(dict.fromkeys(mail.all_recipients))
    pairs = [(transaction.sender.decode(), mail.sender), *zip(sent, wanted, strict=True)]
    for on_wire, address in pairs:
        insist(_is_same(on_wire, address), f"{address!r} went out as {on_wire!r}")
    if "message" in given:
        is_binary = transaction.parameters.get(b"BODY") == b"BINARYMIME"
        whole = given["message"]
        whole = whole if is_binary else _slowly_encoded(whole, transparent=False)
        insist(data == whole, "another mail than that which went in")
        return
    head, blank, body = data.partition(b"\r\n\r\n")
    insist(blank, "a mail without an empty line")
    fields = _fields(head + b"\r\n")
    _check_fields(fields, given)
    _check_body(fields, body, given["body"])


def _is_same(on_wire: str, address: str) -> bool:
    """Whether an address went out as it was given; its domain may stand in A-labels."""
    if address in {on_wire, "<>"}:
        return on_wire == address.removeprefix("<>")
    local, _, domain = address.rpartition("@")
    return not domain.isascii() and on_wire == f"{local}@{domain.encode('idna').decode()}"


def _fields(head: bytes) -> list[tuple[str, str]]:
    """Read a header: names in lower case, values unfolded (RFC 5322 §2.2.3)."""
    fields: list[tuple[str, str]] = []
    while head:
        match = _FIELD.match(head)
        insist(match, f"no header field: {head[:60]!r}")
        assert match is not None
        for line in match[0].split(b"\r\n")[:-1]:
            insist(len(line) <= 998 and line.strip(b" \t"), "a line that is too long, or blank")
        value = match[2].replace(b"\r\n", b"").decode()
        fields.append((match[1].decode().lower(), value.removeprefix(" ")))
        head = head[match.end() :]
    return fields


def _check_fields(fields: list[tuple[str, str]], given: dict[str, Any]) -> None:
    own = [(name.lower(), value) for name, value in given.get("headers", ())]
    replaced = {name for name, _ in own}
    generated = [name for name in (*_GENERATED, *_OURS) if name not in replaced]
    if given.get("cc") and "cc" not in replaced:
        generated.append("cc")
    if given["sender"] == "<>":
        generated.remove("from") if "from" in generated else None
    found = Counter(name for name, _ in fields)
    insist(found == Counter([*generated, *(name for name, _ in own)]), f"other fields: {found}")
    for name, value in fields:
        insist("hidden@d.test" not in value, f"a blind copy shows in {name}")
    values = dict(fields)
    if "subject" not in replaced:
        insist(_decoded(values["subject"]) == given["subject"], "another subject")


def _decoded(value: str) -> str:
    """Read a value that is either plain or all encoded words (RFC 2047)."""
    words = value.split(" ")
    if not all(map(_WORD.fullmatch, words)):
        return value
    octets = b""
    for kind, text in _WORD.findall(value):
        octets += base64.b64decode(text) if kind == "b" else quopri.decodestring(text, header=True)
    return octets.decode()


def _check_body(fields: list[tuple[str, str]], body: bytes, given: Any) -> None:
    if isinstance(given, list):
        given = "\r\n".join(line.removesuffix("\n").removesuffix("\r") for line in given)
    octets = given.encode() if isinstance(given, str) else given
    encoding = dict(fields)["content-transfer-encoding"]
    if encoding == "quoted-printable":
        insist(body.isascii(), "quoted-printable that is not ASCII")
        body = quopri.decodestring(body)
    insist(body == _slowly_encoded(octets, transparent=False), f"another body ({encoding})")
