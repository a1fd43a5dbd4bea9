"""One mailbox with a display name, by a grammar of our own."""

import contextlib
import email.policy
import time
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.domain import AddressError
from pykka_smtp.smtp.mail.mailbox import check_display_name, split_name


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("Name <a@b.example>", "Name", "a@b.example"),
        ("My  Name <a@b.example>", "My  Name", "a@b.example"),
        ("Name<a@b.example>", "Name", "a@b.example"),
        ("Name\t<a@b.example>", "Name", "a@b.example"),
        ('"Finch, A. \\"Al\\"" <a@b.example>', 'Finch, A. "Al"', "a@b.example"),
        ('"One" two "three, four" <a@b.example>', "One two three, four", "a@b.example"),
        ("J. R. Hartley <a@b.example>", "J. R. Hartley", "a@b.example"),
        (
            "J\u00f6rg M\u00fcller <j\u00f6rg@b.example>",
            "J\u00f6rg M\u00fcller",
            "j\u00f6rg@b.example",
        ),
        ("O'Neill-Smith! <a@b.example>", "O'Neill-Smith!", "a@b.example"),
        ('Name <"a b"@b.example>', "Name", '"a b"@b.example'),
        ('Name <"a> <x"@b.example>', "Name", '"a> <x"@b.example'),
        ("Name <A+B@b.Example>", "Name", "A+B@b.Example"),
        ('"" <a@b.example>', "", "a@b.example"),
        # The envelope looks at these.
        ("a@b.example", None, "a@b.example"),
        ("<a@b.example>", None, "<a@b.example>"),
        ('"a <b>"@c.example', None, '"a <b>"@c.example'),
        ("Name <a@b.example> ", None, "Name <a@b.example> "),
        ("postmaster", None, "postmaster"),
        ("", None, ""),
        ("Name <nonsense>", "Name", "nonsense"),
    ],
)
def test_name_and_address_are_told_apart(text: str, name: str | None, address: str) -> None:
    assert split_name("to", text) == (name, address)


@pytest.mark.parametrize(
    "text",
    [
        "a@b.example, Name <c@d.example>",
        "Name <a@b.example>, Other <c@d.example>",
        "Group: a@b.example, Name <c@d.example>",
        "Name (comment) <a@b.example>",
        "Name <a@b.example> <c@d.example>",
        "Name <<a@b.example>>",
        "a@b.example <a@b.example>",
        'Na"me <a@b.example>',
        '"Name <a@b.example>',
        '"Na"me" <a@b.example>',
        "[Name] <a@b.example>",
        "Na;me <a@b.example>",
        "Na\\me <a@b.example>",
        "Name\n <a@b.example>",
        "Name\r\nBcc: x <a@b.example>",
        " Name <a@b.example>",
        "x" * 3000 + " <a@b.example>",
        ">",
    ],
)
def test_what_is_not_one_mailbox_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match=r"^to: .* is not of the form Name <address>") as caught:
        split_name("to", text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ['"a\nb" <a@b.example>', '"a\\\rb" <a@b.example>', "a\0b <a@b.c>"])
def test_a_control_character_in_a_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^to: ") as caught:
        split_name("to", text)
    assert str(caught.value).isprintable()


def test_a_name_that_is_encoded_already_is_refused() -> None:
    for text in ("=?utf-8?q?J=C3=B6rg?= <a@b.example>", '"=?utf-8?b?eA==?=" <a@b.example>'):
        with pytest.raises(ValueError, match="is encoded; give it as text"):
            split_name("to", text)
    with pytest.raises(TypeError, match=r"^to: the name: must be a str, not int"):
        check_display_name("to", 5)


@pytest.mark.parametrize("piece", ['"', "\\", "a ", "a\t", '"a" ', "<", "<>", "a@", '""'])
def test_it_is_quick_whatever_the_text(piece: str) -> None:
    text = piece * (2000 // len(piece) - 5)
    began = time.perf_counter()
    for end in (">", "<a@b.c>", '"<a@b.c>'):
        with contextlib.suppress(ValueError):
            split_name("to", text + end)
    assert time.perf_counter() - began < 2


@given(st.text(st.sampled_from('ab".\\ <>@,:;()[]\u00e4'), max_size=30))
def test_what_is_read_is_what_the_standard_library_reads(text: str) -> None:
    try:
        name, address = split_name("to", f"{text} <x@y.example>")
    except ValueError:
        return
    if name is None:
        return
    try:
        read = HeaderRegistry()("to", f"{text} <x@y.example>").addresses  # type: ignore[attr-defined]
    except AttributeError:  # it fails on a name that begins with a dot
        return
    assert address == "x@y.example"
    assert len(read) == 1
    assert read[0].addr_spec == address
    assert read[0].display_name.split() == name.split()


def test_the_oracle_reads_names() -> None:
    message = EmailMessage(policy=email.policy.default)
    message["To"] = "Name <x@y.example>"
    assert message["To"].addresses[0].display_name == "Name"
