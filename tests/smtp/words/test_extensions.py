"""What a server offers, read from its reply to EHLO."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.words.extensions import Extensions
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.reply_parser import ReplyParser


def offered(*lines: str) -> Extensions:
    return Extensions.from_reply(Reply(250, ("mx.test", *lines)))


def test_a_server_that_says_only_its_name_offers_nothing() -> None:
    extensions = offered()

    assert list(extensions) == []
    assert not extensions.pipelining
    assert not extensions.eight_bit_mime
    assert not extensions.smtputf8
    assert not extensions.offers_size
    assert extensions.size_limit is None


def test_nothing_is_offered_before_ehlo() -> None:
    assert list(Extensions()) == []


def test_what_is_offered_is_known() -> None:
    extensions = offered("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 1000", "X-OWN a b")

    assert extensions.pipelining
    assert extensions.eight_bit_mime
    assert extensions.smtputf8
    assert extensions.offers_size
    assert extensions.size_limit == 1000
    assert "X-OWN" in extensions
    assert list(extensions) == ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE", "X-OWN"]


def test_keywords_may_be_in_any_case_and_have_spaces_around() -> None:
    extensions = offered("pipelining", " 8BitMime ", "  Size   1000  ")

    assert extensions.pipelining
    assert extensions.eight_bit_mime
    assert extensions.size_limit == 1000


@pytest.mark.parametrize(
    "line",
    [
        "XPIPELINING",
        "PIPELININGS",
        "X PIPELINING",
        "PIPELINING=YES",
        "NO-PIPELINING",
        "PIPE LINING",
        "P\u0130PEL\u0130N\u0130NG",
        "p\u0131pel\u0131n\u0131ng",  # dotless: upper() makes an ASCII I of it
    ],
)
def test_a_keyword_counts_only_as_a_whole_word(line: str) -> None:
    assert not offered(line).pipelining


def test_a_server_named_like_an_extension_does_not_offer_it() -> None:
    extensions = Extensions.from_reply(Reply(250, ("PIPELINING", "8BITMIME")))

    assert not extensions.pipelining
    assert extensions.eight_bit_mime


def test_a_keyword_that_comes_twice_counts_once() -> None:
    extensions = offered("SIZE 1000", "size 2000", "SIZE")

    assert extensions.size_limit == 1000
    assert list(extensions) == ["SIZE"]


def test_an_empty_line_offers_nothing() -> None:
    assert list(offered("", "   ", "SIZE")) == ["SIZE"]


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("SIZE", None),
        ("SIZE 0", None),  # RFC 1870 §4: no fixed limit
        ("SIZE 00", None),
        ("SIZE 1", 1),
        ("SIZE 010", 10),
        ("SIZE 99999999999999999999", 99999999999999999999),
        ("SIZE 100000000000000000000", None),
        ("SIZE -1", None),
        ("SIZE +1", None),
        ("SIZE 1_0", None),
        ("SIZE 1e3", None),
        ("SIZE 1 2", None),
        ("SIZE \u0661", None),  # a digit, but not ASCII
        ("SIZE \u00b2", None),
        ("SIZE unlimited", None),
    ],
)
def test_the_size_limit_is_a_number_or_there_is_none(line: str, limit: int | None) -> None:
    extensions = offered(line)

    assert extensions.offers_size
    assert extensions.size_limit == limit


def test_size_with_an_equals_sign_is_another_word() -> None:
    assert not offered("SIZE=1000").offers_size


@given(st.lists(st.text(st.characters(codec="utf-8")).filter(str.isprintable), min_size=1))
def test_any_reply_can_be_read(lines: list[str]) -> None:
    extensions = Extensions.from_reply(Reply(250, tuple(lines)))

    assert len(list(extensions)) < len(lines)
    assert all(keyword in extensions and keyword.isascii() for keyword in extensions)
    assert extensions.size_limit is None or extensions.size_limit > 0


# AUTH, as servers write it


@pytest.mark.parametrize(
    ("lines", "mechanisms"),
    [
        (("AUTH NTLM", "AUTH=LOGIN"), {"NTLM", "LOGIN"}),
        (("AUTH GSSAPI NTLM", "AUTH LOGIN PLAIN"), {"GSSAPI", "NTLM", "LOGIN", "PLAIN"}),
        (("AUTH", "AUTH LOGIN"), {"LOGIN"}),
        (("AUTH LOGIN", "AUTH"), {"LOGIN"}),
        (("AUTH\tLOGIN",), {"LOGIN"}),
        (("AUTH:LOGIN",), {"LOGIN"}),
        (("AUTH: LOGIN PLAIN",), {"LOGIN", "PLAIN"}),
        (("auth login", "Auth=Login PLAIN"), {"LOGIN", "PLAIN"}),
        (("AUTH",), set()),
        (("AUTHX LOGIN", "XAUTH LOGIN", "X-AUTH=LOGIN"), set()),
    ],
)
def test_all_lines_with_auth_count_together(lines: tuple[str, ...], mechanisms: set[str]) -> None:
    assert offered(*lines).auth_mechanisms == mechanisms


def test_a_tab_that_came_over_the_wire_is_as_good_as_a_space() -> None:
    parser = ReplyParser()
    parser.feed(b"250-mx\r\n250-SIZE\t1000\r\n250-PIPELINING\t\r\n250 AUTH\tLOGIN\tPLAIN\r\n")
    reply = parser.next_reply()
    assert reply is not None

    extensions = Extensions.from_reply(reply)

    assert extensions.size_limit == 1000
    assert extensions.pipelining
    assert extensions.auth_mechanisms == {"LOGIN", "PLAIN"}


def test_a_tab_behind_a_keyword_is_as_good_as_a_space() -> None:
    assert offered("SIZE\t1000").size_limit == 1000


# Extensions that are not wanted


def test_what_is_not_wanted_is_not_offered_but_still_shown() -> None:
    reply = Reply(250, ("mx.test", "PIPELINING", "CHUNKING", "SIZE 9"))

    extensions = Extensions.from_reply(reply, frozenset({"CHUNKING", "SIZE", "DSN"}))

    assert list(extensions) == ["PIPELINING"]
    assert not extensions.chunking
    assert extensions.size_limit is None
    assert extensions.lines == ["PIPELINING", "CHUNKING", "SIZE 9"]


@pytest.mark.parametrize(
    ("line", "is_masked"),
    [("XXXXXXXA", True), ("XXXX", True), ("xxxxxxxa", True), ("X-EXPS", False), ("XCLIENT", False)],
)
def test_an_extension_that_a_firewall_masks_is_seen(line: str, *, is_masked: bool) -> None:
    assert offered("SIZE", line).is_masked is is_masked
