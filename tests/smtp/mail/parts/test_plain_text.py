"""The text that is made of a page."""

import time

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
        ("<p>a</p>\n\n\n<p> </p>\n<p>b</p>", "a\n\nb\n"),
    ],
)
def test_a_page_becomes_text(html: str, text: str) -> None:
    assert text_of(html) == text


@given(st.text(st.sampled_from("<>/ab\"'= &;!-\n") | st.characters(), max_size=200))
def test_any_page_becomes_some_text(html: str) -> None:
    assert text_of(html).endswith("\n")


@pytest.mark.parametrize(
    "piece", ["<p>", "<ul><li>", "</div>", "<a href=x>", "&", "<td>", "<pre>\n"]
)
def test_a_page_of_nothing_but_tags_takes_no_time(piece: str) -> None:
    began = time.process_time()

    text_of(piece * 10_000)

    assert time.process_time() - began < 5
