"""What comes out of the file is the email that was put."""

import io
import json
import os
import re
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from servers.people import A, B, C, decrypted_by_openssl, person, verified_by_openssl
from servers.signers import rsa_key

from pykka_smtp import Attachment, Dkim, SendMail, Smime
from pykka_smtp.actors.outbox.text import mail_text
from pykka_smtp.actors.outbox.text.mail_text import is_whole, mail_of, to_text

THEN = "2024-02-29T12:00:00+01:00"


def octets(mail: SendMail) -> bytes:
    assert mail.content is not None
    data = mail.content.render(eight_bit=True).data
    assert data is not None
    return data


@pytest.mark.parametrize(
    "given",
    [
        {"subject": "Grüße", "body": "Hallo\nWelt", "from_name": "Me", "to_name": ["You"]},
        {"body": b"\xff\xfe\n", "headers": {"Reply-To": "a@example.com"}},
        {"body": "x", "cc": ["c@example.org"], "headers": {"Subject": "y", "From": "z@x.test"}},
    ],
)
def test_a_second_copy_has_the_date_of_the_first(given: dict[str, Any]) -> None:
    mail = SendMail(sender="me@example.com", recipients=["you@example.org"], **given)
    text = to_text(mail)

    copy = mail_of(json.dumps(json.loads(text.env) | {"date": THEN}), text.body)

    expected = re.sub(
        rb"(?m)^Date: .*?\r$", b"Date: Thu, 29 Feb 2024 12:00:00 +0100\r", octets(mail)
    )
    assert octets(copy) == expected != octets(mail)


def test_a_date_of_the_callers_stays() -> None:
    own = "Mon, 01 Jan 2024 00:00:00 +0000"
    mail = SendMail(
        sender="me@example.com", recipients="you@example.org", body="x", headers={"Date": own}
    )
    text = to_text(mail)

    copy = mail_of(json.dumps(json.loads(text.env) | {"date": THEN}), text.body)

    assert octets(copy) == octets(mail)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_and_nobody_waits_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    mail = SendMail(sender="a@b.test", recipients="c@d.test", message=tmp_path / "pipe")

    with pytest.raises(ValueError, match="pipe is no regular file"):
        to_text(mail)


# Of several parts


def of_parts(**given: Any) -> SendMail:
    return SendMail(
        **{
            "sender": "Me <me@a.test>",
            "recipients": ["You <you@b.test>"],
            "cc": "her@c.test",
            "bcc": "him@d.test",
            "subject": "Grüße",
            "body": "See the logo.",
            "html": '<p>See <img src="cid:logo"></p>',
            "inline": {"logo": Attachment(b"\x89PNG", name="logo.png")},
            "reply_to": "all@a.test",
            "id": "one",
        }
        | given
    )


def test_an_email_of_several_parts_comes_back_octet_for_octet() -> None:
    text = to_text(of_parts())
    back = mail_of(text.env, text.body)

    assert back.as_bytes() == text.mail.as_bytes()
    assert back.all_recipients == ("you@b.test", "her@c.test", "him@d.test")
    assert back.envelope == text.mail.envelope
    assert is_whole(text.env, text.body, text.digest)


def test_a_text_with_a_field_of_its_own_argument_comes_back_in_both_forms() -> None:
    mail = SendMail(
        sender="me@a.test", recipients="you@b.test", body="Grüße", reply_to="all@a.test"
    )
    text = to_text(mail)
    back = mail_of(text.env, text.body)

    assert mail.content is not None
    assert back.content is not None
    for eight_bit in (True, False):
        rendition = back.content.render(eight_bit=eight_bit)
        assert rendition.data == mail.content.render(eight_bit=eight_bit).data
        assert b"Reply-To: all@a.test\r\n" in (rendition.data or b"")


def test_the_same_parts_are_the_same_email_and_others_are_not() -> None:
    first = to_text(of_parts()).digest

    assert to_text(of_parts()).digest == first  # though its boundaries are random
    assert to_text(of_parts(html="<p>No logo</p>", inline={})).digest != first
    assert to_text(of_parts(cc="them@c.test")).digest != first


def test_files_are_read_when_the_email_is_put(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(range(256)) * 8192)  # too large to be put together in memory
    mail = of_parts(attachments=[path])
    assert mail.content is None

    text = to_text(mail)
    path.unlink()

    back = mail_of(text.env, text.body)
    attached = [part for part in message_from_bytes(back.as_bytes()).walk() if part.get_filename()]
    assert attached[-1].get_payload(decode=True) == bytes(range(256)) * 8192
    assert text.mail.content is not None  # this process sends that, too


def test_files_that_are_larger_than_a_row_are_copied_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mail_text, "MAX_SIZE", 1_500_000)
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 2_000_000)

    def copied() -> tuple[bytes, bytes]:
        text = to_text(of_parts(attachments=[path]))
        assert text.large is not None
        written = io.BytesIO()
        digest = text.large.copy(written.write)
        return written.getvalue(), digest

    first, digest = copied()

    parts = list(message_from_bytes(first).walk())
    assert parts[-1].get_payload(decode=True) == b"x" * 2_000_000
    assert copied()[1] == digest  # though boundaries are random, and come more than once
    path.write_bytes(b"y" * 2_000_000)
    assert copied()[1] != digest


def test_a_key_is_not_kept_and_that_an_email_is_not_to_be_signed_is() -> None:
    given: dict[str, Any] = {"sender": "me@a.test", "recipients": "you@b.test", "body": "1"}

    with pytest.raises(ValueError, match="dkim: a key is not kept in the file; give it to the"):
        to_text(SendMail(**given, dkim=Dkim("a.test", "one", key=rsa_key())))
    text = to_text(SendMail(**given, dkim=()))

    assert mail_of(text.env, text.body).dkim == ()


def test_an_encrypted_email_is_kept_encrypted_and_its_key_is_not_kept() -> None:
    people = {address: person(address).certificate for address in (B, C)}
    smime = Smime(certificate=person(A).certificate, key=person(A).key, recipients=people)
    given: dict[str, Any] = {"sender": A, "recipients": B, "body": "between us", "protect": smime}
    text = to_text(SendMail(**given, context={"n": 1}, id="one"))

    assert b"between us" not in text.body
    assert "between us" not in text.env
    assert is_whole(text.env, text.body, text.digest)
    again = mail_of(text.env, text.body)
    assert (again.id, again.context, again.protect) == ("one", {"n": 1}, None)
    inner = decrypted_by_openssl(octets(again), person(B))
    assert inner is not None
    signed = verified_by_openssl(inner, person(A))
    assert signed is not None
    assert b"between us" in signed
    assert text.mail.id == "one"

    with pytest.raises(ValueError, match="with its blind recipients it is 2 emails; put each"):
        to_text(SendMail(**given, bcc=C))
    for mail in smime.mails(SendMail(**given, bcc=C)):
        kept = to_text(mail)
        assert decrypted_by_openssl(octets(mail_of(kept.env, kept.body)), person(A)) is not None
