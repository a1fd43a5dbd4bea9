"""`Attachment`: names, types, and files that are emails themselves."""

import email
import email.policy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykka_smtp import Attachment, SendMail
from pykka_smtp.signals.composing.attachment import MOST_READ


def sent(*attachments: Attachment) -> list[Any]:
    made = SendMail(sender="a@b.test", recipients="c@d.test", attachments=attachments)
    return list(
        email.message_from_bytes(made.as_bytes(), policy=email.policy.default).iter_attachments()
    )


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.pdf", b"", "application/pdf"),
        ("A.JPG", b"", "image/jpeg"),
        ("a.tar.gz", b"", "application/gzip"),
        ("a.docx", b"", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("pdf", b"", "application/octet-stream"),
        ("a.", b"", "application/octet-stream"),
        ("a.unknown", b"", "application/octet-stream"),
        ("a.csv", b"\xc3\xbc", "text/csv; charset=utf-8"),
        ("a.csv", b"\xfc", "text/csv"),
        (None, b"\x89PNG\r\n\x1a\n", "image/png"),
        (None, b"\xff\xd8\xff\xe0", "image/jpeg"),
        (None, b"GIF89a", "image/gif"),
        (None, b"RIFF\0\0\0\0WEBPVP8", "image/webp"),
        (None, b"<svg/>", "image/svg+xml"),
        (None, b"x", "application/octet-stream"),
    ],
)
def test_the_type_is_that_of_the_name_or_else_of_an_images_first_octets(
    name: str | None, content: bytes, kind: str
) -> None:
    assert Attachment(content, name=name).content_type == kind


def test_the_type_may_be_given_with_parameters() -> None:
    [part] = sent(Attachment(b"\xfc", name="a.txt", content_type="text/plain; charset=latin-1"))

    assert part.get_content() == "\u00fc"


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"name": ""}, ValueError, "name: needs 1 to 255 characters"),
        ({"name": " \t "}, ValueError, "name:"),
        ({"name": "x" * 256}, ValueError, "not 256"),
        ({"name": "../x"}, ValueError, "is a path; give the name of the file alone"),
        ({"name": "a\\b"}, ValueError, "is a path"),
        ({"name": b"a"}, TypeError, "name: must be a str"),
        ({"content_type": "pdf"}, ValueError, "is not of the form type/subtype"),
        ({"content_type": "text/plain; charset"}, ValueError, "is not of the form"),
        ({"content_type": "multipart/mixed; boundary=x"}, ValueError, "is made of parts"),
        ({"content_type": 'application/pdf; name="b.exe"'}, ValueError, "name; give name= instead"),
        ({"content_type": "a/b; x=y;NAME=b.exe"}, ValueError, "name; give name= instead"),
        ({"content_type": "a/b; filename=b.exe"}, ValueError, "filename; give name= instead"),
        ({"content_type": 'a/b; x="; y=z"; x=1'}, ValueError, "has the parameter x twice"),
        ({"content_type": "text/plain; charset=a; Charset=b"}, ValueError, "charset twice"),
        ({"content_type": 1}, TypeError, "content_type: must be a str"),
        ({"content": "a.pdf"}, TypeError, r"for a file, write Path\(...\)"),
        ({"content": 1}, TypeError, "needs bytes or a path, not int"),
    ],
)
def test_what_is_no_attachment_is_refused(given: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        Attachment(**{"content": b"x", **given})


def test_a_name_beyond_ascii_is_there_for_old_clients_as_well() -> None:
    made = SendMail(
        sender="a@b.test",
        recipients="c@d.test",
        attachments=[Attachment(b"x", name="\u00fcbersicht.csv")],
    ).as_bytes()

    assert b'\r\n name="=?utf-8?b?w7xiZXJzaWNodC5jc3Y=?="\r\n' in made
    assert b"; filename*=utf-8''%C3%BCbersicht.csv\r\n" in made


@pytest.mark.parametrize(
    "name",
    [
        'a "b" c.txt',
        "a  b.txt",
        "=?utf-8?q?x?=.txt",
        "100%'s.txt",
        "\u0416" * 255,
        "x" * 255,
        "\U0001f600.png",
        "\u4e2d\u6587 \u0627.pdf",
        "a;b=c,d.txt",
    ],
)
def test_any_name_is_read_back(name: str) -> None:
    [part] = sent(Attachment(b"x", name=name))

    assert part.get_filename() == name
    assert part["Content-Type"].params["name"] == name or not name.isascii() or "=?" in name


def test_an_email_in_an_email_is_not_encoded(tmp_path: Path) -> None:
    path = tmp_path / "old.eml"
    path.write_bytes(b"Subject: inner\nTo: x@y.test\n\nhello\n")

    [part] = sent(Attachment(path))

    assert part.get_content_type() == "message/rfc822"
    assert part["Content-Transfer-Encoding"] == "7bit"
    assert part.get_content()["Subject"] == "inner"


def test_an_email_that_would_have_to_be_encoded_is_a_file_of_octets() -> None:
    inner = b"Subject: x\r\n\r\n\xff\r\n"

    [part] = sent(Attachment(inner, name="old.eml"))

    assert part.get_content_type() == "application/octet-stream"
    assert part.get_filename() == "old.eml"
    assert part.get_content() == inner


def test_an_email_is_not_encoded_whatever_the_case_of_its_type() -> None:
    entity = Attachment(b"Subject: x\n\ny", name="a", content_type="Message/RFC822").entity()

    assert b"Content-Transfer-Encoding: 7bit" in b"".join(entity.segments)  # type: ignore[arg-type]


def test_a_large_file_is_not_sent_as_an_email_which_must_not_be_encoded(tmp_path: Path) -> None:
    large = tmp_path / "large.eml"
    large.write_bytes(b"Subject: x\r\n\r\n" + b"hello\r\n" * 200_000)

    with pytest.raises(ValueError, match="message/rfc822 does not allow"):
        Attachment(large, content_type="message/rfc822")


def test_a_large_file_is_not_read_until_it_is_sent(tmp_path: Path) -> None:
    large, small = tmp_path / "l.bin", tmp_path / "s.bin"
    large.write_bytes(b"x" * (MOST_READ + 1))
    small.write_bytes(b"x" * MOST_READ)

    assert Attachment(large).path == str(large)
    assert Attachment(small).path is None
    assert repr(Attachment(large)) == "<Attachment 'l.bin' application/octet-stream>"


def test_two_of_the_same_octets_are_equal() -> None:
    one = Attachment(b"x", name="a")

    assert one == Attachment(b"x", name="a")
    assert hash(one) == hash(Attachment(bytearray(b"x"), name="a"))  # type: ignore[arg-type]
    assert one != Attachment(b"x", name="b")
    assert one != "a"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=30_000))
def test_any_octets_come_back(octets: bytes) -> None:
    [part] = sent(Attachment(octets, name="x.bin"))

    assert part.get_content() == octets
    assert all(len(line) <= 76 for line in part.get_payload().splitlines())
