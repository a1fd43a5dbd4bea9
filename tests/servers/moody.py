"""A script in Python: a server that changes its mind, and remembers when it was asked what."""

import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping

from .conn import Conn

COMMANDS_MAX = 100_000
"""Commands of one connection."""
DEFAULTS = {"greeting": "220 mx.test", "MAIL": "250 ok", "RCPT": "250 ok", ".": "250 taken"}


class Moody:
    """Takes what it need not refuse; but its answers to some things come from a list.

    One object serves all connections of a server, or of several.

    Args:
        extensions: the lines of the EHLO reply.
        answers: what it says, one after the other, and then yes: by recipient, or to
            ``"greeting"``, ``"MAIL"``, ``"RCPT"``, ``"RSET"`` and ``"."``, the mail. A recipient's
            go before those to ``"RCPT"``. ``"close"`` hangs up instead.

    Attributes:
        times: when MAIL came, on the monotonic clock, over all connections.
    """

    def __init__(
        self, *extensions: str, answers: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        self.times: list[float] = []
        self._extensions = extensions
        self._lock = threading.Lock()
        self._answers = {key: deque(texts) for key, texts in (answers or {}).items()}

    def _answer(self, *keys: str) -> str:
        with self._lock:
            for key in keys:
                if self._answers.get(key):
                    return self._answers[key].popleft()
        return DEFAULTS.get(keys[-1], "250 ok")

    def __call__(self, conn: Conn) -> None:
        """Talk to one client."""
        if not self._say(conn, self._answer("greeting")):
            return
        taken = 0
        for _ in range(COMMANDS_MAX):
            line = conn.line()
            verb = line.split(" ")[0].upper()
            reply = ""
            match verb:
                case "EHLO":
                    lines = ["mx.test", *self._extensions]
                    conn.send(*[f"250-{text}" for text in lines[:-1]], f"250 {lines[-1]}")
                    continue
                case "MAIL":
                    with self._lock:
                        self.times.append(time.monotonic())
                    taken, reply = 0, self._answer("MAIL")
                case "RCPT":
                    path = re.search(r"<(.*)>", line)
                    reply = self._answer(path[1] if path else "", "RCPT")
                    taken += reply.startswith("2")
                case "DATA" if taken:
                    conn.send("354 go ahead")
                    conn.body()
                    reply = self._answer(".")
                case "DATA":
                    reply = "503 no recipient"
                case "BDAT":
                    conn.chunk()
                    reply = self._answer(".") if taken else "503 no recipient"
                case "QUIT":
                    conn.send("221 bye")
                    return
                case _:
                    reply = self._answer(verb)
            if not self._say(conn, reply):
                return

    def _say(self, conn: Conn, reply: str) -> bool:
        """Say it, unless it is to hang up; return whether the client may go on."""
        if reply == "close":
            return False
        conn.send(reply)
        return not reply.startswith("421")
