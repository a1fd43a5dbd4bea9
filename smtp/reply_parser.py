"""From octets to replies (RFC 5321 §4.2): incremental, and bounded everywhere.

A server may be broken or hostile. What is no reply by the grammar is a `ReplyError`, never a
guess: a client that takes ``2500 ok`` or ``+25`` for 250 reports mails as sent that were not.
"""

from .reply import Reply

MAX_LINE = 4096
"""Octets in one line with its line end. RFC 5321 §4.5.3.1.5 asks for 512; servers send more."""
MAX_REPLY = 65536
"""Octets in one reply: a server cannot fill our memory with one endless reply."""
MAX_LINES = 256
"""Lines in one reply."""

_FIRST_DIGITS = b"2345"  # RFC 5321 §4.2.1: there is no 1yz in SMTP
_SEPARATORS = (b" ", b"-", b"")


class ReplyError(Exception):
    """The server sent what is no reply. The connection can't be trusted from here on."""


class ReplyParser:
    """Turns received octets into replies.

    Call `feed` with what came, then `next_reply` until it returns None. How the octets are cut
    into pieces never changes the replies. After a `ReplyError` every call raises it again.

    Attributes:
        saw_bare_lf: whether a line ended in LF alone (RFC 5321 §2.3.8 forbids it; it is accepted,
            because the line end is clear all the same).
    """

    __slots__ = ("_buffer", "_code", "_error", "_lines", "_size", "saw_bare_lf")

    def __init__(self) -> None:
        self._buffer = b""
        self._code = b""  # the code of the reply under way
        self._lines: list[str] = []
        self._size = 0
        self._error: ReplyError | None = None
        self.saw_bare_lf = False

    @property
    def is_pending(self) -> bool:
        """Whether octets are here that are no complete reply yet."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> None:
        """Take received octets."""
        if self._error is None:
            self._buffer = self._buffer + data if self._buffer else data

    def next_reply(self) -> Reply | None:
        """Return the next complete reply, or None when more octets are needed.

        Raises:
            ReplyError: what came is no reply, or is too long.
        """
        if self._error is not None:
            raise self._error
        try:
            return self._parse()
        except ReplyError as error:
            self._error = error
            self._buffer = b""
            raise

    def _parse(self) -> Reply | None:
        while True:
            end = self._buffer.find(b"\n", 0, MAX_LINE)
            if end < 0:
                if len(self._buffer) >= MAX_LINE:
                    raise ReplyError(f"reply line over {MAX_LINE} octets")
                return None
            line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
            if self._take_line(line):
                reply = Reply(int(self._code), tuple(self._lines))
                self._lines = []
                self._size = 0
                return reply

    def _take_line(self, line: bytes) -> bool:
        """Add one line to the reply under way; return whether it was the last."""
        if line.endswith(b"\r\n"):
            text = line[:-2]
        else:
            text = line[:-1]
            self.saw_bare_lf = True
        code, separator = text[:3], text[3:4]
        if not (
            len(code) == 3
            and code.isdigit()
            and code[0] in _FIRST_DIGITS
            and separator in _SEPARATORS
        ):
            raise ReplyError(f"not an SMTP reply: {_shown(text[:80])!r}")
        if self._lines and code != self._code:  # RFC 5321 §4.2.1: each line has the same code
            raise ReplyError(f"reply with two codes: {self._code.decode()} and {code.decode()}")
        self._code = code
        self._size += len(line)
        if len(self._lines) == MAX_LINES:
            raise ReplyError(f"reply over {MAX_LINES} lines")
        if self._size > MAX_REPLY:
            raise ReplyError(f"reply over {MAX_REPLY} octets")
        self._lines.append(_shown(text[4:]))
        return separator != b"-"


def _shown(octets: bytes) -> str:
    """Decode reply text so that it can be shown: a terminal must not obey a server's escapes."""
    text = octets.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
