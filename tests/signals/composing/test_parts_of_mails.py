"""Whatever an email is made of, parsing it gives it back (RFC 2045 to 2047, 2231, 2387, 5322)."""

import datetime as dt
import email
import email.policy
import os
import pickle
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykka_smtp import FROM_HTML, Attachment, Html, SendMail, Unsubscribe
from pykka_smtp.signals.composing import parts_file
from pykka_smtp.signals.composing.parts_file import octets_of_parts
from pykka_smtp.smtp.mail.parts import base64_lines
from pykka_smtp.smtp.mail.parts.parts_email import PartsEmail

ME, YOU = "me@a.test", "you@b.test"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3
INVITATION = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
EMBEDS = '<p>Look: <img src="cid:logo"></p>'


def mail(**given: Any) -> SendMail:
    return SendMail(**{"sender": ME, "recipients": YOU, **given})


def parsed(made: SendMail) -> EmailMessage:
    return email.message_from_bytes(made.as_bytes(), policy=email.policy.default)


def structure(part: Any) -> Any:
    """Return the content types of a message, nested as its parts are."""
    kind = part.get_content_type()
    return (kind, [structure(each) for each in part.iter_parts()]) if part.is_multipart() else kind


def payload(part: Any) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def words(part: Any) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


ALTERNATIVE = ("multipart/alternative", ["text/plain", "text/html"])
RELATED = ("multipart/related", ["text/html", "image/png"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"body": "x", "html": "<p>"}, ALTERNATIVE),
        ({"html": "<p>"}, "text/html"),
        ({"html": EMBEDS, "inline": {"logo": PNG}}, RELATED),
        (
            {"body": "x", "html": EMBEDS, "inline": {"logo": PNG}},
            ("multipart/alternative", ["text/plain", RELATED]),
        ),
        (
            {"body": "x", "attachments": [Attachment(b"1", name="a.pdf")]},
            ("multipart/mixed", ["text/plain", "application/pdf"]),
        ),
        (
            {"attachments": Attachment(b"1", name="a.pdf")},
            ("multipart/mixed", ["application/pdf"]),
        ),
        (
            {"body": "x", "html": "<p>", "attachments": [Attachment(b"1", name="a.zip")]},
            ("multipart/mixed", [ALTERNATIVE, "application/zip"]),
        ),
        (
            {"body": "x", "html": "<p>", "calendar": INVITATION},
            ("multipart/alternative", ["text/plain", "text/html", "text/calendar"]),
        ),
        (
            {
                "body": "x",
                "html": EMBEDS,
                "inline": {"logo": PNG},
                "calendar": INVITATION,
                "attachments": [Attachment(b"1", name="a.csv")],
            },
            (
                "multipart/mixed",
                [("multipart/alternative", ["text/plain", RELATED, "text/calendar"]), "text/csv"],
            ),
        ),
    ],
)
def test_parts_are_nested_as_clients_expect_without_empty_levels(given: Any, expected: Any) -> None:
    assert structure(parsed(mail(**given))) == expected


@pytest.mark.parametrize("given", [{}, {"attachments": ()}, {"inline": {}}, {"attachments": []}])
def test_without_parts_it_is_the_text_that_it_always_was(given: Any) -> None:
    made = mail(body="gr\u00fc\u00dfe", **given)

    assert structure(parsed(made)) == "text/plain"
    assert b"Content-Transfer-Encoding: 8bit" in made.as_bytes()


def test_an_attachment_has_the_name_and_type_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "report.PDF"
    path.write_bytes(b"%PDF-1.7\r\n\0\xff")

    [part] = parsed(mail(body="x", attachments=[path])).iter_attachments()

    assert part.get_filename() == "report.PDF"
    assert part["Content-Type"] == 'application/pdf; name="report.PDF"'
    assert part["Content-Disposition"] == 'attachment; filename="report.PDF"'
    assert payload(part) == b"%PDF-1.7\r\n\0\xff"


def test_a_file_is_as_it_was_when_the_email_was_made(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    made = mail(attachments=[path])
    path.write_bytes(b"after")

    [part] = parsed(made).iter_attachments()

    assert payload(part) == b"before"


def test_an_embedded_image_is_named_by_the_page() -> None:
    made = parsed(mail(html=EMBEDS, inline={"logo": Attachment(PNG, name="logo.png")}))

    page, image = made.iter_parts()
    assert words(page) == EMBEDS + "\n"
    assert image["Content-ID"] == "<logo>"
    assert image.get_content_disposition() == "inline"
    assert image.get_filename() == "logo.png"
    assert payload(image) == PNG


@pytest.mark.parametrize(
    "html",
    [
        '<img src="cid:nologo">',
        "<img src='cid:nologo'>",
        "<img src=cid:nologo>",
        "<p style=\"background: url('cid:nologo')\">",
        '<img srcset="https://x.test/y 1x, CID:nologo 2x">',
    ],
)
def test_a_page_that_embeds_what_is_not_there_is_refused(html: str) -> None:
    with pytest.raises(ValueError, match=r"^html: embeds cid:nologo, but inline has no 'nologo'$"):
        mail(html=html)
    with pytest.raises(ValueError, match="embeds cid:nologo"):
        mail(html=html, inline={"logo": PNG})
    assert mail(html=html, inline={"nologo": PNG})


@pytest.mark.parametrize("html", ["acid:test", "see cid:logo", "LUCID:x = y", "a=b cid: c"])
def test_a_page_that_only_speaks_of_a_cid_is_sent(html: str) -> None:
    assert mail(html=html)


def test_an_image_that_the_page_does_not_embed_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"^inline: html does not embed logo, z;") as warned:
        mail(html="<p>", inline={"z": PNG, "logo": PNG})
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"inline": {"logo": PNG}}, ValueError, "inline: there is no html that embeds it"),
        ({"html": EMBEDS, "inline": {"a b": PNG}}, ValueError, "inline: the name 'a b' needs"),
        ({"html": EMBEDS, "inline": {"a\r\nb": PNG}}, ValueError, "inline: the name"),
        ({"html": EMBEDS, "inline": {1: PNG}}, TypeError, "inline: a name must be a str"),
        ({"html": EMBEDS, "inline": [PNG]}, TypeError, "inline: needs a mapping"),
        ({"html": EMBEDS, "inline": {"logo": "x"}}, TypeError, r"inline\['logo'\]: needs a path,"),
        ({"html": b"<p>"}, TypeError, "html: needs a str or Html, not bytes"),
        ({"html": Path("x")}, TypeError, r"read the file: Path\(...\).read_text\(\)"),
        ({"html": "\0"}, ValueError, "^html: NUL"),
        ({"html": "\ud800"}, ValueError, "^html: lone surrogate"),
        ({"body": FROM_HTML}, ValueError, "body: FROM_HTML needs html="),
        ({"body": 1, "html": "<p>"}, TypeError, "body: must be a str, bytes or a sequence"),
        ({"attachments": "a.pdf"}, TypeError, "attachments: needs paths or Attachment"),
        ({"attachments": [b"a"]}, TypeError, r"attachments\[0\]: needs a path or an Attachment"),
        ({"attachments": ["a"]}, TypeError, r"for a file, write Path\(...\)"),
        ({"attachments": [Attachment(b"a")]}, ValueError, "attachments: octets need a name"),
        ({"calendar": "x"}, ValueError, "calendar: does not begin with BEGIN:VCALENDAR"),
        ({"calendar": b"\xff"}, ValueError, "calendar: is not in UTF-8"),
        ({"calendar": 1}, TypeError, "calendar: needs a str or bytes"),
        ({"calendar": "BEGIN:VCALENDAR\r\n"}, ValueError, "calendar: has no METHOD"),
        ({"calendar": INVITATION.replace("REQ", "RE Q")}, ValueError, "calendar: has no METHOD"),
        ({"calendar": INVITATION + "method:x y"}, ValueError, "^calendar: has METHOD twice"),
        ({"calendar": INVITATION + "\0"}, ValueError, "^calendar: NUL"),
        ({"html": "<p>", "headers": {"Content-Type": "a/b"}}, ValueError, "Content-Type cannot"),
        ({"message": b"a: b", "html": "<p>"}, ValueError, "leave out html$"),
        ({"message": b"a: b", "reply_to": YOU}, ValueError, "leave out reply_to$"),
        ({"message": b"a: b", "attachments": [Path("x")]}, ValueError, "leave out attachments$"),
    ],
)
def test_what_cannot_be_a_part_is_refused_at_once(given: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        mail(**given)


def test_a_file_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mail(attachments=[tmp_path / "x"])
    with pytest.raises(ValueError, match="is not a file"):
        mail(attachments=[tmp_path])


def test_a_file_that_is_attached_is_not_overwritten_by_the_email(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 2_000_000)
    mail = SendMail(sender="a@b.test", recipients="c@d.test", body="x", attachments=[path])

    with pytest.raises(ValueError, match="is attached to the email; save it to another file"):
        mail.save(path)

    assert path.stat().st_size == 2_000_000


def test_an_old_preview_stays_if_a_file_is_gone(tmp_path: Path) -> None:
    large, preview = tmp_path / "large.bin", tmp_path / "preview.eml"
    large.write_bytes(bytes(2_000_000))
    made = mail(body="x", attachments=large)
    preview.write_bytes(b"old")
    large.unlink()

    with pytest.raises(OSError, match=r"large\.bin"):
        made.save(preview)

    assert preview.read_bytes() == b"old"


def test_an_old_preview_stays_if_a_file_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, preview = tmp_path / "large.bin", tmp_path / "preview.eml"
    large.write_bytes(bytes(2_000_000))
    made = mail(body="x", attachments=large)
    preview.write_bytes(b"old")
    read = base64_lines.in_lines

    def cut_off(octets: bytes) -> bytes:
        os.truncate(large, 1_000_000)
        return read(octets)

    monkeypatch.setattr(parts_file, "in_lines", cut_off)

    with pytest.raises(ValueError, match="changed while it was sent"):
        made.save(preview)

    assert preview.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [large, preview]


def test_a_preview_keeps_the_mode_of_the_old_one_and_a_link_to_it(tmp_path: Path) -> None:
    preview, link = tmp_path / "preview.eml", tmp_path / "link.eml"
    preview.write_bytes(b"old")
    preview.chmod(0o640)
    link.symlink_to(preview)
    made = mail(body="x", html="<p>")

    made.save(link)

    assert link.is_symlink()
    assert preview.read_bytes() == made.as_bytes()
    assert preview.stat().st_mode & 0o777 == 0o640


def test_a_preview_can_go_into_a_pipe() -> None:
    reading, writing = os.pipe()
    made = mail(body="x", html="<p>")
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"):
        made.save(f"/dev/fd/{writing}")
        assert os.read(pipe.fileno(), 100_000) == made.as_bytes()


def test_a_file_written_over_by_one_as_long_is_not_sent_as_a_mixture_of_both(
    tmp_path: Path,
) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(b"a" * 2_000_000)
    source = mail(body="x", attachments=large).source
    assert isinstance(source, PartsEmail)
    pieces = octets_of_parts(source)
    next(pieces)
    with large.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"b" * 1_000_000)
    os.utime(large, (0, 0))

    with pytest.raises(ValueError, match="changed while it was sent"):
        list(pieces)


def test_the_text_is_made_of_the_page_only_if_asked() -> None:
    page = '<h1>Hi</h1><p>Read <a href="https://x.test/y?a=1&amp;b=2">this</a>.</p>'

    text, _html = parsed(mail(body=FROM_HTML, html=page)).iter_parts()

    assert words(text) == "Hi\n\nRead this <https://x.test/y?a=1&b=2>.\n"
    assert structure(parsed(mail(html=page))) == "text/html"


def test_an_invitation_has_its_method_in_its_type() -> None:
    made = mail(body="Come!", calendar=INVITATION.replace("\r\n", "\n").replace("REQ", "Req"))

    _text, part = parsed(made).iter_parts()

    assert part.get_param("method") == "REQUEST"
    assert part.get_content_disposition() is None


@pytest.mark.parametrize(
    "calendar",
    [
        "\ufeff" + INVITATION,
        b"\xef\xbb\xbf" + INVITATION.encode(),
        INVITATION.lower(),
        INVITATION.replace("\r\n", "\r"),
        INVITATION.replace(":REQ", ";X=Y: Req"),
        INVITATION.replace("END:", "DESCRIPTION:a\r\n METHOD:CANCEL\r\nEND:"),
    ],
)
def test_an_invitation_is_taken_from_any_program(calendar: str | bytes) -> None:
    part = parsed(mail(calendar=calendar))

    assert part["Content-Type"].params == {"method": "REQUEST", "charset": "us-ascii"}
    assert words(part).upper().startswith("BEGIN:VCALENDAR\n")


def test_a_part_is_encoded_once_for_any_number_of_emails() -> None:
    page, image = Html(EMBEDS), Attachment(PNG, name="logo.png")
    file = Attachment(b"x" * 100, name="x.bin")

    mails = [mail(html=page, inline={"logo": image}, attachments=[file]) for _ in range(2)]

    one, two = ([id(s) for s in made.content.email.segments] for made in mails)  # type: ignore[union-attr]
    assert {id(page.entity.segments[0]), id(image.entity("logo").segments[1])} <= {*one} & {*two}
    assert id(file.entity().segments[1]) in {*one} & {*two}


def test_no_two_emails_have_the_same_boundary() -> None:
    one, two = (parsed(mail(body="x", html="<p>")).get_boundary() for _ in range(2))

    assert one != two


def test_a_text_that_looks_like_a_boundary_ends_no_part() -> None:
    boundary = parsed(mail(body="x", html="<p>")).get_boundary()

    made = parsed(mail(body=f"x\n--{boundary}--\n", html=f"--{boundary}\n\n"))

    assert structure(made) == ALTERNATIVE


def test_all_is_in_ascii_and_the_same_for_each_server() -> None:
    made = mail(body="\u00fc" * 300 + "\n", html="\u0416" * 500, subject="\u00fc")
    assert made.content is not None

    data = made.content.render(eight_bit=False).data

    assert data == made.content.render(eight_bit=True).data == made.as_bytes()
    assert made.as_bytes().isascii()
    assert max(map(len, made.as_bytes().split(b"\r\n"))) <= 76


@pytest.mark.parametrize("given", [{}, {"html": "<p>"}], ids=["text", "parts"])
def test_a_field_whose_name_begins_with_a_dot_keeps_it_on_its_way(given: Any) -> None:
    content = mail(headers={".Trace": "1"}, **given).content

    assert content is not None
    facts = content.render(eight_bit=False).facts
    assert facts is not None
    assert not facts.is_plain  # so a dot is put before that of the line


def test_an_address_beyond_ascii_needs_smtputf8_and_a_name_does_not() -> None:
    assert mail(html="x", recipients="J\u00f6rg <you@b.test>").needs_smtputf8 is False
    assert mail(html="x", recipients="j\u00f6rg@b.test").needs_smtputf8 is True
    assert mail(html="x", reply_to="j\u00f6rg@b.test").needs_smtputf8 is True


def test_fields_with_an_argument_of_their_own_are_written() -> None:
    made = parsed(
        mail(
            body="x",
            reply_to=["A <a@b.test>", ("\u00dc, x", "c@d.test"), "e@f.test"],
            in_reply_to="<1@x.test>",
            list_id="News, all <news.a.test>",
            unsubscribe=Unsubscribe(url="https://a.test/u?id=4,2", mailto="u-42@a.test"),
            auto_submitted="auto-generated",
            date=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        )
    )

    assert made["Reply-To"] == 'A <a@b.test>, "\u00dc, x" <c@d.test>, e@f.test'
    assert made["In-Reply-To"] == made["References"] == "<1@x.test>"
    assert made["List-Id"] == '"News, all" <news.a.test>'
    assert made["List-Unsubscribe"] == "<https://a.test/u?id=4,2>, <mailto:u-42@a.test>"
    assert made["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert made["Auto-Submitted"] == "auto-generated"
    assert made["Date"] == "Fri, 02 Jan 2026 03:04:05 +0000"


@pytest.mark.parametrize("name", ["Reply-To", "LIST-ID", "references"])
def test_a_field_is_given_in_one_place(name: str) -> None:
    given = {"reply_to": YOU, "list_id": "x.y", "references": ["<a@b>"]}

    with pytest.raises(ValueError, match=f"^headers: {name} is given already"):
        mail(body="x", headers={name: "x"}, **given)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([("List-Id", "<a.b>"), ("list-id", "<c.d>")], r"^headers: list-id is there twice;"),
        ({"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}, "needs a List-Unsubscribe with"),
        (
            {"List-Unsubscribe-Post": "x", "List-Unsubscribe": "<mailto:a@b.test>"},
            "needs a List-Unsubscribe with an https URL",
        ),
    ],
)
def test_fields_of_a_list_are_there_once_and_a_click_needs_its_url(
    headers: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        mail(body="x", headers=headers)
    one_click = {
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Unsubscribe": "<https://a.test/u>",
    }
    assert parsed(mail(body="x", headers=one_click))["List-Unsubscribe"] == "<https://a.test/u>"


def test_references_are_those_given_and_a_long_thread_keeps_its_ends() -> None:
    ids = [f"<{number}@x.test>" for number in range(500)]

    made = parsed(mail(body="x", in_reply_to=ids[-1], references=ids))

    kept = str(made["References"]).split()
    assert (kept[0], kept[-1], len(kept)) == (ids[0], ids[-1], 100)


def test_two_made_of_the_same_parts_are_equal_and_can_be_pickled() -> None:
    def made(**more: Any) -> SendMail:
        parts = {"body": ["x"], "html": EMBEDS, "inline": {"logo": PNG}, "list_id": "x.y", **more}
        return mail(attachments=[Attachment(b"x", name="a.bin")], **parts)

    assert made() == made() == made(html=Html(EMBEDS))
    assert made() != made(html=EMBEDS + "!")
    assert made() != made(inline={"logo": PNG + b"x"})
    assert made() != made(list_id="x.z")
    again = pickle.loads(pickle.dumps(made()))  # noqa: S301
    assert again == made()
    assert again.attachments == (Attachment(b"x", name="a.bin"),)


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=120)
NAMES = TEXTS.map(lambda text: text.replace("/", "").replace("\\", "")).filter(str.strip)
CIDS = st.from_regex(r"[A-Za-z0-9._+=@~-]{1,20}", fullmatch=True)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=200)), max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    subject=TEXTS,
    name=TEXTS,
    body=st.one_of(st.just(""), TEXTS),
    html=st.one_of(st.none(), TEXTS),
    images=st.dictionaries(CIDS, st.binary(max_size=100), max_size=2),
    files=FILES,
    has_invitation=st.booleans(),
)
def test_what_is_built_parses_back_to_what_went_in(
    subject: str,
    name: str,
    body: str,
    html: str | None,
    images: dict[str, bytes],
    files: list[tuple[str, bytes]],
    has_invitation: bool,
) -> None:
    if html is not None:
        html += "".join(f'<img src="cid:{cid}">' for cid in images)
        if "cid:" in html.removesuffix("".join(f'<img src="cid:{cid}">' for cid in images)):
            return
    made = mail(
        sender=(name or None, ME),
        reply_to=[(name or None, YOU)],
        subject=subject,
        body=body,
        html=html,
        inline=images if html is not None else None,
        attachments=[
            Attachment(octets, name=each, content_type="application/x-a") for each, octets in files
        ],
        calendar=INVITATION if has_invitation else None,
    )
    data = made.as_bytes()
    message = parsed(made)

    lines = data.split(b"\r\n")
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert max(map(len, lines)) <= 998
    assert all(len(line) <= 76 for line in lines if b"=?" in line)
    content = made.content
    assert content is not None
    facts = content.render(eight_bit=True).facts
    assert facts is not None
    assert facts.size == len(data)
    found: dict[str, Any] = {"files": [], "images": {}, "texts": []}
    for part in message.walk():
        assert part.defects == []
        if part.get_content_disposition() == "attachment":
            # Not by get_filename(), which takes the brackets off a file that is called "<>".
            name = part["Content-Disposition"].params["filename"]
            found["files"].append((name, payload(part)))
        elif part.get_content_disposition() == "inline":
            found["images"][str(part["Content-ID"])[1:-1]] = payload(part)
        elif part.get_content_maintype() == "text":
            found["texts"].append((part.get_content_subtype(), words(part)))
        for field, value in part.items():
            if field not in {"Content-Type", "Subject", "From", "Reply-To"}:
                assert value.defects == (), (field, value)
    assert found["files"] == [(each.strip(), octets) for each, octets in files]
    assert found["images"] == (images if html is not None else {})
    expected = [("plain", body + "\n")] if body else []
    expected += [] if html is None else [("html", html + "\n" if html else "")]
    texts = [each for each in found["texts"] if each[0] != "calendar"]
    if body or html is not None or files or has_invitation:
        assert texts == expected


EVIL = ["\r\nBcc: x@y.test", "\n", "\r", "\0", "\x1b", "\x85\r\n"]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize(
    "give",
    [
        lambda evil: {"subject": f"a{evil}b"},
        lambda evil: {"sender": (f"a{evil}b", ME)},
        lambda evil: {"sender": f"a{evil}b <{ME}>"},
        lambda evil: {"reply_to": [(f"a{evil}b", ME)]},
        lambda evil: {"reply_to": f"a{evil}@b.test"},
        lambda evil: {"list_id": f"a.b{evil}"},
        lambda evil: {"list_id": f"a{evil} <a.b>"},
        lambda evil: {"auto_submitted": f"no{evil}"},
        lambda evil: {"in_reply_to": f"<a{evil}b@c>"},
        lambda evil: {"references": [f"<a@{evil}c>"]},
        lambda evil: {"unsubscribe": Unsubscribe(url=f"https://a.test/{evil}")},
        lambda evil: {"unsubscribe": Unsubscribe(mailto=f"a{evil}@b.test")},
        lambda evil: {"unsubscribe": Unsubscribe(mailto=f"mailto:a@b.test?subject={evil}")},
        lambda evil: {"html": '<img src="cid:a">', "inline": {f"a{evil}": PNG}},
        lambda evil: {"attachments": [Attachment(b"x", name=f"a{evil}b.txt")]},
        lambda evil: {"attachments": [Attachment(b"x", name="a", content_type=f"a/b{evil}")]},
    ],
)
def test_no_value_can_add_a_field(give: Any, evil: str) -> None:
    with pytest.raises(ValueError):
        mail(**{"body": "x", **give(evil)})
