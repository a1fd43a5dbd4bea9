"""What the soak's servers write down: a line for each thing, which outlives their processes."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

MOST_COMPLAINTS = 20


class Journal:
    """Writes lines at the end of a file; several processes may write to one.

    A line is complete, and the operating system's, before the server says anything of it. So it is
    there even if the process is killed at the next instruction.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def took(self, number: int, recipients: int) -> None:
        """A mail came whole, and is accepted; a bit for each recipient."""
        self._write(f"+{number} {recipients}")

    def session(self) -> None:
        """A client connected."""
        self._write("s")

    def encrypted(self) -> None:
        """A session came to TLS."""
        self._write("t")

    def restart(self) -> None:
        """A server went down, or came up again after it was killed."""
        self._write("r")

    def fault(self, what: str) -> None:
        """A fault hits a session."""
        self._write(f"~{what}")

    def complain(self, what: str) -> None:
        """A client did what it must not do."""
        self._write(f"!{what}")

    def close(self) -> None:
        """Close the file."""
        os.close(self._number)

    def _write(self, line: str) -> None:
        os.write(self._number, line.encode("utf-8", "replace") + b"\n")


@dataclass(slots=True)
class Found:
    """What a journal says.

    Attributes:
        taken: for each mail by number, a bit for each recipient for whom it was accepted.
        twice: the same for those for whom it was accepted more than once.
        sessions: how many there were.
        encrypted: how many of them came to TLS.
        restarts: how often a server went down.
        faults: how often each hit a session.
        complaints: what clients did that they must not do.
    """

    taken: dict[int, int] = field(default_factory=dict[int, int])
    twice: dict[int, int] = field(default_factory=dict[int, int])
    sessions: int = 0
    encrypted: int = 0
    restarts: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    complaints: list[str] = field(default_factory=list[str])


def read_journal(path: Path) -> Found:
    """Read a journal."""
    found = Found()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            kind, text = line[0], line[1:].rstrip("\n")
            match kind:
                case "+":
                    number, recipients = map(int, text.split())
                    before = found.taken.get(number, 0)
                    if before & recipients:
                        found.twice[number] = found.twice.get(number, 0) | before & recipients
                    found.taken[number] = before | recipients
                case "~":
                    found.faults[text] += 1
                case "!":
                    found.complaints += [text] if len(found.complaints) < MOST_COMPLAINTS else []
                case "s":
                    found.sessions += 1
                case "t":
                    found.encrypted += 1
                case _:
                    found.restarts += 1
    return found
