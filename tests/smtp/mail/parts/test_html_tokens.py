"""An HTML page is cut as browsers cut it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.parts.html_tokens import attributes_of, tokens, unescaped


def cut(page: str) -> list[str]:
    """Return texts, and tags in angle brackets."""
    found: list[str] = []
    for text, is_end, name, _ in tokens(page):
        found += [text] if text else []
        found += [f"<{'/' if is_end else ''}{name}>"] if name else []
    return found


# What html5lib makes of them, too.
@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("", []),
        ("a<B>c</b >d<br/>", ["a", "<b>", "c", "</b>", "d", "<br>"]),
        ("a < b <1 <", ["a < b <1 <"]),
        ("a<!-- <b> -->c", ["a", "c"]),
        ("a<!-->b<!--->c<!-- --!>d", ["a", "b", "c", "d"]),
        ("a<!-- <b> c", ["a"]),
        ("<!doctype html><?xml x?>a<![CDATA[b>c", ["a", "c"]),
        ("a</>b</ x>c</", ["a", "b", "c</"]),
        ("a<b c='>'>d", ["a", "<b>", "d"]),
        ("a<b c=\"'>'\" d = '\"'>e", ["a", "<b>", "e"]),
        ('a<b c=d"e>f">g', ["a", "<b>", 'f">g']),
        ("a<b", ["a"]),
        ("a<b <c> d", ["a", "<b>", " d"]),
        ("<script>1 < 2 <b></script\n x>c", ["<script>", "1 < 2 <b>", "</script>", "c"]),
        ("<title>a</titles></TITLE>b", ["<title>", "a</titles>", "</title>", "b"]),
        ("<style>a", ["<style>", "a", "</style>"]),
    ],
)
def test_a_page_is_cut_as_by_browsers(page: str, expected: list[str]) -> None:
    assert cut(page) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (" a=1 B='2' c = \"3\" d", {"a": "1", "b": "2", "c": "3", "d": ""}),
        (" a=1 a=2", {"a": "1"}),
        ("/a=b/c/", {"a": "b/c/"}),
        (" a='&quot;&#39;&#x41'", {"a": "\"'A"}),
        (" href='?a=1&copy=2&lt;&amp;b&c'", {"href": "?a=1&copy=2<&b&c"}),
        (" a='", {"a": "", "'": ""}),
    ],
)
def test_attributes_are_read_as_by_browsers(written: str, expected: dict[str, str]) -> None:
    assert attributes_of(written) == expected


def test_a_number_of_any_length_stands_for_some_character() -> None:
    assert unescaped(f"&#{'9' * 5000};&#x{'f' * 5000};&#{'0' * 50}65;") == "\ufffd\ufffdA"


@given(st.text(st.sampled_from("<>/ab\"'= &;!-?\n") | st.characters(), max_size=200))
def test_no_text_is_said_twice(page: str) -> None:
    assert sum(len(text) for text, *_ in tokens(page)) <= len(page)
