"""Entities: what their facts say is so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.mail_data import scan
from pykka_smtp.smtp.mail.parts.base64_lines import encoded_size, in_lines
from pykka_smtp.smtp.mail.parts.content_types import type_by_name
from pykka_smtp.smtp.mail.parts.entity import (
    Entity,
    FileBody,
    facts_of,
    file_entity,
    multipart,
    text_entity,
)
from pykka_smtp.smtp.mail.parts.file_names import file_fields


def whole(entity: Entity) -> bytes:
    return b"".join(each for each in entity.segments if isinstance(each, bytes))


def check(entity: Entity) -> None:
    facts, found = facts_of(entity), scan(whole(entity))
    assert (facts.size, facts.is_plain) == (found.size, found.is_plain)
    assert (facts.eight_bit, facts.nul) == (found.eight_bit, found.nul) == (False, False)
    assert found.longest_line <= facts.longest_line <= 998


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=400)


@given(st.one_of(TEXTS, TEXTS.map(lambda text: text * 50), st.just(".\n..\n")))
def test_the_facts_of_a_text_are_right(text: str) -> None:
    check(text_entity(text, "text/plain"))


@given(st.lists(TEXTS, min_size=1, max_size=4), st.binary(max_size=300))
def test_the_facts_of_several_are_right(texts: list[str], octets: bytes) -> None:
    inner = [text_entity(text, "text/html") for text in texts]
    file = file_entity(in_lines(octets), *file_fields("a/b", "\u00fc" * 99, "attachment"))

    check(multipart("mixed", "b", [multipart("alternative", "c", inner), file]))


@given(st.integers(0, 20_000))
def test_the_size_of_a_file_is_known_without_reading_it(size: int) -> None:
    assert encoded_size(size) == len(in_lines(bytes(size)))
    entity = file_entity(FileBody("/x"), "Content-Type: a/b")
    facts = facts_of(entity, [size])
    assert facts.size == len(whole(entity)) + encoded_size(size)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("hello", b"7bit"),
        ("x" * 998, b"7bit"),
        ("x" * 999, b"quoted-printable"),
        ("gr\u00fc\u00dfe " * 3 + "x" * 60, b"quoted-printable"),
        ("\u4f60\u597d", b"base64"),
        (b"\xff\xfe", b"base64"),
    ],
)
def test_a_text_has_the_shortest_encoding(text: str | bytes, encoding: bytes) -> None:
    octets = whole(text_entity(text, "text/plain"))

    assert b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" in octets


def test_no_name_of_a_file_is_an_unknown_type_in_upper_case() -> None:
    assert type_by_name("A.PNG") == "image/png"
    assert type_by_name("png") == "application/octet-stream"
