"""From octets to replies: the same however they come, and bounded whatever comes."""

import re
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.reply_parser import (
    MAX_LINE,
    MAX_LINES,
    MAX_REPLY,
    ReplyError,
    ReplyParser,
)

NEXT = Reply(299, ("the next one",))
NEXT_OCTETS = b"299 the next one\r\n"


@dataclass(frozen=True)
class Heard:
    """All that a parser made of some octets."""

    replies: tuple[Reply, ...] = ()
    error: str | None = None
    is_pending: bool = False
    saw_bare_lf: bool = False


def hear(pieces: Iterable[bytes]) -> Heard:
    parser = ReplyParser()
    replies: list[Reply] = []
    errors: list[str] = []
    for piece in pieces:
        parser.feed(piece)
        try:
            while (reply := parser.next_reply()) is not None:
                replies.append(reply)
        except ReplyError as exc:
            errors.append(str(exc))
    assert len(set(errors)) <= 1
    error = errors[0] if errors else None
    return Heard(tuple(replies), error, parser.is_pending, parser.saw_bare_lf)


def read(octets: bytes) -> Heard:
    """Read octets whole, one by one, and with more behind them: it must all be the same."""
    whole = hear([octets])
    assert hear(octets[i : i + 1] for i in range(len(octets))) == whole
    followed = hear([octets + NEXT_OCTETS])
    if whole.error is not None:
        # Nothing that comes after what is no reply can mend it.
        assert followed == whole
    elif not whole.is_pending:
        assert followed == Heard((*whole.replies, NEXT), None, False, whole.saw_bare_lf)
    return whole


def reply_of(octets: bytes) -> Reply:
    heard = read(octets)
    assert heard.error is None
    assert not heard.is_pending
    (reply,) = heard.replies
    return reply


def error_of(octets: bytes) -> str:
    heard = read(octets)
    assert heard.replies == ()
    assert heard.error is not None
    assert heard.error.isprintable()
    return heard.error


# What is a reply


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"250 ok\r\n", Reply(250, ("ok",))),
        (b"250 \r\n", Reply(250, ("",))),
        (b"250\r\n", Reply(250, ("",))),
        (b"250  two spaces \r\n", Reply(250, (" two spaces ",))),
        (
            b"220-mx.test\r\n220-no spam\r\n220 ready\r\n",
            Reply(220, ("mx.test", "no spam", "ready")),
        ),
        (b"250-\r\n250-\r\n250\r\n", Reply(250, ("", "", ""))),
        (b"250-a-b\r\n250 c-d\r\n", Reply(250, ("a-b", "c-d"))),
        (b"200 the least\r\n", Reply(200, ("the least",))),
        (b"599 the most\r\n", Reply(599, ("the most",))),
        (b"299 no such code, yet a reply\r\n", Reply(299, ("no such code, yet a reply",))),
    ],
)
def test_a_reply_is_read(octets: bytes, reply: Reply) -> None:
    assert reply_of(octets) == reply


def test_replies_that_come_together_are_told_apart() -> None:
    heard = read(b"250 one\r\n550-two\r\n550 three\r\n354 four\r\n")

    assert heard == Heard(
        (Reply(250, ("one",)), Reply(550, ("two", "three")), Reply(354, ("four",)))
    )


def test_a_bare_lf_ends_a_line_and_is_noted() -> None:
    assert read(b"250-mx\n250 PIPELINING\n") == Heard(
        (Reply(250, ("mx", "PIPELINING")),), saw_bare_lf=True
    )
    assert not read(b"250-mx\r\n250 PIPELINING\r\n").saw_bare_lf


def test_a_code_with_a_bare_lf_is_a_reply() -> None:
    assert reply_of(b"250\n") == Reply(250)


def test_a_bare_cr_ends_no_line() -> None:
    assert reply_of(b"250 a\r250 b\r\n") == Reply(250, ("a\\r250 b",))
    assert read(b"250 ok\r") == Heard(is_pending=True)


@pytest.mark.parametrize("octets", [b"2", b"25", b"250", b"250 ok", b"250 ok\r", b"250-ok\r\n"])
def test_a_partial_reply_is_not_returned(octets: bytes) -> None:
    assert read(octets) == Heard(is_pending=True)


def test_empty_input_is_not_a_reply() -> None:
    assert read(b"") == Heard()


# What is no reply


MALFORMED = [
    b"25 ok\r\n",
    b"2500 ok\r\n",
    b" 250 ok\r\n",
    b"-25 ok\r\n",
    b"2x0 ok\r\n",
    b"999 ok\r\n",
    b"000 ok\r\n",
    b"250_ok\r\n",
    b"\r\n",
    b"+25 ok\r\n",
    b"2_5 ok\r\n",
    b"\n",
    b"2\r\n",
    b"25\r\n",
    b"250ok\r\n",
    b"250\tok\r\n",
    b"250\0ok\r\n",
    b"250\r\r\n",
    b"100 there is no 1yz in SMTP\r\n",
    b"199 nor this\r\n",
    b"600 nor this\r\n",
    b"2.0 ok\r\n",
    b"0x2 ok\r\n",
    b"2e1 ok\r\n",
    "٢٥٠ ok\r\n".encode(),  # digits, but not ASCII
    "²50 ok\r\n".encode(),
    b"\xb2\xb5\xb0 ok\r\n",
    b"HTTP/1.1 400 Bad Request\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"* OK IMAP4rev1\r\n",
    b"+OK POP3\r\n",
    b"\x15\x03\x03\x00\x02\x02\x46\n",  # a TLS alert
    b"-\r\n",
    b" \r\n",
]


@pytest.mark.parametrize("octets", MALFORMED)
def test_a_malformed_line_is_no_reply(octets: bytes) -> None:
    assert error_of(octets).startswith("not an SMTP reply: ")


@pytest.mark.parametrize("octets", MALFORMED)
def test_a_malformed_line_in_a_long_reply_makes_it_none(octets: bytes) -> None:
    assert error_of(b"250-ok\r\n" + octets).startswith("not an SMTP reply: ")


def test_replies_before_a_malformed_line_are_replies() -> None:
    heard = read(b"250 ok\r\n\r\n250 ok\r\n")

    assert heard.replies == (Reply(250, ("ok",)),)
    assert heard.error == "not an SMTP reply: ''"


def test_a_reply_has_one_code() -> None:
    assert error_of(b"250-ok\r\n550 no\r\n") == "reply with two codes: 250 and 550"
    assert error_of(b"250-ok\r\n250-ok\r\n251 no\r\n") == "reply with two codes: 250 and 251"


def test_the_code_of_one_reply_does_not_bind_the_next() -> None:
    assert len(read(b"250-a\r\n250 b\r\n550-c\r\n550 d\r\n").replies) == 2


def test_an_error_shows_only_the_beginning_of_the_line_and_no_control_characters() -> None:
    error = error_of(b"\x1b[2J" + b"x" * 1000 + b"\r\n")

    assert len(error) < 150
    assert "\x1b" not in error


def test_an_error_comes_again_with_every_call() -> None:
    parser = ReplyParser()
    parser.feed(b"nonsense\r\n250 ok\r\n")
    with pytest.raises(ReplyError) as first:
        parser.next_reply()

    parser.feed(b"250 ok\r\n")

    with pytest.raises(ReplyError) as second:
        parser.next_reply()
    assert second.value is first.value
    assert not parser.is_pending


def test_an_error_that_comes_again_does_not_grow() -> None:
    parser = ReplyParser()
    parser.feed(b"nonsense\r\n")
    depths: list[int] = []
    for _ in range(4):
        with pytest.raises(ReplyError) as caught:
            parser.next_reply()
        depths.append(len(caught.traceback))

    assert depths[1:] == depths[1:2] * 3


# Bounds


def test_a_line_may_have_the_longest_length() -> None:
    octets = b"250 " + b"x" * (MAX_LINE - 6) + b"\r\n"
    assert len(octets) == MAX_LINE == 4096

    assert reply_of(octets) == Reply(250, ("x" * (MAX_LINE - 6),))


def test_a_reply_line_one_octet_too_long_is_invalid() -> None:
    octets = b"250 " + b"x" * (MAX_LINE - 5) + b"\r\n"

    assert error_of(octets) == "reply line over 4096 octets"
    assert error_of(octets.replace(b"\r\n", b"x\n")) == "reply line over 4096 octets"


def test_a_line_without_end_is_refused_before_its_end_comes() -> None:
    assert read(b"250 " + b"x" * (MAX_LINE - 5)) == Heard(is_pending=True)
    assert error_of(b"250 " + b"x" * (MAX_LINE - 4)) == "reply line over 4096 octets"


def test_a_reply_may_have_the_most_lines() -> None:
    assert MAX_LINES == 256
    octets = b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n"

    assert reply_of(octets) == Reply(250, ("x",) * MAX_LINES)


def test_a_reply_with_one_line_too_many_is_invalid() -> None:
    assert error_of(b"250-x\r\n" * MAX_LINES + b"250 x\r\n") == "reply over 256 lines"
    assert read(b"250-x\r\n" * MAX_LINES) == Heard(is_pending=True)


def lines_of(octets: int) -> bytes:
    """Lines of one reply, the last one included, with so many octets in all."""
    line = b"250-" + b"x" * 506 + b"\r\n"
    last = octets - len(line) * (octets // len(line) - 1)
    return line * (octets // len(line) - 1) + b"250 " + b"x" * (last - 6) + b"\r\n"


def test_a_reply_may_have_the_most_octets() -> None:
    octets = lines_of(MAX_REPLY)
    assert len(octets) == MAX_REPLY == 65536

    assert sum(map(len, reply_of(octets).lines)) == MAX_REPLY - 6 * 128


def test_a_reply_with_one_octet_too_many_is_invalid() -> None:
    assert error_of(lines_of(MAX_REPLY + 1)) == "reply over 65536 octets"


def test_the_bounds_are_those_of_one_reply() -> None:
    heard = read((b"250-x\r\n" * (MAX_LINES - 1) + b"250 x\r\n") * 2 + lines_of(MAX_REPLY))

    assert len(heard.replies) == 3
    assert heard.error is None


@pytest.mark.parametrize(
    "piece",
    [b"x" * 65536, b"220-" + b"x" * 900 + b"\r\n", b"250-\r\n" * 1000, b"\r\n", b"2"],
    ids=["a line without end", "a reply without end", "empty lines", "no replies", "one octet"],
)
def test_an_endless_stream_takes_no_memory(piece: bytes) -> None:
    parser = ReplyParser()
    tracemalloc.start()
    try:
        errors = 0
        for _ in range(5000):
            parser.feed(piece)
            try:
                assert parser.next_reply() is None
            except ReplyError:
                errors += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert errors
    assert peak < 512 * 1024


def test_thousands_of_replies_in_one_piece_are_not_copied_for_each() -> None:
    parser = ReplyParser()
    octets = b"250 2.1.5 Ok\r\n" * 20_000
    parser.feed(octets)
    parser.next_reply()
    tracemalloc.start()
    try:
        # The first copy of what is left would show: it is nearly as large as all of it.
        for _ in range(100):
            parser.next_reply()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < len(octets) // 10


def test_what_was_read_is_not_kept() -> None:
    tracemalloc.start()
    try:
        parser = ReplyParser()
        parser.feed(b"250 2.1.5 Ok\r\n" * 20_000 + b"25")
        while parser.next_reply() is not None:
            pass
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert parser.is_pending
    assert left < 10_000


# What can be shown


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        ("grüße 你好 🎉".encode(), "grüße 你好 🎉"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"a\0b\x07\x08\x7f", "a\\x00b\\x07\\x08\\x7f"),
        (b"a\rb\tc", "a\\rb\\tc"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"\xc3", "\\xc3"),
        ("\u0085\u009b".encode(), "\\x85\\x9b"),  # C1: NEL, CSI
        ("\u2028\u202e\ufeff".encode(), "\\u2028\\u202e\\ufeff"),  # line end, bidi, BOM
        ("\U000e0001".encode(), "\\U000e0001"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # a surrogate is no UTF-8
    ],
)
def test_text_that_a_terminal_would_obey_is_escaped(octets: bytes, shown: str) -> None:
    reply = reply_of(b"250 " + octets + b"\r\n")

    assert reply.lines == (shown,)
    assert str(reply).isprintable()


# Properties

LINES = st.builds(
    lambda code, mark, text, end: code + mark + text + end,
    st.sampled_from([b"250", b"250", b"550", b"354", b"421", b"25", b"2500", b"150"]),
    st.sampled_from([b" ", b" ", b"-", b"-", b"", b"_"]),
    st.binary(max_size=8),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]),
)
STREAMS = st.one_of(st.lists(LINES, max_size=12).map(b"".join), st.binary(max_size=200))


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    ends = [*sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=8))
@example(b"250-a\r\n250 b\r\n", [6, 7])
def test_however_the_octets_are_cut_they_are_the_same_replies(
    octets: bytes, places: list[int]
) -> None:
    assert hear(cut(octets, places)) == read(octets)


@given(STREAMS)
def test_any_octets_are_replies_or_an_error(octets: bytes) -> None:
    heard = read(octets)

    for reply in heard.replies:
        assert 200 <= reply.code <= 599
        assert reply.lines
        assert all(line.isprintable() for line in reply.lines)
        # Each one stands in what was sent, at the beginning of a line.
        assert re.search(rb"(?m)^%d" % reply.code, octets)
    assert sum(len(reply.lines) for reply in heard.replies) <= octets.count(b"\n")
    if heard.error is not None:
        assert heard.error.isprintable()
        assert not heard.is_pending


@given(
    st.integers(200, 599),
    st.lists(st.text(st.characters(codec="utf-8")).filter(str.isprintable), min_size=1, max_size=9),
)
def test_a_reply_that_is_written_down_is_read_as_it_was(code: int, lines: list[str]) -> None:
    octets = "".join(
        f"{code}{' ' if number == len(lines) else '-'}{line}\r\n"
        for number, line in enumerate(lines, 1)
    ).encode()

    assert reply_of(octets) == Reply(code, tuple(lines))


@pytest.mark.parametrize(
    "octets",
    [
        b"250 ok\r\n",
        b"250-mx.test\r\n250-PIPELINING\r\n250 SIZE\r\n",
        b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go on\r\n",
        b"221 bye\r\n",
    ],
)
def test_replies_that_are_familiar_are_what_reading_them_gives(octets: bytes) -> None:
    assert ReplyParser().parse_cached(octets) == hear([octets]).replies


@pytest.mark.parametrize(
    "octets",
    [
        b"250 ok\n",  # a bare LF is to be noted
        b"250 ok\r\n250 half",
        b"250 ok\r\nnonsense\r\n",
        b"550 may repeat what it was sent\r\n",
        b"250 " + b"x" * 2000 + b"\r\n",
    ],
)
def test_what_needs_a_closer_look_is_not_familiar(octets: bytes) -> None:
    assert ReplyParser().parse_cached(octets) is None


def test_nothing_is_familiar_behind_a_part_of_a_reply_or_an_error() -> None:
    parser = ReplyParser()
    parser.feed(b"250-ok\r\n")
    assert parser.next_reply() is None
    assert parser.parse_cached(b"250 ok\r\n") is None
    parser.feed(b"nonsense\r\n")
    with pytest.raises(ReplyError):
        parser.next_reply()
    assert parser.parse_cached(b"250 ok\r\n") is None
