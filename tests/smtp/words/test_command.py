"""Commands: one wire form each, and nothing in it that could be another command."""

import pytest

from pykka_smtp.smtp.words.command import (
    DATA,
    END_OF_DATA,
    GREETING,
    QUIT,
    Command,
    ehlo,
    helo,
    mail,
    rcpt,
)
from pykka_smtp.smtp.words.stage import Stage


@pytest.mark.parametrize(
    ("command", "stage", "wire"),
    [
        (ehlo("c.test"), Stage.EHLO, b"EHLO c.test\r\n"),
        (ehlo("[IPv6:::1]"), Stage.EHLO, b"EHLO [IPv6:::1]\r\n"),
        (helo("c.test"), Stage.EHLO, b"HELO c.test\r\n"),
        (mail("a@b.test"), Stage.MAIL, b"MAIL FROM:<a@b.test>\r\n"),
        (mail(""), Stage.MAIL, b"MAIL FROM:<>\r\n"),
        (
            mail("a@b.test", "BODY=8BITMIME", "SIZE=12"),
            Stage.MAIL,
            b"MAIL FROM:<a@b.test> BODY=8BITMIME SIZE=12\r\n",
        ),
        (rcpt('"a b"@b.test'), Stage.RCPT, b'RCPT TO:<"a b"@b.test>\r\n'),
        (rcpt("jos\u00e9@b.test"), Stage.RCPT, b"RCPT TO:<jos\xc3\xa9@b.test>\r\n"),
        (rcpt("a@b.test", "NOTIFY=NEVER"), Stage.RCPT, b"RCPT TO:<a@b.test> NOTIFY=NEVER\r\n"),
        (DATA, Stage.DATA, b"DATA\r\n"),
        (QUIT, Stage.QUIT, b"QUIT\r\n"),
        (END_OF_DATA, Stage.DOT, b".\r\n"),
    ],
)
def test_a_command_has_one_wire_form(command: Command, stage: Stage, wire: bytes) -> None:
    assert command.stage is stage
    assert command.wire == wire


def test_the_greeting_is_owed_before_anything_was_said() -> None:
    assert (GREETING.stage, GREETING.line) == (Stage.GREETING, "")


CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]


@pytest.mark.parametrize("number", CONTROLS)
@pytest.mark.parametrize("build", [ehlo, helo, mail, rcpt], ids=lambda f: f.__name__)
def test_no_control_character_gets_into_a_command(build: object, number: int) -> None:
    for text in (f"{chr(number)}a", f"a{chr(number)}b", f"a{chr(number)}"):
        with pytest.raises(ValueError, match="control characters"):
            build(text)  # type: ignore[operator]


def test_no_control_character_gets_in_by_a_parameter() -> None:
    with pytest.raises(ValueError, match="mail command"):
        mail("a@b.test", "SIZE=1\r\nRCPT TO:<evil@x.test>")
    with pytest.raises(ValueError, match="rcpt command"):
        rcpt("a@b.test", "NOTIFY=NEVER\nDATA")


def test_what_cannot_be_encoded_is_refused_before_it_is_to_be_written() -> None:
    with pytest.raises(ValueError, match="rcpt command"):
        rcpt("\ud800@b.test")


def test_characters_that_do_not_print_but_do_no_harm_may_stand_in_a_command() -> None:
    assert rcpt("a\u200db@b.test").wire == "RCPT TO:<a\u200db@b.test>\r\n".encode()


def test_an_error_does_not_repeat_what_may_be_a_secret() -> None:
    with pytest.raises(ValueError, match="auth command") as caught:
        Command(Stage.AUTH, "AUTH PLAIN s3cr3t\n")

    assert "s3cr3t" not in str(caught.value)


def test_two_commands_with_the_same_words_are_two_commands() -> None:
    assert rcpt("a@b.test") != rcpt("a@b.test")
    assert len({rcpt("a@b.test"), rcpt("a@b.test")}) == 2
