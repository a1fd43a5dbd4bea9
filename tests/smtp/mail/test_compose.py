"""Text mails: complete, quick, and read back by others exactly as they were meant."""

import binascii
import dataclasses
import datetime as dt
import email
import email.header
import email.message
import email.policy
import email.utils
import locale
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pykka_smtp
from pykka_smtp.smtp.mail.compose import TextEmail
from pykka_smtp.smtp.mail.mail_data import encode_whole, scan

DATE = dt.datetime(2026, 11, 23, 6, 37, 33, tzinfo=dt.UTC)
GENERATED = ["From", "To", "Subject", "Date", "Message-ID"]
MIME = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]


def letter(**parts: Any) -> TextEmail:
    usual: dict[str, Any] = {
        "from_address": "me@example.com",
        "from_name": "My Name",
        "to": (("Your Name", "you@example.org"),),
        "subject": "Hello",
        "body": "1 2 3 4 5 6",
        "date": DATE,
        "message_id": "<1@example.com>",
    }
    return TextEmail(**(usual | parts))


def read(mail: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(mail, policy=email.policy.default)


def body_of(mail: bytes) -> bytes:
    payload = read(mail).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def normalised(body: bytes) -> bytes:
    return encode_whole(body, transparent=False)


def fields_of(mail: bytes) -> dict[str, str]:
    """The unfolded fields as they were sent, by lower-case name."""
    head = re.sub(r"\r\n(?=[ \t])", "", mail.partition(b"\r\n\r\n")[0].decode())
    return {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.split("\r\n"))
    }


def check_mail(mail: bytes) -> None:
    """What holds for each mail, RFC 5322 §2.1."""
    assert mail.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", mail)
    assert scan(mail).longest_line <= 998
    assert not read(mail).defects


def test_a_plain_mail_is_what_the_rfcs_ask_for() -> None:
    mail = letter(cc=((None, "c@example.net"),), headers=(("X-Mailer", "ours"),))
    assert mail.render(eight_bit=True) == (
        b"From: My Name <me@example.com>\r\n"
        b"To: Your Name <you@example.org>\r\n"
        b"Cc: c@example.net\r\n"
        b"Subject: Hello\r\n"
        b"Date: Mon, 23 Nov 2026 06:37:33 +0000\r\n"
        b"Message-ID: <1@example.com>\r\n"
        b"X-Mailer: ours\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"1 2 3 4 5 6\r\n"
    )


def test_without_recipients_to_show_there_is_neither_to_nor_cc() -> None:
    assert read(letter(to=()).render(eight_bit=True)).keys() == [
        "From",
        "Subject",
        "Date",
        "Message-ID",
        *MIME,
    ]


BODIES = [
    ("text gets its final CRLF", "a", b"a\r\n"),
    ("no text stays none", "", b""),
    ("LF becomes CRLF", "a\nb\n", b"a\r\nb\r\n"),
    ("CR becomes CRLF", "a\rb", b"a\r\nb\r\n"),
    ("octets are taken as they are", b"a\r\nb", b"a\r\nb\r\n"),
    ("lines are joined", ["a", "b"], b"a\r\nb\r\n"),
    ("lines may have their line ends", ["a\n", "b\r\n", "c\r"], b"a\r\nb\r\nc\r\n"),
    ("one line end is dropped of each line, not two", ["a\n\n", "b"], b"a\r\n\r\nb\r\n"),
    ("line ends within a line stay", ["a\nb", "c"], b"a\r\nb\r\nc\r\n"),
    ("an empty line stays", ["a", "", "b"], b"a\r\n\r\nb\r\n"),
    ("lines may be octets and text", ("a", b"b"), b"a\r\nb\r\n"),
    ("no lines are no text", [], b""),
    ("a line of one dot stays one", ".", b".\r\n"),
    ("only CR and LF end lines", "a\x0bb\x0cc", b"a\x0bb\x0cc\r\n"),
]


@pytest.mark.parametrize(("body", "sent"), [b[1:] for b in BODIES], ids=[b[0] for b in BODIES])
def test_a_body_is_sent_in_lines(body: Any, sent: bytes) -> None:
    mail = letter(body=body).render(eight_bit=False)
    assert mail.partition(b"\r\n\r\n")[2] == sent
    check_mail(mail)


ENCODINGS = [
    ("ASCII", "a", "us-ascii", "7bit", "7bit"),
    ("UTF-8 text", "é", "utf-8", "8bit", "quoted-printable"),
    ("UTF-8 octets", "é".encode(), "utf-8", "8bit", "quoted-printable"),
    ("other octets", b"\xe9", "unknown-8bit", "8bit", "quoted-printable"),
    ("998 ASCII", "x" * 998, "us-ascii", "7bit", "7bit"),
    ("999 ASCII", "x" * 999, "us-ascii", "quoted-printable", "quoted-printable"),
    ("998 octets UTF-8", "é" * 499, "utf-8", "8bit", "quoted-printable"),
    ("1000 octets UTF-8", "é" * 500, "utf-8", "quoted-printable", "quoted-printable"),
]


@pytest.mark.parametrize(
    ("body", "charset", "best", "plain"), [e[1:] for e in ENCODINGS], ids=[e[0] for e in ENCODINGS]
)
def test_the_body_is_encoded_as_it_and_the_server_need(
    body: Any, charset: str, best: str, plain: str
) -> None:
    for eight_bit, encoding in ((True, best), (False, plain)):
        mail = letter(body=body).render(eight_bit=eight_bit)
        check_mail(mail)
        assert read(mail).get_content_charset() == charset
        assert read(mail)["Content-Transfer-Encoding"] == encoding
        assert scan(mail).eight_bit == (encoding == "8bit")
        assert body_of(mail) == normalised(body if isinstance(body, bytes) else body.encode())


QP = [
    ("a space at a line's end is encoded", "é \nb", b"=C3=A9=20\r\nb\r\n"),
    ("a lone space is encoded", " \né", b"=20\r\n=C3=A9\r\n"),
    ("a tab at a line's end is encoded", "é\t", b"=C3=A9=09\r\n"),
    ("an equals sign is encoded", "é=", b"=C3=A9=3D\r\n"),
    (
        "a long line is broken",
        "é" + "x" * 75,
        b"=C3=A9" + b"x" * 69 + b"=\r\n" + b"x" * 6 + b"\r\n",
    ),
    ("74 and a space do not make 77", "x" * 74 + " \né", b"x" * 74 + b"=\r\n=20\r\n=C3=A9\r\n"),
    ("74 and a tab do not make 77", "x" * 74 + "\t\né", b"x" * 74 + b"=\r\n=09\r\n=C3=A9\r\n"),
]


@pytest.mark.parametrize(("body", "sent"), [q[1:] for q in QP], ids=[q[0] for q in QP])
def test_quoted_printable_is_as_rfc_2045_says(body: Any, sent: bytes) -> None:
    mail = letter(body=body).render(eight_bit=False)
    assert mail.partition(b"\r\n\r\n")[2] == sent


BODY = st.one_of(
    st.text(st.one_of(st.sampled_from("a .=\r\n\té"), st.characters(exclude_categories=["Cs"]))),
    st.binary(),
    st.lists(st.sampled_from([b" ", b"\t", b"x" * 71, b".", b"=", b"\xff", b"\n", b"x"])).map(
        b"".join
    ),
).filter(lambda body: (0 if isinstance(body, bytes) else "\0") not in body)


@given(BODY, st.booleans())
@example(b"x" * 74 + b" \n" + b"\xff", False)
def test_any_body_reads_back_octet_for_octet(body: Any, eight_bit: bool) -> None:
    mail = letter(body=body).render(eight_bit=eight_bit)
    check_mail(mail)
    octets = body if isinstance(body, bytes) else body.encode()
    assert body_of(mail) == normalised(octets)
    assert eight_bit or mail.isascii()
    if isinstance(body, str):
        assert read(mail).get_content() == normalised(octets).decode()


@given(BODY)
def test_quoted_printable_lines_are_76_or_shorter(body: Any) -> None:
    mail = letter(body=body if isinstance(body, bytes) else body.encode()).render(eight_bit=False)
    encoded = mail.partition(b"\r\n\r\n")[2]
    if b"quoted-printable" in mail:
        assert max(map(len, encoded.split(b"\r\n"))) <= 76
        assert not re.search(rb"[ \t]\r\n|[^\t\r\n -~]", encoded)
        assert binascii.a2b_qp(encoded) == body_of(mail)


@given(
    st.lists(
        st.one_of(st.text(st.sampled_from("a\r\n.")), st.binary().filter(lambda b: 0 not in b))
    )
)
def test_a_list_of_lines_is_as_the_same_lines_joined(lines: list[str | bytes]) -> None:
    mail = letter(body=lines).render(eight_bit=True)
    octets = [line if isinstance(line, bytes) else line.encode() for line in lines]
    assert body_of(mail) == normalised(
        b"\r\n".join(re.sub(rb"(\r\n|\r|\n)\Z", b"", line) for line in octets)
    )


TEXT = st.text(
    st.one_of(
        st.sampled_from(' "\\,;:<>()@=?_.äß€😀\u2028\x85'),
        st.characters(
            exclude_categories=["Cs"], exclude_characters="".join(map(chr, [*range(32), 127]))
        ),
    )
)
ANYTHING = st.one_of(
    st.text(st.one_of(st.sampled_from('\r\n\t \0:Bc,<>@"\\=?é'), st.characters())),
    st.sampled_from(
        ["\r\nBcc: x@y", "\nX: y", "\rX: y", "a\r\n\r\nbody", "x@y\r\nX: y", "x@y>, <z@w"]
    ),
)
ADDRESS = st.sampled_from(["a@b.org", '"a b, c"@d', "ö@e.example", "postmaster"])


def shown(name: str) -> str:
    return str(email.header.make_header(email.header.decode_header(name)))


@given(TEXT, TEXT, st.lists(st.tuples(TEXT, ADDRESS)), st.lists(st.tuples(TEXT, ADDRESS)), ADDRESS)
def test_any_subject_names_and_recipients_read_back_exactly(
    subject: str, name: str, to: list[tuple[str, str]], cc: list[tuple[str, str]], address: str
) -> None:
    made = letter(subject=subject, from_name=name, from_address=address, to=tuple(to), cc=tuple(cc))
    mail = made.render(eight_bit=True)
    check_mail(mail)
    assert str(read(mail)["Subject"]) == subject
    fields = fields_of(mail)
    for field, mailboxes in (("from", [(name, address)]), ("to", to), ("cc", cc)):
        found = email.utils.getaddresses([fields.get(field, "")])
        assert [(shown(name), address) for name, address in found if address] == mailboxes
    raw = [text for _, text in (*to, *cc, ("", address)) if not text.isascii()]
    assert made.has_8bit_headers == bool(raw)
    assert re.findall("[^\0-\x7f]", "".join(fields.values())) == re.findall(
        "[^\0-\x7f]", "".join([address, *(text for _, text in (*to, *cc))])
    )


HOSTILE = st.fixed_dictionaries(
    {},
    optional={
        "from_name": ANYTHING,
        "from_address": ANYTHING,
        "subject": ANYTHING,
        "body": ANYTHING,
        "message_id": st.one_of(ANYTHING, ANYTHING.map("<a@b>{}".format)),
        "to": st.lists(st.tuples(ANYTHING, st.one_of(ADDRESS, ANYTHING))).map(tuple),
        "cc": st.lists(st.tuples(st.none(), st.one_of(ADDRESS, ANYTHING))).map(tuple),
        "headers": st.lists(
            st.tuples(
                st.one_of(st.sampled_from(["X-A", "Reply-To", "Subject", "To"]), ANYTHING), ANYTHING
            )
        ).map(tuple),
    },
)


@given(HOSTILE)
@example({"subject": "x\r\nBcc: y@z"})
@example({"headers": (("X-A", "y"), ("Reply-To", "é\x85 <a@b>"))})
def test_no_input_ever_adds_a_field_or_a_recipient_to_the_header(parts: Any) -> None:
    try:
        made = letter(**parts)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 -- whether it raises is for the text to say
        return
    mail = made.render(eight_bit=True)
    check_mail(mail)
    given = [name.lower() for name, _ in made.headers]
    generated = [
        name.lower()
        for name in ("From", "To", "Cc", "Subject", "Date", "Message-ID")
        if (name != "To" or made.to or "to" in given) and (name != "Cc" or made.cc or "cc" in given)
    ]
    others = [name for name in given if name not in generated and name != "content-type"]
    assert [name.lower() for name in read(mail).keys()] == [  # noqa: SIM118 -- each, also repeated
        *generated,
        *others,
        *map(str.lower, MIME),
    ]
    for name, mailboxes in (("to", made.to), ("cc", made.cc)):
        if mailboxes and name not in given:
            found = email.utils.getaddresses([fields_of(mail)[name]])
            assert [address for _, address in found] == [address for _, address in mailboxes]


INJECTIONS = ["\r\nBcc: x@y", "\nX: y", "\rX: y", "\0", "\x0b", "\x1b[2J", "\x7f", "\ud800"]
FIELDS = [
    ("subject", "subject", lambda bad: {"subject": bad}),
    ("from_name", "from_name", lambda bad: {"from_name": bad}),
    ("from_address", "from_address", lambda bad: {"from_address": f"a@b{bad}"}),
    ("display name in to", "to_name", lambda bad: {"to": ((bad, "a@b"),)}),
    ("address in to", "to", lambda bad: {"to": ((None, f"a@b{bad}"),)}),
    ("display name in cc", "cc_name", lambda bad: {"cc": ((bad, "a@b"),)}),
    ("address in cc", "cc", lambda bad: {"cc": ((None, f"a@b{bad}"),)}),
    ("header value", "header X-A", lambda bad: {"headers": (("X-A", f"v{bad}"),)}),
    ("header name", "headers", lambda bad: {"headers": ((f"X-A{bad}", "v"),)}),
    ("replaced subject", "header Subject", lambda bad: {"headers": (("Subject", f"v{bad}"),)}),
    ("message_id", "message_id", lambda bad: {"message_id": f"<a@b>{bad}"}),
]


@pytest.mark.parametrize("bad", INJECTIONS, ids=ascii)
@pytest.mark.parametrize(("field", "parts"), [f[1:] for f in FIELDS], ids=[f[0] for f in FIELDS])
def test_injection_is_refused_and_the_error_names_the_field(
    field: str, parts: Any, bad: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: ") as caught:
        letter(**parts(bad))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Bcc", "bCC", "Resent-Bcc"])
def test_a_bcc_header_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(ValueError, match="use bcc="):
        letter(headers=((name, "a@b"),))


@pytest.mark.parametrize("name", ["MIME-Version", "content-transfer-encoding"])
def test_what_tells_of_the_body_cannot_be_given(name: str) -> None:
    with pytest.raises(ValueError, match=f"headers: {name} cannot be given"):
        letter(headers=((name, "8bit"),))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FROM", "Other <o@example.net>"),
        ("to", "undisclosed-recipients:;"),
        ("Subject", "=?utf-8?q?given?="),
        ("date", "Thu, 1 Jan 1970 00:00:00 -0000"),
        ("Message-Id", "<given@example.net>"),
        ("Content-Type", 'text/html; charset="utf-8"'),
    ],
)
def test_a_given_header_stands_where_the_generated_one_would(name: str, value: Any) -> None:
    mail = letter(headers=(("X-A", "1"), (name, value), ("X-A", "2"))).render(eight_bit=True)
    found = [line.split(": ", 1) for line in mail.decode().split("\r\n\r\n")[0].split("\r\n")]
    expected = [*GENERATED, "X-A", "X-A", *MIME]
    assert [key.lower() for key, _ in found] == [key.lower() for key in expected]
    assert [name, value] in found


def test_a_given_cc_stands_between_to_and_subject() -> None:
    mail = letter(headers=(("Cc", "a@b"),)).render(eight_bit=True)
    assert read(mail).keys()[:4] == ["From", "To", "Cc", "Subject"]


def test_a_given_header_that_may_be_there_once_is_refused_twice() -> None:
    with pytest.raises(ValueError, match="headers: SUBJECT is there twice"):
        letter(headers=(("Subject", "a"), ("SUBJECT", "a")))


def test_without_a_sender_the_from_must_be_given() -> None:
    for null in ("", "<>"):
        with pytest.raises(ValueError, match="from_address: where the reverse-path is null"):
            letter(from_address=null)
    mail = letter(from_address="<>", headers=(("From", "MAILER-DAEMON@example.com"),))
    assert read(mail.render(eight_bit=True))["From"] == "MAILER-DAEMON@example.com"


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=x", "Message/RFC822"])
def test_a_multipart_body_is_taken_only_if_it_needs_no_encoding(kind: str) -> None:
    headers = (("Content-Type", kind),)
    assert (
        letter(headers=headers, body="--x\n\n--x--").render(eight_bit=False).endswith(b"--x--\r\n")
    )
    for body in ("é", "x" * 999):
        with pytest.raises(ValueError, match="give the complete email instead"):
            letter(headers=headers, body=body)


def test_only_an_address_that_is_not_ascii_makes_8bit_headers() -> None:
    assert not letter(subject="é", from_name="é", body="é").has_8bit_headers
    mail = letter(to=(("é", "é@example.org"),))
    assert mail.has_8bit_headers
    assert "To: =?utf-8?b?w6k=?= <é@example.org>\r\n".encode() in mail.render(eight_bit=True)


BAD_BODIES = [
    ("NUL in text", "a\0b", ValueError, "body: NUL at octet 1"),
    ("NUL in octets", b"\0", ValueError, "body: NUL at octet 0"),
    ("NUL in a line", ["a", "\0"], ValueError, "body: NUL at octet 3"),
    ("lone surrogate", "a\udc80", ValueError, "body: lone surrogate at position 1"),
    ("number", 7, TypeError, "body: must be a str, bytes or a sequence of lines, not int"),
    ("none", None, TypeError, "body: must be .*, not NoneType"),
    ("bytearray", bytearray(b"a"), TypeError, "body: must be .*, not bytearray"),
    ("memoryview", memoryview(b"a"), TypeError, "body: must be .*, not memoryview"),
    ("set", {"a"}, TypeError, "body: must be .*, not set"),
    ("number among lines", ["a", 7], TypeError, "body: line 2 must be a str or bytes, not int"),
]


@pytest.mark.parametrize(
    ("body", "error", "message"), [b[1:] for b in BAD_BODIES], ids=[b[0] for b in BAD_BODIES]
)
def test_a_body_that_cannot_be_sent_is_refused(
    body: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        letter(body=body)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"to": "a@b"}, "to: must be a tuple of pairs .*, not str"),
        ({"to": ("a@b",)}, "to: must be a tuple of pairs .*; item 1 is none"),
        ({"cc": (("n", "a@b"), ("a@b",))}, "cc: must be a tuple of pairs .*; item 2 is none"),
        ({"to": ((1, "a@b"),)}, "to_name: must be a str, not int"),
        ({"to": (("n", None),)}, "to: an address must be a str, not NoneType"),
        ({"headers": {"a": "b"}}, "headers: must be a tuple of pairs .*, not dict"),
        ({"headers": ((1, "a"),)}, "headers: a name must be a str, not int"),
        ({"headers": (("X-A", 1),)}, "header X-A: must be a str, not int"),
        ({"from_name": b"n"}, "from_name: must be a str, not bytes"),
        ({"from_address": None}, "from_address: an address must be a str, not NoneType"),
        ({"subject": None}, "subject: must be a str, not NoneType"),
        ({"date": "today"}, "date: must be a datetime, not str"),
        ({"message_id": None}, "message_id: must be a str, not NoneType"),
    ],
)
def test_a_part_of_the_wrong_type_is_a_type_error_that_names_it(parts: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        letter(**parts)


def test_a_composed_content_copies_its_lists() -> None:
    lines, to, headers = ["a"], [["n", "a@b"]], [["X-A", "1"]]
    made = letter(body=lines, to=to, headers=headers)
    lines.append("b")
    to[0][1] = "evil@b"
    headers.clear()
    assert (made.body, made.to, made.headers) == (("a",), (("n", "a@b"),), (("X-A", "1"),))
    assert made.render(eight_bit=True) == made.render(eight_bit=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.subject = "other"  # type: ignore[misc]


def test_composed_contents_of_the_same_parts_are_equal_and_can_be_pickled() -> None:
    made = letter(body=["a"])
    assert made == letter(body=("a",))
    assert hash(made) == hash(letter(body=("a",)))
    assert made != letter(body=["b"])
    copy = pickle.loads(pickle.dumps(made))  # noqa: S301 -- our own
    assert copy.render(eight_bit=True) == made.render(eight_bit=True)


def test_the_repr_does_not_show_the_body() -> None:
    assert "1 2 3 4" not in repr(letter())
    assert "Hello" in repr(letter())


def test_names_of_days_and_months_do_not_depend_on_the_locale() -> None:
    before = locale.setlocale(locale.LC_TIME)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"):
        try:
            locale.setlocale(locale.LC_TIME, name)
        except locale.Error:
            continue
        try:
            assert b"Date: Mon, 23 Nov 2026" in letter().render(eight_bit=True)
        finally:
            locale.setlocale(locale.LC_TIME, before)


def test_importing_and_composing_does_not_load_the_email_package() -> None:
    folder = str(Path(pykka_smtp.__file__).parent)
    code = (
        "import sys, types, datetime as dt\n"
        # The package without its facade, which loads more.
        "package = sys.modules['pykka_smtp'] = types.ModuleType('pykka_smtp')\n"
        f"package.__path__ = [{folder!r}, {str(Path(folder).parent)!r}]\n"
        "before = set(sys.modules)\n"
        "from pykka_smtp.smtp.mail.compose import TextEmail\n"
        "TextEmail(from_address='a@b', subject='é', body='é', message_id='<a@b>',"
        " date=dt.datetime.now(dt.timezone.utc)).render(eight_bit=False)\n"
        "print([name for name in set(sys.modules) - before if name.split('.')[0] == 'email'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
