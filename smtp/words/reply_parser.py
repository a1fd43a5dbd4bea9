"""An incremental parser of replies (RFC 5321 §4.2), with bounds on everything.

A server may be broken or hostile. What does not match the grammar raises `ReplyError` and is never
guessed at: a client that takes ``2500 ok`` or ``+25`` for 250 reports emails as sent that were not.
"""

import functools
from collections.abc import Callable

from .reply import Reply
from .shown import shown, text_shown

MAX_LINE = 4096
"""Octets in one line with its line end. RFC 5321 §4.5.3.1.5 allows 512; servers send more."""
MAX_REPLY = 65536
"""Octets in one reply: an endless reply must not fill the client's memory."""
MAX_LINES = 256
"""Lines in one reply."""

MAX_CACHED = 1024
"""Octets of replies that are cached; longer ones are too rarely the same."""
_CACHED_STARTS = (b"220", b"221", b"250", b"354")  # none of these is likely to repeat a secret

_FIRST_DIGITS = b"2345"  # RFC 5321 §4.2.1: there is no 1yz in SMTP
_SEPARATORS = (b" ", b"-", b"")


class ReplyError(Exception):
    """The server sent an invalid reply. The connection can't be trusted from here on."""


class ReplyParser:
    """Turns received octets into replies.

    Call `feed` with the received octets, then `next_reply` until it returns None. How the octets
    are cut into pieces never changes the replies. After a `ReplyError` every call raises it again.

    Attributes:
        saw_bare_lf: whether a line ended in LF alone. RFC 5321 §2.3.8 forbids it; it is accepted,
            because the end of the line is unambiguous nevertheless.
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
        """Make a parser without input.

        Args:
            redact: hides secrets in a line that an error quotes.
        """
        self._redact = redact
        self._buffer = b""
        self._start = 0  # of the input not parsed yet
        self._code = 0  # the code of the incomplete reply
        self._lines: list[str] | None = None  # those of the incomplete reply; None between replies
        self._size = 0
        self._error: ReplyError | None = None
        self.saw_bare_lf: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether there is input that is not a complete reply yet."""
        return self._start < len(self._buffer) or bool(self._lines)

    def parse_cached(self, data: bytes) -> "tuple[Reply, ...] | None":
        """Return the replies in `data` from a cache, or None if it cannot be used.

        Then `feed` the octets. The cache is for short input of complete replies only. It pays,
        because a server sends the same few replies for every email.
        """
        if (
            len(data) <= MAX_CACHED
            and data[:3] in _CACHED_STARTS
            and not (self._buffer or self._lines)
            and self._error is None
        ):
            return read_whole(data)
        return None

    def feed(self, data: bytes) -> None:
        """Add received octets to the input."""
        if self._error is None:
            self._buffer = self._buffer + data if self._buffer else data

    def next_reply(self) -> Reply | None:
        """Return the next complete reply, or None if more octets are needed.

        Raises:
            ReplyError: the input is not a valid reply, or is too long.
        """
        if self._error is not None:
            # Without its traceback, which would grow with each call.
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
                # Cut the buffer once for all lines parsed so far, not once for each: thousands of
                # replies may be received together, and each cut copies the remaining input.
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
        """Add one line to the incomplete reply; return whether it was the last."""
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
    """Return the code, whether it is the reply's last line, and the text.

    Raises:
        ReplyError: it is not a line of a reply.
    """
    text = line[:-2] if line.endswith(b"\r\n") else line[:-1]
    code, separator = text[:3], text[3:4]
    if not (
        len(code) == 3 and code.isdigit() and code[0] in _FIRST_DIGITS and separator in _SEPARATORS
    ):
        said = text_shown(text)
        # Redacted before it is cut, or a part of a secret could remain.
        raise ReplyError(f"not an SMTP reply: {shown(redact(said) if redact else said, 80)}")
    return int(code), separator != b"-", text_shown(text[4:])


@functools.lru_cache(maxsize=256)
def read_whole(data: bytes) -> tuple[Reply, ...] | None:
    """Return the replies if `data` consists of complete, valid replies only; otherwise None."""
    parser = ReplyParser()
    parser.feed(data)
    replies: list[Reply] = []
    try:
        while (reply := parser.next_reply()) is not None:
            replies.append(reply)
    except ReplyError:
        return None
    return None if parser.is_pending or parser.saw_bare_lf else tuple(replies)
