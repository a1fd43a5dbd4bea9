"""The conversations on real sockets: a program, its actor, and a scripted server."""

from collections.abc import Callable

import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.script import Action
from servers.scripted import Conn, ScriptedServer

from conversations.client import options_of
from conversations.conversation import Conversation, conversations
from pykka_smtp import SendFailure, SendMail, SendSuccess, SmtpActor

ALL = conversations("socket")
PATIENCE = 20.0
"""Seconds for what must not take long."""
SILENCE = 0.3
"""Seconds that the client waits for a server of which it is known that it falls silent."""


@pytest.mark.parametrize("conversation", ALL, ids=lambda c: c.title)
def test_the_actor_leads_the_conversation(
    conversation: Conversation,
    scripted_server: Callable[..., ScriptedServer],
    certificates: Certificates,
) -> None:
    def script(conn: Conn) -> None:
        conn.play(conversation.steps)

    falls_silent = any(step.action is Action.SILENCE for step in conversation.steps)
    context = server_context(Tls(certificate=certificates.good))
    server = scripted_server(script, drip_interval=0.001, context=context)
    mail = SendMail(
        sender=conversation.sender,
        recipients=conversation.recipients,
        message=conversation.mail,
    )

    outcome = SmtpActor.start(
        server.host,
        server.port,
        timeout=SILENCE if falls_silent else PATIENCE,
        local_hostname="c.test",
        **options_of(conversation, certificates),
    ).ask(mail, timeout=PATIENCE * 2)

    assert isinstance(outcome, SendSuccess | SendFailure)
    conversation.check(outcome)
    server.wait_until_ended()
    # What the server itself wrote down must not contradict it.
    if isinstance(outcome, SendSuccess):
        assert server.accepted == 1
        assert server.mails[0].raw == conversation.mail_data
        assert [result.address for result in outcome.recipients if result.accepted] == [
            *server.mails[0].recipients
        ]
    elif not outcome.maybe_accepted:
        assert server.accepted == 0
    assert outcome.mail is mail
