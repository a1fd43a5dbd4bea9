"""A second reader of replies, to compare the real one with: slow, plain, and by the RFC's words.

It shares no code with `pykka_smtp.smtp.words.reply_parser`, only the bounds that are promised
there.
"""

import re
from dataclasses import dataclass

MAX_LINE = 4096
MAX_REPLY = 65536
MAX_LINES = 256

# RFC 5321 §4.2.1: three digits, then a space, a hyphen, or nothing at all.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class WireReply:
    """One complete reply: its code, and the octets of each line behind code and separator."""

    code: int
    lines: tuple[bytes, ...]


class ReplyReader:
    """Reads replies as they come.

    Attributes:
        is_broken: whether something came that is no reply. Nothing is read from then on.
        rest: octets of a line that has not ended yet.
        saw_bare_lf: whether a line ended in LF alone.
    """

    def __init__(self) -> None:
        self.is_broken = False
        self.rest = b""
        self.saw_bare_lf = False
        self._code = b""
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def is_amid(self) -> bool:
        """Whether a part of a reply is here."""
        return bool(self.rest or self._lines)

    def feed(self, octets: bytes) -> list[WireReply]:
        """Take octets, and return the replies that they complete."""
        found: list[WireReply] = []
        if self.is_broken:
            return found
        *lines, self.rest = (self.rest + octets).split(b"\n")
        for line in lines:
            if self.is_broken:
                return found
            self._take(line + b"\n", found)
        self.is_broken = self.is_broken or len(self.rest) >= MAX_LINE
        return found

    def _take(self, line: bytes, found: list[WireReply]) -> None:
        text = line[:-1].removesuffix(b"\r")
        self.saw_bare_lf = self.saw_bare_lf or not line.endswith(b"\r\n")
        match = _LINE.fullmatch(text)
        self._size += len(line)
        self.is_broken = (
            match is None
            or len(line) > MAX_LINE
            or (self._lines != [] and match[1] != self._code)
            or len(self._lines) == MAX_LINES
            or self._size > MAX_REPLY
        )
        if match is None or self.is_broken:
            return
        self._code = match[1]
        self._lines.append(match[3] or b"")
        if match[2] != b"-":
            found.append(WireReply(int(self._code), tuple(self._lines)))
            self._lines, self._size = [], 0
