"""The text that is made of a page."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.parts.plain_text import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", "\n"),
        ("plain", "plain\n"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("<div>One</div><div>Two</div>", "One\nTwo\n"),
        ("a<br>b<br/>c", "a\nb\nc\n"),
        ("<p>a\n   b&nbsp;c &amp; d</p>", "a b\u00a0c & d\n"),
        ("<b>a</b> <i>b</i>c", "a bc\n"),
        ("<style>p {}</style><p>x</p><script>1 < 2</script>", "x\n"),
        ("<head><title>t</title></head><body>x</body>", "x\n"),
        (
            "<html><head><title>t</title><meta charset=utf-8><body><p>x",
            "x\n",
        ),  # </head> is optional
        ("<pre>a\n<b>b</b>\r\nc</pre>", "a\nb\nc\n"),
        ("<ul><li>a</li><li>b</ul>c", "* a\n* b\n\nc\n"),
        ("<ol><li>a<li>b<ul><li>c</ul></ol>", "1. a\n2. b\n  * c\n"),
        ('<a href="https://x.test/">here</a>!', "here <https://x.test/>!\n"),
        ('<a href="https://x.test/">https://x.test/</a>', "https://x.test/\n"),
        ('<a href="mailto:a@b.test">a@b.test</a>', "a@b.test\n"),
        ('<a href="#top">up</a>', "up\n"),
        ('<a href="javascript:x()">x</a>', "x\n"),
        ('<a href="https://x.test/"><img src="x" alt="Logo"></a>', "Logo <https://x.test/>\n"),
        ('<a href="https://x.test/"><img src="x"></a>y', "y\n"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2\n"),
        ("<pre>a\n  b</pre>", "a\n  b\n"),
        ("a<hr>b", "a\n--------------------\nb\n"),
        ("a < b <", "a < b <\n"),
        ("<pre>\n\na\n\n\n\nb  \n</pre>c", "a\n\nb\n\nc\n"),
        ("<ul><li><p>a</p><li></li><li> b</ul>", "* a\n* b\n"),
        ("<br>" * 60 + "<ol><li>a<li>b</ol>", "1. a\n2. b\n"),
        ("<table><tr><td>a<td><td>b<td> <tr><td><td>c</table>", "a |  | b\nc\n"),
        ("<div>a</div><div>&nbsp;</div><div>b</div>", "a\n\nb\n"),
        ("a<!-- <p>x --> b<!-->c<![CDATA[d>e", "a bce\n"),
        ("a<!-- b <p>c</p>", "a\n"),  # a browser shows no more of it
        ("a<b href='>c", "ac\n"),
        ("<noscript>a</noscript><template><p>b</template>c", "c\n"),
        ("<p>a</p>\n\n\n<p> </p>\n<p>b</p>", "a\n\nb\n"),
    ],
)
def test_a_page_becomes_text(html: str, text: str) -> None:
    assert text_of(html) == text


@given(st.text(st.sampled_from("<>/ab\"'= &;!-\n") | st.characters(), max_size=200))
def test_any_page_becomes_some_text(html: str) -> None:
    assert text_of(html).endswith("\n")


URL = "https://x.test/y"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<a href=U><p>a</p></a>b", "a <U>\n\nb\n"),
        ("<a href=U><h2>a</h2><p>b</p></a>", "a\n\nb <U>\n"),
        ("<a href=U><table><tr><td>a<td>b</table></a>c", "a | b <U>\n\nc\n"),
        ("<a href=U><div><img alt=Logo></div></a><p>b", "Logo <U>\n\nb\n"),
        ("<p><a href=U><h2>a</h2></a></p>", "a <U>\n"),
        ("<ul><li><a href=U><p>a</p></a><li>b</ul>", "* a <U>\n* b\n"),
    ],
)
def test_a_link_around_a_block_keeps_its_address(html: str, text: str) -> None:
    assert text_of(html.replace("U", URL)) == text.replace("U", URL)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>See <a href=U>a", "See a <U>\n"),
        ("<p>See <a href=U>a</p><p>b</p>", "See a <U>\n\nb\n"),
        ("<table><tr><td><a href=U>a</td><td>b</table>", "a <U> | b\n"),
        ("<a href=U>a <a href=U/2>b</a> c", "a <U> b <U/2> c\n"),
        ("<a href=U><a href=U/2>b</a></a>", "b <U/2>\n"),
        ("<a href=U>a<a name=x>b</a>", "a <U>b\n"),
        ("<a href=U>a </a>b", "a <U> b\n"),
    ],
)
def test_a_link_that_is_not_closed_keeps_its_address(html: str, text: str) -> None:
    assert text_of(html.replace("U", URL)) == text.replace("U", URL)


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("'https://x.test/?a=1&copy=2&amp;b'", "https://x.test/?a=1&copy=2&b"),
        ("' https://x.test/a&#10;b\n'", "https://x.test/ab"),
        ("'https://x.test/a b<c>\x7f'", "https://x.test/a%20b%3Cc%3E%7F"),
        ('"https://x.test/\u00fc" href=https://y.test/', "https://x.test/\u00fc"),
    ],
)
def test_an_address_is_that_which_a_browser_opens_and_has_no_line_end(href: str, url: str) -> None:
    assert text_of(f"<a href={href}>a</a>") == f"a <{url}>\n"


def test_a_page_with_a_huge_number_becomes_text() -> None:
    assert text_of(f"a&#{'1' * 5000};b") == "a\ufffdb\n"


HOSTILE = [
    *("<!--", "<!-- >", "<![CDATA[", "<?", "</", "</ ", "<a", "<a ", '<a href="', "<a href='\""),
    *(
        "<a b='>'",
        "</a b='>'",
        f"<a href={URL}>x",
        f"<a href={URL}>x</a> ",
        "<a>",
        "<a =",
        "<",
        "<>",
    ),
    *("<p>", "<div>", "</div>", "<ul><li>x", "<ol><li>", "<blockquote>x", "<table><tr><td>x"),
    *("<td>", "<td>x", "<hr>", "<br>", "<br>x", "<pre>\n", "\n", " ", "<script>", "</script "),
    *(
        "<script></scrip",
        "<title></titl",
        "<template>",
        "<b> </b>",
        "&",
        "&a",
        "&#1",
        "&#x",
        "<img alt=x>",
    ),
]


@pytest.mark.long
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_page_of_a_megabyte_becomes_text(piece: str) -> None:
    # What is quadratic takes hours; the test ends before.
    assert len(text_of(piece * (1_000_000 // len(piece)))) < 6_000_000


def calls_for(html: str) -> int:
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event.endswith("call")

    sys.setprofile(count)
    try:
        text_of(html)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("piece", HOSTILE)
def test_twice_the_page_is_at_most_twice_the_work(piece: str) -> None:
    assert calls_for(piece * 1000) <= 2 * calls_for(piece * 500) + 50
