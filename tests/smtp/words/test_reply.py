"""One reply, and what its code and text say."""

import dataclasses

import pytest

from pykka_smtp.smtp.words.reply import Reply


@pytest.mark.parametrize(
    ("code", "true"),
    [
        (200, "is_positive"),
        (299, "is_positive"),
        (300, "is_intermediate"),
        (399, "is_intermediate"),
        (400, "is_transient"),
        (499, "is_transient"),
        (500, "is_permanent"),
        (599, "is_permanent"),
    ],
)
def test_the_first_digit_says_what_kind_of_reply_it_is(code: int, true: str) -> None:
    reply = Reply(code)

    kinds = ["is_positive", "is_intermediate", "is_transient", "is_permanent"]
    assert [kind for kind in kinds if getattr(reply, kind)] == [true]


def test_a_reply_of_several_lines_has_one_text_and_one_line_to_print() -> None:
    reply = Reply(550, ("5.1.1 no such user", "ask the postmaster"))

    assert reply.text == "5.1.1 no such user\nask the postmaster"
    assert str(reply) == "550 5.1.1 no such user ask the postmaster"


def test_a_reply_without_text_prints_as_its_code() -> None:
    assert str(Reply(250)) == "250"
    assert Reply(250).text == ""


def test_a_reply_is_immutable() -> None:
    reply = Reply(250, ("ok",))

    assert reply == Reply(250, ("ok",))
    assert hash(reply) == hash(Reply(250, ("ok",)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        reply.code = 550  # type: ignore[misc]


@pytest.mark.parametrize(
    ("code", "text", "enhanced"),
    [
        (250, "2.1.0 Ok", "2.1.0"),
        (250, "2.0.0", "2.0.0"),
        (451, "4.7.1 greylisted", "4.7.1"),
        (550, "5.1.1 who?", "5.1.1"),
        (550, "5.999.999 the most that there can be", "5.999.999"),
        (550, "5.999.9999 one digit more", None),
        (550, "5.999.999.9 and a part more", None),
        (550, "5.999.999", "5.999.999"),
        (550, "5.1000.1 a subject of four digits", None),
        (550, "5.1.1000 a detail of four digits", None),
        (550, "5.01.1 a leading zero", None),
        (550, "5.1 no detail", None),
        (550, "5.1.1.1 a fourth part", None),
        (550, "5.1.1: no space behind it", None),
        (550, "5.1.1", "5.1.1"),
        (550, " 5.1.1 not at the beginning", None),
        (550, "no such user", None),
        (550, "", None),
        (354, "3.0.0 there is no class 3", None),
    ],
)
def test_the_enhanced_status_code_is_read_from_the_text(
    code: int, text: str, enhanced: str | None
) -> None:
    assert Reply(code, (text,)).enhanced == enhanced


@pytest.mark.parametrize(
    ("code", "text"),
    [(250, "5.7.1 no"), (250, "4.0.0 no"), (550, "2.0.0 ok"), (450, "5.1.1 no"), (354, "2.0.0 go")],
)
def test_an_enhanced_status_code_that_contradicts_the_reply_code_is_not_believed(
    code: int, text: str
) -> None:
    assert Reply(code, (text,)).enhanced is None


def test_the_enhanced_status_code_of_a_long_reply_is_that_of_its_first_line() -> None:
    assert Reply(550, ("5.1.1 one", "5.7.1 two")).enhanced == "5.1.1"
    assert Reply(550, ("one", "5.7.1 two")).enhanced is None
