"""The stages of a session, in order."""

import enum


class Stage(enum.StrEnum):
    """How far a session had come when its verdict was decided (RFC 5321 §3)."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"
    QUIT = "quit"


_ACTIVITIES = {
    Stage.CONNECT: "connecting to {}",
    Stage.GREETING: "waiting for the greeting of {}",
    Stage.STARTTLS: "starting TLS with {}",
    Stage.AUTH: "authenticating to {}",
    Stage.BODY: "sending the mail data to {}",
    Stage.DOT: "waiting for the final reply of {}",
}


def activity(stage: Stage, server: str) -> str:
    """Return a phrase for what the client does at a stage, such as "connecting to X".

    Args:
        stage: the stage.
        server: the server's name for messages.
    """
    words = _ACTIVITIES.get(stage, f"waiting for the reply of {{}} to {stage.upper()}")
    return words.format(server)


BEFORE_THE_MAIL = frozenset({Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})
"""Stages at which a failure concerns the relay, and not the email or a recipient."""
