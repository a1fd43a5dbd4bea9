"""``pykka-smtp send``: mails and lists as editors, spreadsheets and mail programs leave them."""

import io

import pytest
from servers.sending import dead_url, send, url_of
from servers.sending_fixtures import Shell

from pykka_smtp.cli.input.encoding import wide_encoding
from pykka_smtp.cli.input.mail_file import BadMailError, read_mail
from pykka_smtp.cli.input.mailbox import read_mailbox
from pykka_smtp.testing.polite import polite

# Bcc.


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "header",
    [
        "From: a@x.test\nSubject: Minutes\nof Tuesday\nBcc: secret@x.test",
        "From: a@x.test\nSubject: Minutes\nof Tuesday\n\tfolded\nBCC : secret@x.test\nTo: b@x.test",
        "From: a@x.test\nBad field name: x\nResent-Bcc: secret@x.test",
        "From: a@x.test\n: no name\nbcc:secret@x.test",
        "Bcc: secret@x.test\nFrom: a@x.test",
        "From: a@x.test\nX: " + "y" * 2_000_000 + "\nBcc: secret@x.test",
    ],
    ids=["broken", "folded", "spaces", "nameless", "first", "far"],
)
def test_a_bcc_behind_a_broken_line_is_found_up_to_the_first_blank_line(
    header: str, end: str
) -> None:
    for rest in ("", "\n", "\n\nHello\n"):
        octets = (header + rest).replace("\n", end).encode()
        with pytest.raises(BadMailError, match="has a Bcc field, which every recipient would see"):
            read_mail(io.BytesIO(octets))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "text",
    [
        "From: a@x.test\nSubject: x\n\nBcc: only@text.test\n",
        "From: a@x.test\nSubject: no\n Bcc: folded@x.test\n\nHello\n",
        "From: a@x.test\nSubject: no Bcc: here\nX-Bcc: a@x.test\n\nHello\n",
    ],
)
def test_a_bcc_that_is_no_field_of_the_header_is_none(text: str, end: str) -> None:
    warnings = read_mail(io.BytesIO(text.replace("\n", end).encode())).warnings

    assert warnings == (
        "has no Date and no Message-ID; it goes out without, and may be taken for spam",
    )


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("Subject: x", "From and no Date and no Message-ID"),
        ("FROM : a@x.test\nmessage-id: <1@x.test>", "Date"),
        ("From: a@x.test\nDate: x\nMessage-ID: <1@x.test>", None),
        ("From: a@x.test\nDate: x\n\nMessage-ID: <1@x.test>", "Message-ID"),
    ],
)
def test_a_mail_without_the_usual_fields_gets_a_remark(header: str, missing: str | None) -> None:
    remark = f"has no {missing}; it goes out without, and may be taken for spam"

    warnings = read_mail(io.BytesIO(f"{header}\n\nHello\n".encode())).warnings

    assert warnings == (() if missing is None else (remark,))


def test_a_mail_with_a_broken_header_and_a_bcc_is_not_sent(shell: Shell) -> None:
    file = shell.folder / "mail.eml"
    file.write_bytes(
        b"From: a@x.test\nSubject: Minutes\nof Tuesday\nBcc: secret@example.net\n\nHello\n"
    )

    assert send("--url", url_of(shell.server), "--to", "b@x.test", str(file)) == 65
    assert f"{file} has a Bcc field" in shell.read().err
    assert shell.server.sessions == []


def test_an_invalid_header_line_gives_a_warning(shell: Shell) -> None:
    file = shell.folder / "mail.eml"
    file.write_bytes(b"From: a@x.test\nSubject: Minutes\nof \x1bTuesday\n\nHello\n")

    assert send("--url", url_of(shell.serve()), "--to", "b@x.test", str(file)) == 0
    complaints = shell.read().err
    assert r"has a line in its header that is no field: 'of \x1bTuesday'" in complaints
    assert complaints.count("\n") == 1


# Mailboxes.


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("me@example.com", (None, "me@example.com")),
        ("Me (Sales) <me@example.com>", ("Me", "me@example.com")),
        ("<a@b.example> (home)", (None, "a@b.example")),
        ("(a (b (c))) Me <(x) a@b.example (y)>(z)", ("Me", "a@b.example")),
        ("a@b.example (Cron (the) Daemon)", (None, "a@b.example")),
        (r"(a \) b) a@b.example", (None, "a@b.example")),
        ('"Name (no comment), \\"My\\"" <me@x.test>', ('Name (no comment), "My"', "me@x.test")),
        ('"m e"@example.com', (None, '"m e"@example.com')),
        ('"(x)"@example.com', (None, '"(x)"@example.com')),
        ("Me <a@[IPv6:2001:db8::1]>", ("Me", "a@[IPv6:2001:db8::1]")),
        ("a@[IPv6:2001:db8::1]", (None, "a@[IPv6:2001:db8::1]")),
        ("Jörg   Müller <joerg@x.test>", ("Jörg Müller", "joerg@x.test")),
        ("<>", (None, "")),
    ],
)
def test_one_mailbox_is_split_whatever_comments_stand_in_it(
    text: str, split: tuple[str | None, str]
) -> None:
    assert read_mailbox(text) == split


@pytest.mark.parametrize(
    "text",
    [
        *("", "a@x.test, b@x.test", "A <a@x.test>, B <b@x.test>", "Some People:;", "a b@x.test"),
        *("Me (Sales <me@x.test>", "Me) <me@x.test>", 'Me "x <me@x.test>', "<a@x.test> <b@x.test>"),
        *("<a@x.test", "a@x.test>", "A: a@x.test;", "(only)", "\\"),
    ],
)
def test_what_is_not_exactly_one_mailbox_is_not_split(text: str) -> None:
    assert read_mailbox(text) is None


@pytest.mark.parametrize("text", ["(" * 100_000, '"' * 99_999, "a\\" * 50_000, "<" * 100_000])
def test_no_mailbox_takes_its_time(text: str) -> None:
    assert read_mailbox(text) is None


@pytest.mark.parametrize(
    ("field", "sender"),
    [
        ("Me (Sales) <me@example.com>", "me@example.com"),
        ("<a@b.example> (home)", "a@b.example"),
        ("(x (y)) a@b.example", "a@b.example"),
        ("Me\n (Sales\n of (all) things)\n <me@example.com>", "me@example.com"),
    ],
)
def test_a_from_with_comments_is_understood(shell: Shell, field: str, sender: str) -> None:
    file = shell.folder / "mail.eml"
    file.write_text(f"From: {field}\nSubject: x\n\nHello\n")

    assert send("--url", url_of(shell.server), "--to", "a@x.test", str(file)) == 0
    assert [mail.sender for mail in shell.server.mails] == [sender]


# Encodings.


def test_a_byte_order_mark_is_not_part_of_the_email(shell: Shell) -> None:
    server = shell.serve(polite("8BITMIME"))
    file = shell.folder / "mail.eml"
    file.write_text("From: me@x.test\nSubject: x\n\nGrüße\n", encoding="utf-8-sig")

    assert send("--url", url_of(server), "--to", "a@x.test", str(file)) == 0
    assert server.mails[0].data.startswith(b"From: me@x.test\r\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("which", ["mail", "recipients"])
def test_a_file_in_another_encoding_is_named_for_what_it_is(
    shell: Shell, encoding: str, which: str
) -> None:
    file = shell.folder / "mail.eml"
    text = "From: me@x.test\nSubject: x\n\nHello\n"
    file.write_bytes(text.encode(encoding if which == "mail" else "utf-8"))
    names = shell.to_file("a@x.test\nb@x.test\n".encode(encoding if which != "mail" else "utf-8"))

    assert send("--url", url_of(shell.server), "--to-file", names, str(file)) == 65
    first, *others = shell.read().err.splitlines()
    name = file if which == "mail" else names
    expected = encoding.upper()[:6]
    assert first.startswith(f"pykka-smtp send: {name} is {expected}")
    assert first.endswith("save it as UTF-8")
    assert others in ([], ["pykka-smtp send: nothing was sent"])
    assert shell.server.sessions == []


@pytest.mark.parametrize("text", [b"", b"a", b"a\n", b"a@x.test\n", b"\xef\xbb\xbfa@x.test", b"\0"])
def test_utf_8_is_no_other_encoding(text: bytes) -> None:
    assert wide_encoding(text) is None


def test_an_mbox_file_is_named_for_what_it_is(shell: Shell) -> None:
    file = shell.folder / "mail.eml"
    file.write_bytes(b"From me@x.test Mon Nov 23 10:00:00 2026\nFrom: me@x.test\n\nHello\n")

    assert send("--url", dead_url(), "--to", "a@x.test", str(file)) == 65
    assert shell.read().err == (
        f"pykka-smtp send: {file} begins with the line of an mbox file,"
        " 'From me@x.test Mon Nov 23 10:00:00 2026'; take that line out, and send one email of it\n"
    )


# Lists.


@pytest.mark.parametrize(
    "line",
    [
        '"a@x.test"',
        ' "a@x.test" ',
        "Anna <a@x.test>",
        '"Anna (A.), of X" <a@x.test>',
        '"Anna <a@x.test>"',
        '"""Anna, of X"" <a@x.test>"',
        "<a@x.test>",
        "a@x.test (Anna)",
    ],
)
def test_a_cell_of_a_spreadsheet_or_an_address_with_a_name_is_read(shell: Shell, line: str) -> None:
    assert (
        send("--url", url_of(shell.server), "--to-file", shell.to_file(f"{line}\n"), shell.mail)
        == 0
    )
    assert [mail.recipients for mail in shell.server.mails] == [("a@x.test",)]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ('"a@x.test","Anna"', "it is more than one; write one address a line"),
        ("a@x.test,Anna", "it is more than one; write one address a line"),
        ("a@x.test;b@x.test", "it is more than one; write one address a line"),
        ("a@x.test, b@x.test", "it is more than one; write one address a line"),
        ("a@x.test\tAnna", "it is more than one; write one address a line"),
        ("A <a@x.test> B <b@x.test>", "write the address alone, or as Name <address>"),
        ("Anna <a@x.test", "write the address alone, or as Name <address>"),
        ("email", 'it has no "@"'),
    ],
)
def test_advice_is_in_the_words_of_the_command(shell: Shell, line: str, advice: str) -> None:
    assert send("--url", dead_url(), "--to-file", shell.to_file(f"{line}\n"), shell.mail) == 65
    complaints = shell.read().err
    assert f"line 1: invalid address {line!r}: {advice}" in complaints.replace("\\\\t", "\\t")
    for argument in ("from_name", "to_name", "as a list", "recipients="):
        assert argument not in complaints


def test_several_addresses_behind_one_option_are_told_to_repeat_it(shell: Shell) -> None:
    assert send("--url", dead_url(), "--to", "a@x.test,b@x.test", shell.mail) == 64
    assert "--to: invalid address" in (complaint := shell.read().err)
    assert complaint.endswith("it is more than one; repeat --to for each\n")


def test_a_sender_may_be_given_with_a_name(shell: Shell) -> None:
    assert (
        send(
            "--url", url_of(shell.server), "--to=a@x.test", "--sender", "Me <b@x.test>", shell.mail
        )
        == 0
    )
    assert [mail.sender for mail in shell.server.mails] == ["b@x.test"]
