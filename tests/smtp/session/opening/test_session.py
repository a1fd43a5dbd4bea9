"""The session around a mail: opened, left, and refused; without the dialog."""

import pytest

from pykka_smtp.smtp.session.opening.session import Session, close_session, open_session
from pykka_smtp.smtp.session.refusal import Refused, raise_unless_positive
from pykka_smtp.smtp.session.step import Script
from pykka_smtp.smtp.words.classification import ReplyClass
from pykka_smtp.smtp.words.command import Command
from pykka_smtp.smtp.words.extensions import Extensions
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage


def converse(script: Script, *replies: Reply) -> list[str]:
    """Answer each command in turn; return the commands."""
    lines: list[str] = []
    step = next(script, None)
    for reply in replies:
        assert isinstance(step, Command)
        lines.append(step.line)
        try:
            step = script.send(reply)
        except StopIteration:
            step = None
    assert step is None
    return lines


def session() -> Session:
    return Session(server="mx.test:25", ehlo_name="c.test")


def test_a_session_knows_what_the_server_offers() -> None:
    opened = session()

    lines = converse(
        open_session(opened), Reply(220), Reply(250, ("mx.test", "PIPELINING", "SIZE 9"))
    )

    assert lines == ["", "EHLO c.test"]
    assert opened.extensions.pipelining
    assert opened.extensions.size_limit == 9


@pytest.mark.parametrize("code", [500, 501, 502, 504, 550])
def test_helo_is_said_once_and_offers_nothing(code: int) -> None:
    opened = session()
    opened.extensions = Extensions({"PIPELINING": ""})

    lines = converse(
        open_session(opened), Reply(220), Reply(code), Reply(250, ("mx.test", "PIPELINING"))
    )

    assert lines == ["", "EHLO c.test", "HELO c.test"]
    assert not opened.extensions.pipelining


@pytest.mark.parametrize("code", sorted(set(range(400, 600)) - {500, 501, 502, 504, 550}))
def test_helo_is_not_said_after_any_other_refusal(code: int) -> None:
    with pytest.raises(Refused) as caught:
        converse(open_session(session()), Reply(220), Reply(code))

    assert caught.value.stage is Stage.EHLO
    assert caught.value.reply == Reply(code)


@pytest.mark.parametrize("code", [500, 501, 502, 504])
def test_a_server_that_refuses_helo_is_not_asked_again(code: int) -> None:
    with pytest.raises(Refused):
        converse(open_session(session()), Reply(220), Reply(500), Reply(code))


def test_closing_a_session_is_quit_whatever_the_reply() -> None:
    assert converse(close_session(), Reply(500)) == ["QUIT"]


@pytest.mark.parametrize(
    ("stage", "code", "cause", "ends"),
    [
        (Stage.MAIL, 550, ReplyClass.PERMANENT, False),
        (Stage.MAIL, 450, ReplyClass.TRANSIENT, False),
        (Stage.MAIL, 421, ReplyClass.TRANSIENT, True),
        (Stage.MAIL, 354, ReplyClass.UNEXPECTED, True),
        (Stage.DOT, 354, ReplyClass.AMBIGUOUS, True),
        (Stage.DOT, 554, ReplyClass.PERMANENT, False),
    ],
)
def test_a_refusal_ends_the_session_if_the_server_leaves_or_makes_no_sense(
    stage: Stage, code: int, cause: ReplyClass, *, ends: bool
) -> None:
    with pytest.raises(Refused) as caught:
        raise_unless_positive(stage, Reply(code))

    assert caught.value.cause is cause
    assert caught.value.ends_session is ends


def test_a_reply_that_obeys_goes_on() -> None:
    raise_unless_positive(Stage.MAIL, Reply(250))
