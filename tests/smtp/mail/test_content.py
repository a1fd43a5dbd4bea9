"""What is mailed, in the form that a server takes."""

import datetime as dt
from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from pykka_smtp.smtp.mail.compose import TextEmail
from pykka_smtp.smtp.mail.content import (
    MAX_TEXT_LINE,
    CompleteContent,
    ComposedContent,
    Content,
    Rendition,
    StreamedContent,
)
from pykka_smtp.smtp.mail.mail_data import MailFacts, scan


def letter(body: str, to: str = "c@d.test") -> TextEmail:
    return TextEmail(
        from_address="a@b.test",
        to=((None, to),),
        subject="Hello",
        body=body,
        date=dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
        message_id="<1@b.test>",
    )


def octets_of(rendition: Rendition) -> bytes:
    assert rendition.data is not None
    facts, exact = rendition.facts, scan(rendition.data)
    # Of what is made here, a bound for the longest line is enough.
    assert facts is not None
    assert exact.longest_line <= facts.longest_line <= MAX_TEXT_LINE
    assert replace(facts, longest_line=0) == replace(exact, longest_line=0)
    return rendition.data


def text_of(mail: bytes) -> str:
    return str(message_from_bytes(mail, policy=policy.default).get_content())


@pytest.mark.parametrize("eight_bit", [True, False])
def test_a_composed_ascii_content_is_the_same_for_every_server(*, eight_bit: bool) -> None:
    content = ComposedContent(letter("Hello"))

    assert octets_of(content.render(eight_bit=eight_bit)).endswith(b"\r\n\r\nHello\r\n")
    assert not content.needs_smtputf8


def test_a_content_is_composed_for_the_servers_extensions() -> None:
    content = ComposedContent(letter("gr\u00fc\u00dfe"))

    as_it_is = content.render(eight_bit=True)
    encoded = content.render(eight_bit=False)

    assert b"gr\xc3\xbc\xc3\x9fe" in octets_of(as_it_is)
    assert octets_of(encoded).isascii()
    assert text_of(octets_of(encoded)) == text_of(octets_of(as_it_is)) == "gr\u00fc\u00dfe\r\n"


def test_a_composed_content_with_an_address_beyond_ascii_needs_smtputf8() -> None:
    assert ComposedContent(letter("Hello", to="jos\u00e9@d.test")).needs_smtputf8


@pytest.mark.parametrize("eight_bit", [True, False])
def test_a_complete_mail_that_nobody_may_encode_goes_out_as_it_is(*, eight_bit: bool) -> None:
    content = CompleteContent(b"a: b\n\n\xff.\r")

    assert octets_of(content.render(eight_bit=eight_bit)) == b"a: b\n\n\xff.\r"
    assert not content.needs_smtputf8


def test_a_complete_mail_with_a_form_in_ascii_goes_out_in_it_where_the_server_needs_it() -> None:
    content = CompleteContent(b"\xff", seven_bit=b"=FF")

    assert octets_of(content.render(eight_bit=True)) == b"\xff"
    assert octets_of(content.render(eight_bit=False)) == b"=FF"


@pytest.mark.parametrize("eight_bit", [True, False])
@pytest.mark.parametrize(
    "facts", [None, MailFacts(size=5, eight_bit=True, nul=False, longest_line=3)]
)
def test_a_stream_is_known_by_its_facts_alone(facts: MailFacts | None, *, eight_bit: bool) -> None:
    content = StreamedContent(facts)

    # Of a stream that is read once, the server is promised what it can take.
    promised = eight_bit or facts is not None
    assert content.render(eight_bit=eight_bit) == Rendition(None, facts, may_be_eight_bit=promised)
    assert not content.needs_smtputf8


def test_all_kinds_of_content_are_told_alike() -> None:
    kinds: list[Content] = [
        ComposedContent(letter("a")),
        CompleteContent(b"a"),
        StreamedContent(scan(b"a")),
    ]

    assert {type(kind.render(eight_bit=True)) for kind in kinds} == {Rendition}
