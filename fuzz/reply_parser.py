"""The first target: the reply parser."""

# Invariant: whatever octets come, in whatever pieces, the parser gives replies or a ReplyError and
# nothing else; the pieces never change which; a plain second reader finds the same replies; what
# was wrong once stays wrong; and the parser never holds more than its bounds allow.

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.reply_parser import MAX_LINE, MAX_REPLY, ReplyError, ReplyParser

from .choices import Choices
from .violation import FalseSuccess, Hang, insist
from .wire import ReplyReader

_MOST_ONE_BY_ONE = 120
"""Octets of an input that is also fed octet by octet."""
_MOST_BUILT = 20
"""Pieces that a built input has."""
_GOOD = (
    *(b"250 ok\r\n", b"250-ok\r\n", b"354 go\r\n", b"421 bye\r\n", b"550 5.1.1 no\r\n", b"250\r\n"),
    *(b"220 mx.test\r\n", b"250 \xc3\xa4\r\n", b"250 \x1b[2J\0\xff\r\n", b"250 ok\n", b"550-\r\n"),
)
_ODD = (
    *(b"250 ", b"250-", b"250", b"\r\n", b"\n", b"\r", b" ", b"-", b"2", b"25", b"\0", b"\xff\xfe"),
    *(b"199 x\r\n", b"600 x\r\n", b"2500 ok\r\n", b"250_ok\r\n", b"+25 ok\r\n", b" 25 ok\r\n"),
    *(b"\xd9\xa2\xd9\xa5\xd9\xa0 x\r\n", b"250-\xff\r\n251 x\r\n", b"250-a\r\n\r\n250 b\r\n"),
)
_ENDLESS = (b"250 ", b"250-ok\r\n", b"x", b"250-x")
_TIMES = (1, 1, 1, 2, 3)
_BOUNDS = (1, 254, 255, 256, 257, 4089, 4094, 4095, 4096, 4097)
"""How often a piece is repeated: in few inputs up to the bounds, which takes time."""

SEEDS: Sequence[bytes] = (
    b"",
    b"\x00\x00220 mx.test ESMTP\r\n250-mx.test\r\n250 PIPELINING\r\n250 ok\r\n",
    b"\x00\x03\x05\x09\x10250-first\r\n250 second\r\n550 5.7.1 no\r\n",
    b"\x00\x02\x01\x04250 a\n250 b\n2500 c\n",
    b"\x01\x00\x05\x01\x00\x00\x00",
    b"\x01\x02\x08\x08\x05\x01\x06\x00\x00",
    bytes([1, 0, 23, 2, 0, 1, 0, 8]),
    bytes([1, 3, 23, 2, 0, 1, 1, 3, 9, 9]),
)
"""Inputs to begin with."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a parser made of its input."""

    replies: tuple[Reply, ...]
    error: str | None
    is_pending: bool
    saw_bare_lf: bool


def run(data: bytes) -> str:
    """Feed one input in three ways, and compare.

    Returns:
        What kind of input it was.
    """
    choices = Choices(data)
    is_built = choices.one_in(2)
    cuts = choices.below(8)
    if is_built:
        stream = _built(choices)
        pieces = choices.cut(stream, most=cuts)
    else:
        places = [choices.below(65536) for _ in range(cuts)]
        stream = choices.rest()
        pieces = _cut(stream, places)
    whole = _read([stream])
    _compare(whole, _read(pieces), "in pieces")
    if len(stream) <= _MOST_ONE_BY_ONE:
        _compare(whole, _read(bytes([octet]) for octet in stream), "octet by octet")
    _check_truth(stream, whole)
    if whole.error is not None:
        return "error"
    return "replies" if whole.replies else "nothing yet"


def _built(choices: Choices) -> bytes:
    """Build an input of pieces that mean something, in few inputs repeated up to the bounds."""
    stream = b""
    is_long = choices.one_in(24)
    for _ in range(choices.below(_MOST_BUILT)):
        pieces: Sequence[bytes] = _ODD if choices.one_in(4) else _GOOD
        if is_long and choices.one_in(2):
            pieces = _ENDLESS
        stream += choices.pick(pieces) * choices.pick(_BOUNDS if is_long else _TIMES)
        if len(stream) > 2 * MAX_REPLY:
            break
    return stream[: 2 * MAX_REPLY]


def _cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


def _read(pieces: Iterable[bytes]) -> Read:
    """Feed pieces as the dialog does, and look at the parser's memory after each."""
    parser = ReplyParser()
    replies: list[Reply] = []
    error: str | None = None
    for piece in pieces:
        familiar = parser.parse_cached(piece)
        if familiar is not None:
            replies += familiar
            continue
        parser.feed(piece)
        error = _drain(parser, replies, most=len(piece) // 4 + 1)
        if error is not None:
            break
        insist(len(parser._buffer) - parser._start < MAX_LINE, "it holds more than a line")
        insist(parser._size <= MAX_REPLY, "it holds more than a reply may have")
    if error is not None:
        parser.feed(b"250 ok\r\n")
        insist(_drain(parser, replies, most=1) == error, "after an error it read on", FalseSuccess)
        insist(not parser._buffer, "after an error it keeps octets")
    return Read(tuple(replies), error, parser.is_pending, parser.saw_bare_lf)


def _drain(parser: ReplyParser, replies: list[Reply], most: int) -> str | None:
    """Ask for replies until there is none; a reply has four octets at least."""
    try:
        for _ in range(most + 1):
            reply = parser.next_reply()
            if reply is None:
                return None
            replies.append(reply)
    except ReplyError as error:
        return str(error)
    raise Hang("more replies than octets for them")


def _compare(whole: Read, other: Read, how: str) -> None:
    insist(whole.replies == other.replies, f"other replies {how}", FalseSuccess)
    insist(whole.error == other.error, f"another error {how}: {whole.error} / {other.error}")
    insist(whole.error or whole.is_pending == other.is_pending, f"another rest {how}")
    insist(whole.error or whole.saw_bare_lf == other.saw_bare_lf, f"other line ends {how}")


def _check_truth(stream: bytes, read: Read) -> None:
    """Compare with the second reader."""
    reader = ReplyReader()
    truth = reader.feed(stream)
    found = [reply.code for reply in read.replies]
    insist(found == [reply.code for reply in truth], "not the replies that came", FalseSuccess)
    insist((read.error is not None) is reader.is_broken, "an error, or none, for the wrong reason")
    if not reader.is_broken:
        insist(read.is_pending is reader.is_amid, "wrong about what is left over")
        insist(read.saw_bare_lf is reader.saw_bare_lf, "wrong about the line ends")
    for reply, true in zip(read.replies, truth, strict=True):
        insist(len(reply.lines) == len(true.lines), "lines are missing")
        for line, octets in zip(reply.lines, true.lines, strict=True):
            insist(line.isprintable(), "a line that must not be printed")
            insist(line == octets.decode() if _is_plain(octets) else True, "another text")


def _is_plain(octets: bytes) -> bool:
    return octets.isascii() and octets.decode().isprintable()
