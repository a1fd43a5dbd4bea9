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
) -> Callable[[Conn], None]:
    """Make the script, for SMTP and for LMTP alike.

    Args:
        extensions: the lines of the EHLO reply, such as ``"PIPELINING"`` and ``"SIZE 1000"``.
        replies: what to say instead of yes: by command line or recipient, such as
            ``{"MAIL": "451 4.3.0 later", "no@x.test": "550 5.1.1 who?", ".": "554 5.6.0 no"}``.
            A recipient's goes before the verb's; ``"."`` is the reply to a mail.
        name: what the server calls itself.

    Returns:
        The script, for `servers.scripted.ScriptedServer`.
    """
    said = dict(replies or {})

    def script(conn: Conn) -> None:
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
                    verdicts = len(mail.recipients) if _lmtp(conn) else 1
                    conn.send(*[said.get(".", "250 2.0.0 taken")] * verdicts)
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
            conn.send(*_answer(verb, reply, name, extensions))
            if verb == "QUIT":
                return

    return script


def _lmtp(conn: Conn) -> bool:
    return any(line.upper().startswith("LHLO") for line in conn.session.lines)


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
