"""What ``sendmail`` makes of any octets."""

import re
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp import SendMail
from pykka_smtp.cli.sendmail.submission import BrokenHeaderError, complete

PIECES = st.sampled_from(
    [
        *(b"From: a@b.test", b"bCC : c@d.test", b"Resent-Bcc:", b"To: e", b"Subject: x", b" more"),
        *(b"text", b"\xff\xc3\xbc", b".", b":", b"x" * 999, b"From me", b">From ", b"DATE:"),
        *(b"\t", b"\0"),
    ]
)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b""])))


def completed(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    made = complete(data, domain="here.test", author=lambda: ("Me", "me@here.test"))
    return made.data, made.recipients


@given(TEXTS)
def test_any_octets_become_an_email_without_a_bcc(parts: list[tuple[bytes, bytes]]) -> None:
    data = b"".join(text + end for text, end in parts)
    try:
        made, _ = completed(data)
    except BrokenHeaderError:
        return

    mail = SendMail(sender="me@here.test", recipients="you@x.test", message=made)
    header, blank, _ = mail.as_bytes().partition(b"\r\n\r\n")
    assert blank
    assert not re.search(rb"(?:\A|\n)(?:resent-)?bcc[ \t]*:", header, re.IGNORECASE)
    for line in header.split(b"\r\n"):
        assert re.match(rb"[!-9;-~]+[ \t]*:|[ \t]", line), line
        assert len(line) <= 998
    names = [name.lower() for name in message_from_bytes(made, policy=policy.compat32)]
    prefix = "resent-" if any(name.startswith("resent-") for name in names) else ""
    assert {prefix + "from", prefix + "date", prefix + "message-id"} <= set(names)


@given(TEXTS)
def test_what_is_complete_stays_as_it_is(parts: list[tuple[bytes, bytes]]) -> None:
    try:
        once, _ = completed(b"".join(text + end for text, end in parts))
    except BrokenHeaderError:
        return

    assert completed(once)[0] == once


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_bcc_behind_a_line_that_is_no_field_is_not_shown_to_all(end: str) -> None:
    lines = ["From: a@b.test", "Subject: Minutes", "of Tuesday", "Bcc: secret@x.test", "", "Hello"]

    with pytest.raises(BrokenHeaderError, match="no field: 'of Tuesday'; all would read the Bcc"):
        completed(end.join(lines).encode())


@pytest.mark.parametrize(
    "text",
    [
        "Bcc is a blind copy\nBcc: so it is written\n",  # no header at all
        "Subject: x\n\nBcc: so it is written\n",
        "Subject: x\r\n\r\nBcc: so it is written\r\n",
        "Subject: x\nof y\n\nBcc: so it is written\n",
    ],
)
def test_a_bcc_in_the_text_is_text(text: str) -> None:
    made, recipients = completed(text.encode())

    assert b"\nBcc: so it is written" in b"\n" + made.partition(b"\n\n")[2]
    assert recipients == ()


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("To:o", "To:o@here.test"),
        ("From:From", "From:From@here.test"),
        ("Cc :\n c,\n d@x.test", "Cc :\n c@here.test,\n d@x.test"),
        ("Reply-To: J\udcf6rg <j>", "Reply-To: J\udcf6rg <j@here.test>"),
        ("Subject: root", "Subject: root"),
    ],
)
def test_an_address_gets_its_domain_where_it_stands(field: str, expected: str) -> None:
    made, _ = completed(field.encode("utf-8", "surrogateescape"))

    assert f"\n{expected}\n".encode("utf-8", "surrogateescape") in b"\n" + made
