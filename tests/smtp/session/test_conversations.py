"""The conversations in tests/conversations, on the dialog without I/O."""

import dataclasses

import pytest
from conversations.client import session_of
from conversations.conversation import Conversation, conversations, read
from conversations.play import CUTS, play
from conversations.rig import Rig

from pykka_smtp.smtp.mail.content import CompleteContent
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.verdict import Accepted, RecipientResult
from pykka_smtp.testing.talk.script import Action

ALL = conversations("dialog")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("conversation", ALL, ids=lambda c: c.title)
def test_the_dialog_leads_the_conversation(conversation: Conversation, cut: str) -> None:
    rig = Rig(
        *conversation.recipients,
        sender=conversation.sender,
        content=CompleteContent(conversation.mail),
        session=session_of(conversation),
    ).connect()

    play(conversation, rig, cut)

    assert rig.verdict is not None
    conversation.check(rig.verdict)


def test_a_conversation_that_goes_wrong_is_noticed() -> None:
    (conversation,) = [c for c in ALL if c.title == "The server takes the mail."]
    result = Accepted(
        reply=Reply(250, ("2.0.0 taken as 1234",)),
        recipients=(
            RecipientResult(address="c@d.test", accepted=True, reply=Reply(250, ("2.1.5 Ok",))),
        ),
    )
    conversation.check(result)

    for wrong in (
        dataclasses.replace(result, reply=Reply(250, ("2.0.0 taken as 1235",))),
        dataclasses.replace(result, recipients=()),
        dataclasses.replace(
            result, recipients=(RecipientResult(address="c@d.test", accepted=False),)
        ),
        dataclasses.replace(result, warnings=("odd",)),
    ):
        with pytest.raises(AssertionError, match="it was:"):
            conversation.check(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "    S: 220 mx.test\n    => accepted: 250",
        "No steps.\n    => accepted: 250",
        "No outcome.\n    S: 220 mx.test",
        "No such level.\n    only: paper\n    S: 220 mx.test\n    => accepted: 250",
        "No such TLS.\n    tls: perhaps\n    S: 220 mx.test\n    => accepted: 250",
        "No such step.\n    X: 220 mx.test\n    => accepted: 250",
    ],
)
def test_what_is_no_conversation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"title|step|expects|TLS"):
        read(text)


def test_an_invalid_expectation_is_rejected() -> None:
    (conversation,) = read("A title.\n    S: 220 mx.test\n    => accpeted: 250 ok")

    with pytest.raises(AssertionError, match="no expectation"):
        conversation.check(Accepted(reply=Reply(250, ("ok",)), recipients=()))


def test_a_client_that_says_something_else_is_noticed() -> None:
    for script in (
        "S: 220 mx.test\n    C: HELO *",
        "S: 220 mx.test\n    C: EHLO *\n    C: EHLO *",
        "S: 220 mx.test\n    C: <data>",
        "S: 220 mx.test\n    C: <eof>",
        "S: 220 mx.test",
        "C: EHLO *",
        "S! deaf",
    ):
        (conversation,) = read(f"A title.\n    {script}\n    => accepted: 250 ok")
        with pytest.raises(AssertionError):
            play(conversation, Rig().connect())


def test_the_conversations_use_every_way_to_end_one() -> None:
    used = {step.action for conversation in ALL for step in conversation.steps}

    assert used >= {Action.CLOSE, Action.RESET, Action.SILENCE, Action.EOF, Action.DRIP}
