"""A script in Python: a server that keeps to the rules, and takes what it need not refuse."""

import re
from collections.abc import Callable, Mapping

from .conn import Conn

COMMANDS_MAX = 100_000
"""Commands of one connection."""


def polite(
    *extensions: str,
    replies: Mapping[str, str] | None = None,
    name: str = "mx.test",
    implicit_tls: bool = False,
) -> Callable[[Conn], None]:
    """Make the script, for SMTP and for LMTP alike.

    Args:
        extensions: the lines of the EHLO reply, such as ``"PIPELINING"`` and ``"SIZE 1000"``.
            With ``"STARTTLS"`` it starts TLS, and does not offer that again.
        replies: what to say instead of yes: by command line or recipient, such as
            ``{"MAIL": "451 4.3.0 later", "no@x.test": "550 5.1.1 who?", ".": "554 5.6.0 no"}``.
            A recipient's goes before the verb's; ``"."`` is the reply to a mail, and in LMTP
            ``". c@d.test"`` that for one recipient.
        name: what the server calls itself.
        implicit_tls: start TLS before the greeting.

    Returns:
        The script, for `servers.scripted.ScriptedServer`.
    """
    said = dict(replies or {})

    def script(conn: Conn) -> None:
        if implicit_tls:
            conn.starttls()
        conn.send(said.get("greeting", f"220 {name} ESMTP"))
        recipients = 0
        for _ in range(COMMANDS_MAX):
            line = conn.line()
            verb = line.split(" ")[0].upper()
            reply = said.get(verb)
            match verb:
                case "RCPT":
                    path = re.search(r"<(.*)>", line)
                    reply = said.get(path[1] if path else "", reply) or "250 2.1.5 Ok"
                    recipients += reply.startswith("2")
                case "DATA" if reply is None and recipients:
                    conn.send("354 go ahead")
                    mail = conn.body()
                    # RFC 2033 §4.2: one reply for each recipient.
                    whom = mail.recipients if _lmtp(conn) else [""]
                    taken = said.get(".", "250 2.0.0 taken")
                    conn.send(*[said.get(f". {who}", taken) for who in whom])
                    recipients = 0
                    continue
                case "STARTTLS" if reply is None and "STARTTLS" in _offered(conn, extensions):
                    conn.send("220 2.0.0 go ahead")
                    conn.starttls()
                    recipients = 0
                    continue
                case "BDAT":
                    conn.chunk()
                    last = line.upper().endswith(" LAST")
                    reply = reply or (said.get(".") if last else None)
                case "MAIL" | "RSET" | "EHLO" | "LHLO":
                    recipients = 0
                case _:
                    pass
            conn.send(*_answer(verb, reply, name, _offered(conn, extensions)))
            if verb == "QUIT":
                return

    return script


def _lmtp(conn: Conn) -> bool:
    return any(line.upper().startswith("LHLO") for line in conn.session.lines)


def _offered(conn: Conn, extensions: tuple[str, ...]) -> tuple[str, ...]:
    """Leave STARTTLS out under TLS (RFC 3207 §4.2)."""
    if conn.session.tls is None:
        return extensions
    return tuple(line for line in extensions if line != "STARTTLS")


def _answer(verb: str, reply: str | None, name: str, extensions: tuple[str, ...]) -> list[str]:
    if reply is not None:
        return [reply]
    match verb:
        case "EHLO" | "LHLO":
            texts = [name, *extensions]
            return [f"250-{text}" for text in texts[:-1]] + [f"250 {texts[-1]}"]
        case "HELO" | "MAIL" | "RSET" | "NOOP" | "BDAT":
            return ["250 2.0.0 Ok"]
        case "DATA":
            return ["503 5.5.1 no valid recipient"]
        case "QUIT":
            return ["221 2.0.0 Bye"]
        case _:
            return ["502 5.5.1 not known here"]
