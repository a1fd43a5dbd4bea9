"""From octets to replies (RFC 5321 §4.2): incremental, and bounded everywhere.

A server may be broken or hostile. What is no reply by the grammar is a `ReplyError`, never a
guess: a client that takes ``2500 ok`` or ``+25`` for 250 reports mails as sent that were not.
"""

import functools
from collections.abc import Callable

from .reply import Reply
from .shown import shown, text_shown

MAX_LINE = 4096
"""Octets in one line with its line end. RFC 5321 §4.5.3.1.5 asks for 512; servers send more."""
MAX_REPLY = 65536
"""Octets in one reply: a server cannot fill our memory with one endless reply."""
MAX_LINES = 256
"""Lines in one reply."""

_FAMILIAR = 1024  # octets at most of replies that are worth remembering
_FAMILIAR_STARTS = (b"220", b"221", b"250", b"354")  # none that could repeat a secret of ours

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

    __slots__ = (
        "_buffer",
        "_code",
        "_error",
        "_lines",
        "_redact",
        "_size",
        "_start",
        "saw_bare_lf",
    )

    def __init__(self, redact: Callable[[str], str] | None = None) -> None:
        """Prepare to parse.

        Args:
            redact: masks secrets in what an error shows of a line.
        """
        self._redact = redact
        self._buffer = b""
        self._start = 0  # of what is not read yet
        self._code = 0  # the code of the reply under way
        self._lines: list[str] | None = None  # none of the reply under way
        self._size = 0
        self._error: ReplyError | None = None
        self.saw_bare_lf: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether octets are here that are no complete reply yet."""
        return self._start < len(self._buffer) or bool(self._lines)

    def parse_cached(self, data: bytes) -> "tuple[Reply, ...] | None":
        """Return the replies in received octets if they are nothing else, and known from before.

        Otherwise, `feed` them. Servers say the same few things to every mail.
        """
        if (
            len(data) <= _FAMILIAR
            and data[:3] in _FAMILIAR_STARTS
            and not (self._buffer or self._lines)
            and self._error is None
        ):
            return _read_whole(data)
        return None

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
            # Without the traceback, which would grow with each call.
            raise self._error.with_traceback(None)
        if not self._buffer:
            return None
        try:
            return self._parse()
        except ReplyError as error:
            self._error = error
            self._buffer, self._start, self._lines = b"", 0, None
            raise

    def _parse(self) -> Reply | None:
        while True:
            start = self._start
            end = self._buffer.find(b"\n", start, start + MAX_LINE)
            if end < 0:
                # Once for all that was read since: a server's replies may come by the thousand.
                self._buffer, self._start = self._buffer[start:], 0
                if len(self._buffer) >= MAX_LINE:
                    raise ReplyError(f"reply line over {MAX_LINE} octets")
                return None
            self._start = end + 1
            if self._take_line(self._buffer[start : self._start]):
                reply = Reply(self._code, tuple(self._lines or ()))
                self._lines = None
                self._size = 0
                return reply

    def _take_line(self, line: bytes) -> bool:
        """Add one line to the reply under way; return whether it was the last."""
        if not line.endswith(b"\r\n"):
            self.saw_bare_lf = True
        code, is_last, text = _read_line(line, self._redact)
        if self._lines is None:
            self._code, self._lines = code, []
        elif code != self._code:  # RFC 5321 §4.2.1: each line has the same code
            raise ReplyError(f"reply with two codes: {self._code} and {code}")
        self._size += len(line)
        if len(self._lines) == MAX_LINES:
            raise ReplyError(f"reply over {MAX_LINES} lines")
        if self._size > MAX_REPLY:
            raise ReplyError(f"reply over {MAX_REPLY} octets")
        self._lines.append(text)
        return is_last


def _read_line(line: bytes, redact: Callable[[str], str] | None) -> tuple[int, bool, str]:
    """Return code, whether it is the reply's last line, and text.

    Raises:
        ReplyError: it is no line of a reply.
    """
    text = line[:-2] if line.endswith(b"\r\n") else line[:-1]
    code, separator = text[:3], text[3:4]
    if not (
        len(code) == 3 and code.isdigit() and code[0] in _FIRST_DIGITS and separator in _SEPARATORS
    ):
        said = text_shown(text)
        # Masked before it is cut: a part of a secret must not be left over.
        raise ReplyError(f"not an SMTP reply: {shown(redact(said) if redact else said, 80)}")
    return int(code), separator != b"-", text_shown(text[4:])


@functools.lru_cache(maxsize=256)
def _read_whole(data: bytes) -> tuple[Reply, ...] | None:
    """Read octets that are nothing but complete replies; None if they are anything else.

    Servers say the same few things to every mail, so this is remembered.
    """
    parser = ReplyParser()
    parser.feed(data)
    replies: list[Reply] = []
    try:
        while (reply := parser.next_reply()) is not None:
            replies.append(reply)
    except ReplyError:
        return None
    return None if parser.is_pending or parser.saw_bare_lf else tuple(replies)
