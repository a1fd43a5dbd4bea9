"""The client of a conversation: its session, without I/O, and its options, with."""

from typing import Any

from servers.certificates import Certificates

from pykka_smtp.smtp.sasl.mechanisms import CramMd5, Login, Plain
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.smtp.session.opening.authentication import Authentication
from pykka_smtp.smtp.session.opening.session import Session, TlsPolicy

from .conversation import Conversation

_POLICIES = {"off": TlsPolicy.OFF, "auto": TlsPolicy.OPPORTUNISTIC, "starttls": TlsPolicy.REQUIRED}
_MECHANISMS = ("CRAM-MD5", "PLAIN", "LOGIN")


def session_of(conversation: Conversation) -> Session:
    """Make the session, for the levels below the actor."""
    session = Session(
        server="mx.test:25", ehlo_name="c.test", tls_policy=_POLICIES[conversation.tls]
    )
    if conversation.login is not None:
        user, password = conversation.login[0], Secret(conversation.login[1])
        makers = {
            "CRAM-MD5": lambda *_: CramMd5(user, password),
            "PLAIN": lambda *_: Plain(user, password),
            "LOGIN": lambda *_: Login(user, password),
        }
        session.authentication = Authentication(
            mechanisms={name: makers[name] for name in _MECHANISMS}, allow_unsafe=True
        )
    return session


def options_of(conversation: Conversation, certificates: Certificates) -> dict[str, Any]:
    """Give the options for `SmtpActor.start` that make the same of it."""
    options: dict[str, Any] = {"tls": conversation.tls}
    if conversation.tls == "starttls":
        options["tls_context"] = certificates.trusting()
    if conversation.login is not None:
        user, password = conversation.login
        options |= {"username": user, "password": password, "auth": _MECHANISMS}
        options["allow_plaintext_auth"] = True
    return options
