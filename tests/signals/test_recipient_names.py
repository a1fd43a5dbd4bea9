"""Recipients with display names: to the header go the names, to the envelope the addresses."""

import dataclasses
import pickle
from typing import Any

import pytest

from pykka_smtp import SendMail

ME = "me@a.test"


def mail(**given: Any) -> SendMail:
    return SendMail(**{"sender": ME, **given})


def head(made: SendMail) -> str:
    assert made.content is not None
    data = made.content.render(eight_bit=True).data
    assert data is not None
    return data.partition(b"\r\n\r\n")[0].decode()


def field(made: SendMail, name: str) -> str | None:
    for line in head(made).replace("\r\n ", " ").split("\r\n"):
        if line.startswith(f"{name}: "):
            return line.removeprefix(f"{name}: ")
    return None


@pytest.mark.parametrize(
    "recipients", ["Name <a@b.example>", ["Name <a@b.example>"], [("Name", "a@b.example")]]
)
def test_a_name_goes_to_the_header_and_the_address_to_the_envelope(recipients: Any) -> None:
    made = mail(recipients=recipients)

    assert made.recipients == made.envelope.forward_paths == ("a@b.example",)
    assert made.to_name == ("Name",)
    assert field(made, "To") == "Name <a@b.example>"


def test_names_and_bare_addresses_may_be_mixed() -> None:
    made = mail(
        recipients=["x@b.example", ("J\u00f6rg, der", "y@b.example"), '"Z, z" <Z+z@B.example>'],
        cc=["C <c@d.example>", (None, "n@d.example"), ("", "e@d.example")],
        bcc=["Secret <s@d.example>", ("Hidden", "h@d.example")],
    )

    assert field(made, "To") == (
        'x@b.example, =?utf-8?q?J=C3=B6rg=2C_der?= <y@b.example>, "Z, z" <Z+z@B.example>'
    )
    assert field(made, "Cc") == "C <c@d.example>, n@d.example, e@d.example"
    assert "ecret" not in head(made)
    assert "idden" not in head(made)
    assert made.cc == ("c@d.example", "n@d.example", "e@d.example")
    assert made.bcc == ("s@d.example", "h@d.example")
    assert made.envelope.forward_paths == made.all_recipients
    assert made.envelope.forward_paths[2] == "Z+z@B.example"


def test_a_pair_counts_only_inside_a_sequence() -> None:
    made = mail(recipients=("a@x.example", "b@y.example"))
    assert made.recipients == ("a@x.example", "b@y.example")
    assert mail(recipients=("postmaster", "b@y.example")).recipients[0] == "postmaster"

    for field_name in ("recipients", "cc", "bcc"):
        for pair in (("Name", "a@b.example"), ["Name", "a@b.example"]):
            with pytest.raises(ValueError, match=r"write \[\(name, address\)\]$"):
                mail(**{"recipients": "x@y.example", field_name: pair})


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ("<a@b.example>", ValueError, "write it without angle brackets"),
        ("Name <a@b.example>, x@y.example", ValueError, 'only one address|no "@"|may not stand'),
        ("A <a@b.example>, B <c@d.example>", ValueError, "of the form Name <address>"),
        ("Group: A <a@b.example>;", ValueError, "may stand only in a quoted"),
        ("A (B) <a@b.example>", ValueError, "of the form Name <address>"),
        ("Name <a b@c.example>", ValueError, "may stand only in a quoted"),
        ("Name <>", ValueError, "it is empty"),
        ("Name <a@b.example>\r\n", ValueError, "control character"),
        ([("Name", "X <a@b.example>")], ValueError, "only the address belongs here"),
        ([("a\nBcc: x@y", "a@b.example")], ValueError, r"recipients\[0\]: the name: control"),
        ([("a", "b", "c")], TypeError, r"recipients\[0\]: needs an address, or a pair"),
        ([(5, "a@b.example")], TypeError, r"recipients\[0\]: the name: must be a str, not int"),
        ([("Name", None)], TypeError, r"recipients\[0\]: needs an address, or a pair"),
        ([["Name", "a@b.example"]], TypeError, r"recipients\[0\]: an address must be a str"),
        ([{"Name": "a@b.example"}], TypeError, "an address must be a str, not dict"),
    ],
    ids=repr,
)
def test_nothing_else_is_let_in(given: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        mail(recipients=given)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("sender", ["Me, too <me@a.test>", ("Me, too", "me@a.test")])
def test_the_sender_may_have_a_name(sender: Any) -> None:
    if isinstance(sender, str):
        with pytest.raises(ValueError, match=r"^sender: .* needs quotes"):
            mail(sender=sender, recipients="a@b.example")
        sender = '"Me, too" <me@a.test>'

    made = mail(sender=sender, recipients="a@b.example")

    assert (made.sender, made.from_name) == ("me@a.test", "Me, too")
    assert made.envelope.reverse_path == "me@a.test"
    assert field(made, "From") == '"Me, too" <me@a.test>'
    assert (made.message_id or "").endswith("@a.test>")


def test_the_sender_has_one_name_only() -> None:
    with pytest.raises(ValueError, match=r"^from_name: the sender has a name already"):
        mail(sender="Me <me@a.test>", from_name="I", recipients="a@b.example")
    with pytest.raises(ValueError, match="leave out from_name"):
        mail(sender="Me <me@a.test>", recipients="a@b.example", message=b"a: b")
    assert mail(sender=(None, "me@a.test"), from_name="I", recipients="a@b.example").sender


def test_the_null_reverse_path_is_no_name() -> None:
    made = mail(sender="<>", recipients="a@b.example", headers={"From": "me@a.test"})
    assert made.sender == "<>"
    with pytest.raises(TypeError, match=r"^sender: needs an address, or a pair"):
        mail(sender=("Me", "me@a.test", "x"), recipients="a@b.example")


def test_a_name_here_and_in_to_name_is_refused() -> None:
    for to_name in ("Other", ["Other"], ["Other", None]):
        with pytest.raises(ValueError, match=r"^to_name: the recipients have names already"):
            mail(recipients=["Name <a@b.example>"], to_name=to_name)
    assert mail(recipients=["Name <a@b.example>"], to_name=[None]).to_name == ("Name",)
    assert field(mail(recipients="a@b.example", to_name="Only"), "To") == "Only <a@b.example>"


def test_a_mail_with_names_can_be_made_again() -> None:
    made = mail(recipients=[("Name", "a@b.example"), "x@y.example"])
    again = dataclasses.replace(made, subject="Again")
    assert field(again, "To") == field(made, "To") == "Name <a@b.example>, x@y.example"
    assert pickle.loads(pickle.dumps(made)).to_name == ("Name", None)  # noqa: S301 - our own


def test_names_of_a_complete_mail_are_in_its_header_already() -> None:
    made = mail(recipients="Name <a@b.example>", bcc="B <b@b.example>", message=b"To: x\n\nx\n")
    assert made.envelope.forward_paths == ("a@b.example", "b@b.example")


# Blind copies alone


@pytest.mark.parametrize("nobody", [{}, {"recipients": []}, {"recipients": ()}])
def test_blind_copies_alone_are_undisclosed_recipients(nobody: dict[str, Any]) -> None:
    made = mail(bcc=["Secret <s@d.example>", "t@d.example"], **nobody)

    assert field(made, "To") == "undisclosed-recipients:;"
    assert (made.recipients, made.envelope.forward_paths) == ((), ("s@d.example", "t@d.example"))
    assert "d.example" not in head(made)
    assert pickle.loads(pickle.dumps(made)).recipients == ()  # noqa: S301 - our own


def test_a_to_of_one_s_own_stands_instead() -> None:
    made = mail(bcc="s@d.example", headers={"TO": "All of us <us@a.test>"})
    assert head(made).count("undisclosed") == 0
    assert field(made, "TO") == "All of us <us@a.test>"


def test_a_bounce_for_blind_copies_names_none_of_their_domains() -> None:
    made = mail(sender="<>", bcc="s@secret.example", headers={"From": "x@a.test"})
    assert "secret" not in head(made)
    assert (field(made, "Message-ID") or "").endswith("@localhost>")


def test_without_anybody_it_says_what_is_missing() -> None:
    with pytest.raises(TypeError, match="SendMail: recipients is missing; give it, or bcc alone"):
        mail()
    with pytest.raises(ValueError, match="recipients: empty"):
        mail(recipients=[], bcc=[])


# Fields that a mail has once


@pytest.mark.parametrize("name", ["Reply-To", "Sender", "In-Reply-To", "References"])
def test_a_field_that_a_mail_has_once_is_refused_twice(name: str) -> None:
    headers = [(name, "<a@b.example>"), (name.upper(), "<a@b.example>")]
    with pytest.raises(ValueError, match=f"headers: {name.upper()} is there twice"):
        mail(recipients="a@b.example", headers=headers)
    mail(recipients="a@b.example", headers=headers[:1])


@pytest.mark.parametrize(
    "value", ["a@b.example, c@d.example", "A <a@b.example>, B <c@d.example>", "G: a@b.example;"]
)
def test_a_sender_with_several_addresses_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="headers: Sender has several addresses"):
        mail(recipients="a@b.example", headers={"Sender": value})


@pytest.mark.parametrize(
    "value", ['"A, B" <a@b.example>', "a@b.example (one, or two)", "J\u00f6rg <a@b.example>"]
)
def test_a_sender_with_one_address_is_taken(value: str) -> None:
    assert "Sender: " in head(mail(recipients="a@b.example", headers={"Sender": value}))


def test_encoded_words_beside_an_address_beyond_ascii_are_not_encoded_again() -> None:
    made = mail(
        recipients="a@b.example", headers={"Reply-To": "=?utf-8?q?=C3=BC?= <\u00fc@b.example>"}
    )
    assert field(made, "Reply-To") == "=?utf-8?q?=C3=BC?= <\u00fc@b.example>"
