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


BEFORE_THE_MAIL = frozenset({Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})
"""Stages at which a failure says something of the relay, and nothing of mail or recipient."""
