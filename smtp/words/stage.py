"""The stages of a session, in the order in which they come."""

import enum


class Stage(enum.StrEnum):
    """Where a session stood when something was decided (RFC 5321 §3)."""

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
    """Say in a few words what is under way at a stage.

    Args:
        stage: the stage.
        server: the server as people know it.
    """
    words = _ACTIVITIES.get(stage, f"waiting for the reply of {{}} to {stage.upper()}")
    return words.format(server)


BEFORE_THE_MAIL = frozenset({Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})
"""Stages at which a failure says something of the relay, and nothing of mail or recipient."""
