"""The conversations on real sockets: a program, its actor, and a scripted server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pykka
import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.scripted import Conn, ScriptedServer

from conversations.client import options_of
from conversations.conversation import Conversation, conversations
from pykka_smtp import SendFailure, SendMail, SendSuccess, SmtpActor
from pykka_smtp.testing.talk.script import Action

ALL = conversations("socket")
PATIENCE = 20.0
"""Seconds for what must not take long."""
SILENCE = 0.7
"""Seconds that the client waits for a server of which it is known that it falls silent."""


class Play:
    """A conversation that is being played.

    Args:
        conversation: the conversation.
        certificates: for the server, and of whom the client trusts.
        start: starts a scripted server, and sees to its end.
    """

    def __init__(
        self,
        conversation: Conversation,
        certificates: Certificates,
        start: Callable[..., ScriptedServer],
    ) -> None:
        def script(conn: Conn) -> None:
            conn.play(conversation.steps)

        context = server_context(Tls(certificate=certificates.good))
        self._conversation = conversation
        self._server = start(script, drip_interval=0.001, context=context)
        self._mail = SendMail(
            sender=conversation.sender,
            recipients=conversation.recipients,
            message=conversation.mail,
        )
        self._answer: pykka.Future[Any] = SmtpActor.start(
            self._server.host,
            self._server.port,
            timeout=SILENCE if falls_silent(conversation) else PATIENCE,
            local_hostname="c.test",
            **options_of(conversation, certificates),
        ).ask(self._mail, block=False)

    def end(self) -> None:
        """Wait until it is over, and compare the outcome with what it should be."""
        conversation, server = self._conversation, self._server
        outcome = self._answer.get(timeout=PATIENCE * 2)
        assert isinstance(outcome, SendSuccess | SendFailure)
        conversation.check(outcome)
        server.wait_until_ended()
        server.judge()
        # What the server itself wrote down must not contradict it.
        if isinstance(outcome, SendSuccess):
            assert server.accepted == 1
            assert server.mails[0].raw == conversation.mail_data
            assert [result.address for result in outcome.recipients if result.accepted] == [
                *server.mails[0].recipients
            ]
        elif not outcome.maybe_accepted:
            assert server.accepted == 0
        assert outcome.mail is self._mail


def falls_silent(conversation: Conversation) -> bool:
    return any(step.action is Action.SILENCE for step in conversation.steps)


@pytest.mark.parametrize(
    "conversation", [c for c in ALL if not falls_silent(c)], ids=lambda c: c.title
)
def test_the_actor_leads_the_conversation(
    conversation: Conversation,
    scripted_server: Callable[..., ScriptedServer],
    certificates: Certificates,
) -> None:
    Play(conversation, certificates, scripted_server).end()


@pytest.fixture(scope="module")
def silent_plays(certificates: Certificates) -> Iterator[dict[str, Play]]:
    """Play all conversations in which the server falls silent at once: each takes its time."""
    with ExitStack() as exits:
        yield {
            one.title: Play(
                one,
                certificates,
                lambda *script, **given: exits.enter_context(ScriptedServer(*script, **given)),
            )
            for one in ALL
            if falls_silent(one)
        }


@pytest.mark.parametrize("conversation", [c for c in ALL if falls_silent(c)], ids=lambda c: c.title)
def test_the_actor_ends_the_conversation_with_a_server_that_falls_silent(
    conversation: Conversation, silent_plays: dict[str, Play]
) -> None:
    silent_plays[conversation.title].end()
