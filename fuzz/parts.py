"""The target of emails of several parts: they are built, and parsed back."""

# Invariant: whatever a caller gives for texts, HTML, images, files, names and header fields, it is
# refused with a ValueError, or the email parses back without defects, by the standard library,
# to what went in: each text, image and file, each file name, the subject, and no field that was not
# asked for. Its lines are ASCII and end in CRLF, none is longer than 998 octets, and the facts that
# the sending code relies on are those of its octets.

import email
import email.policy
import itertools
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any

from pykka_smtp.signals.composing.attachment import Attachment
from pykka_smtp.signals.composing.html import Html
from pykka_smtp.signals.send_mail import SendMail
from pykka_smtp.smtp.mail.mail_data import scan
from pykka_smtp.smtp.mail.parts.fields import Unsubscribe

from .choices import Choices
from .violation import FalseSuccess, insist

_MAX_LINE = 998
_MILD = (
    *(
        "a",
        "b",
        "word ",
        ".",
        "\n",
        "\u00fc",
        "\u5c71",
        "\U0001f600",
        "=",
        "=20",
        "_",
        "?",
        "x" * 75,
    ),
    *(
        "--",
        "--=_1_",
        "From ",
        "\n.",
        "\n..\n",
        " \n",
        "\t",
        "\r\n",
        "\r",
        "y" * 300,
        "\u0431" * 40,
    ),
    *("<p>", "&amp;", "'", '"', "=?utf-8?q?x?=", "\u2028", "\u0085", "e\u0301", "\u05d0", "%41"),
)
_HOSTILE = ("\0", "\ud800", "\x0b", "\x0c", "\x1b", "\x7f", "z" * 999, "z" * 1100, "\r\n\r\n")
_IN_NAMES = (
    *(
        "a",
        "b.txt",
        " ",
        ".",
        "..",
        "report",
        "\u00fc",
        "\u5c71",
        "\U0001f600",
        "'",
        '"',
        "%",
        "%41",
    ),
    *(
        "*",
        "=",
        ";",
        ",",
        "(",
        ")",
        "=?utf-8?q?x?=",
        "\u202e",
        "x" * 80,
        "\u0431" * 60,
        "&",
        "<",
        ">",
    ),
)
_HOSTILE_IN_NAMES = ("/", "\\", "\0", "\n", "\r\n", "\x1b", "\ud800", "\t", "z" * 1000)
_CIDS = ("logo", "a.b", "x@y.test", "A-1", "a~b", "", "a b", "a>b", "\u00fc", "a\r\nb", "%41")
_TYPES = (None, "application/pdf", "text/plain; charset=utf-8", "image/png", "a", "a/b\r\nX: y")
_FIELDS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("", {}),
    ("Reply-To", {"reply_to": [("\u00c4nne", "r@d.test")]}),
    ("List-Id", {"list_id": "News <news.d.test>"}),
    ("Auto-Submitted", {"auto_submitted": "auto-generated"}),
    ("List-Unsubscribe", {"unsubscribe": Unsubscribe(mailto="u@d.test")}),
    (".Dotted", {"headers": {".Dotted": "1"}}),
    ("X-Note", {"headers": {"X-Note": "\u00fc" * 60}}),
)
_ALWAYS = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")

SEEDS: Sequence[bytes] = (
    b"",
    b"\x00\x02\x00\x01\x00\x03\x00\x06\x00\x01\x01",
    bytes(range(64)),
    bytes(range(255, 127, -1)),
    bytes([1, 3, 5, 6, 7, 2, 1, 8, 8, 8, 1, 1, 2, 10, 20, 30, 40, 1, 2, 3, 1, 5, 5, 5]) * 3,
)
"""Inputs to begin with."""


def run(data: bytes) -> str:
    """Build one email, and parse it.

    Returns:
        What it came to.
    """
    choices = Choices(data)
    is_hostile = choices.one_in(3)
    subject = _text(choices, _IN_NAMES, _HOSTILE_IN_NAMES if is_hostile else (), most=8)
    name = _text(choices, _IN_NAMES, _HOSTILE_IN_NAMES if is_hostile else (), most=4)
    hostile = _HOSTILE if is_hostile else ()
    body = _text(choices, _MILD, hostile, most=16)
    html = _text(choices, _MILD, hostile, most=16) if choices.below(4) != 3 else None
    cids = [choices.pick(_CIDS[: None if is_hostile else 5]) for _ in range(choices.below(3))]
    images = {} if html is None else {cid: b"\x89PNG" + choices.octets(90) for cid in cids}
    if html is not None:
        html += "".join(f'<img src="cid:{cid}">' for cid in images)
    extra, asked = choices.pick(_FIELDS)
    try:
        files = [_file(choices, is_hostile=is_hostile) for _ in range(choices.below(4))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mail = SendMail(
                sender=(name or None, "a@b.test"),
                recipients="c@d.test",
                subject=subject,
                body=body,
                html=Html(html) if html is not None and choices.one_in(2) else html,
                inline=images or None,
                attachments=[file for file, _, _ in files],
                **asked,
            )
    except ValueError:
        # A name that is encoded already is refused.
        insist(is_hostile or "=?" in name, "what is harmless was refused")
        return "refused"
    octets = mail.as_bytes()
    _check_octets(mail, octets, is_text=html is None and not files)
    message = email.message_from_bytes(octets, policy=email.policy.default)
    _check_header(message, subject, extra)
    _check_parts(message, body, html, images, files)
    return "text" if html is None and not files else "parts"


def _text(choices: Choices, mild: Sequence[str], hostile: Sequence[str], most: int) -> str:
    pieces: list[str] = []
    for _ in range(choices.below(most)):
        is_hostile = bool(hostile) and choices.one_in(4)
        pieces.append(choices.pick(hostile if is_hostile else mild))
    return "".join(pieces)


def _file(choices: Choices, *, is_hostile: bool) -> tuple[Attachment, str, bytes]:
    name = _text(choices, _IN_NAMES, _HOSTILE_IN_NAMES if is_hostile else (), most=6)
    if not is_hostile:
        name = f"f{name}"
    octets = choices.octets(200) * choices.pick((1, 1, 1, 40))
    kind = choices.pick(_TYPES[: None if is_hostile else 4])
    return Attachment(octets, name=name, content_type=kind), name, octets


def _check_octets(mail: SendMail, octets: bytes, *, is_text: bool) -> None:
    lines = octets.split(b"\r\n")
    insist(not lines[-1], "the last line has no end")
    insist(not any(b"\r" in line or b"\n" in line for line in lines), "a bare CR or LF")
    insist(max(map(len, lines)) <= _MAX_LINE, "a line is too long")
    insist(is_text or octets.isascii(), "parts that are not ASCII")
    content = mail.content
    assert content is not None
    for eight_bit in (True, False):
        rendition = content.render(eight_bit=eight_bit)
        assert rendition.data is not None
        facts, exact = rendition.facts, scan(rendition.data)
        assert facts is not None
        insist(eight_bit or rendition.data.isascii(), "not ASCII, for a server of 7 bits")
        insist(facts.size == exact.size == len(rendition.data), "another size")
        insist(facts.eight_bit == exact.eight_bit, "wrong about 8-bit data")
        insist(not exact.nul, "it has a NUL")
        insist(exact.is_plain or not facts.is_plain, "a dot that nobody doubles", FalseSuccess)
        insist(exact.longest_line <= facts.longest_line <= _MAX_LINE, "wrong about its lines")


def _check_header(message: EmailMessage, subject: str, extra: str) -> None:
    expected = Counter(_ALWAYS)
    if extra:
        expected[extra.lower()] += 1
    found = Counter(name.lower() for name in message)
    del found["content-transfer-encoding"]  # of a single part only
    insist(found == expected, f"other fields: {found - expected} / {expected - found}")
    insist(message["Subject"] == subject, "another subject", FalseSuccess)
    addresses = message["From"].addresses
    insist([each.addr_spec for each in addresses] == ["a@b.test"], "another author", FalseSuccess)


def _check_parts(
    message: EmailMessage,
    body: str,
    html: str | None,
    images: Mapping[str, bytes],
    files: Sequence[tuple[Attachment, str, bytes]],
) -> None:
    texts: list[tuple[str, bytes]] = []
    embedded: dict[str, bytes] = {}
    attached: list[tuple[str | None, bytes]] = []
    for part in message.walk():
        insist(part.defects == [], f"defects: {part.defects}")
        if part.is_multipart():
            insist(len(part.get_payload()) > 1 or files, "a level of one part")
            continue
        payload: Any = part.get_payload(decode=True)
        how = part.get_content_disposition()
        if how == "attachment":
            # Not by get_filename(), which takes the brackets off a file that is called "<>".
            attached.append((part["Content-Disposition"].params["filename"], payload))
        elif how == "inline":
            embedded[str(part["Content-ID"])[1:-1]] = payload
        else:
            texts.append((part.get_content_type(), payload))
    insist(embedded == dict(images), "other images", FalseSuccess)
    insist([found for _, found in attached] == [octets for _, _, octets in files], "other files")
    for (named, _), (_, name, _) in zip(attached, files, strict=True):
        insist(named == name.strip(), f"another file name: {named!r} for {name!r}")
    expected = [("text/plain", body)] if body or not (files or html is not None) else []
    expected += [] if html is None else [("text/html", html)]
    insist([kind for kind, _ in texts] == [kind for kind, _ in expected], "other texts")
    for (_, octets), (_, text) in zip(texts, expected, strict=True):
        insist(octets == _in_lines(text), "another text", FalseSuccess)


def _in_lines(text: str) -> bytes:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return "".join(itertools.chain.from_iterable((line, "\r\n") for line in lines)).encode()
