"""A style sheet that is written into a template once gives what it gives in each email."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from pykka_smtp.signals.composing.html import Html
from pykka_smtp.signals.templates.css import inliner
from pykka_smtp.signals.templates.engine import Source, Text
from pykka_smtp.signals.templates.page import Page

STYLE = (
    "<style>p, td.x {color: red} p .y{a:b} /* p + p */"
    " @media print {p:first-child{color: blue}}</style>"
)
VALUES: dict[str, Any] = {"a": "<i>", "t": True, "f": False, "rows": [1, 2, 3], "none": []}


def page(text: str) -> Page:
    return Page(Source("html", text, None), has_css=True)


class Events(HTMLParser):
    """What a page says, whatever the order of attributes, and wherever its head ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in {"head", "body"}:
            self.events.append((tag, sorted(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"head", "body"}:
            self.events.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.events.append(data)


def said(text: "str | Html") -> list[Any]:
    """Return a page as a client reads it."""
    return Events(inliner("html")(text if isinstance(text, str) else text.text)).events


def once_for_each(text: str, values: dict[str, Any]) -> str:
    """Return the email as it is if the style sheet is written into the finished page."""
    return inliner("html")(Text(Source("html", text, None), is_html=True).render(values))


ONCE = [
    "<p>{{ a }}</p>",
    "<p title='{{ a }}' class=y>{{ a }}<a href=\"x?u={{ a|urlencode }}&amp;b\">x</a></p>",
    "<div>{% if t %}<p>1</p>{% elif a %}<p>2</p>{% else %}<p>3</p>{% endif %}</div>",
    "<ul>{% for r in rows %}<li><p>{{ r }}<br></p></li>{%- else -%}<li>none</li>{% endfor %}</ul>",
    "<table><tr><td class=x>{{ a }}</td></tr></table>",
    "<table><tbody>{% for r in rows %}<tr><td class=x>1</td></tr>{% endfor %}</tbody></table>",
    "{# a comment #}<p>x</p>{{ a }}",
    "<!-- {{ a }} --><p>x</p>",
    "<p>{{ {'a': '>'}['a'] }}</p>",
    "<textarea>{{ a }}</textarea><p>x</p>",
]
EACH = [
    '<p class="{{ a }}">x</p>',
    "<p {% if t %}class=y{% endif %}>x</p>",
    "{% if t %}<div class=x>{% else %}<div class=y>{% endif %}<p>x</p></div>",
    "<table>{% for r in rows %}<tr><td class=x>{{ r }}</td></tr>{% endfor %}</table>",
    "<table class=y>{% for r in rows %}x{% endfor %}</table>",
    "{% if f %}<p>{% else %}</p>{% endif %}",
    "{% if t %}<p>{% endif %}x{% if f %}</p>{% endif %}",
    "{% for r in rows %}</div><div>{% endfor %}",
    "<p>unclosed {{ a }}<p>x{% if f %}</p>{% endif %}",
    "<p style='width: {{ a }}'>x</p>",
    "<style>p + p{a:b}</style>{% if f %}<p>1</p>{% endif %}<p>2</p>",
    "<style>p:first-child{a:b}</style>{% if f %}<p>1</p>{% endif %}<p>2</p>",
    "<style>p[title=x]{a:b}</style><p title='{{ a }}'>2</p>",
    "<style>{% if t %}p{a:b}{% endif %}</style><p>2</p>",
    "{% if f %}<style>p{a:b}</style>{% endif %}<p>2</p>",
    "{% macro m() %}<p>1</p>{% endmacro %}{{ m() }}",
    "{% set b = a %}<p>{{ b }}</p>",
    "<{{ a }}>",
    "<p title={{ t }}>x</p>",
]


@pytest.mark.parametrize("text", ONCE)
def test_what_does_not_depend_on_values_is_styled_once(text: str) -> None:
    made = page(STYLE + text)

    assert made.is_styled_before
    for values in (VALUES, VALUES | {"t": False, "rows": []}):
        assert said(made.render(values)) == said(once_for_each(STYLE + text, values))


@pytest.mark.parametrize("text", EACH)
def test_what_may_depend_on_values_is_styled_in_each_email(text: str) -> None:
    made = page(STYLE + text)

    assert not made.is_styled_before
    for values in (VALUES, VALUES | {"t": False, "rows": []}):
        assert made.render(values) == once_for_each(STYLE + text, values)


def str_of(rendered: str | Html) -> str:
    return rendered if isinstance(rendered, str) else rendered.text


def test_a_value_with_elements_is_styled_too() -> None:
    made = page(f"{STYLE}<div>{{{{ x }}}}</div>")

    assert made.is_styled_before
    assert '<p style="color: red;">!</p>' in str_of(made.render({"x": Markup("<p>!</p>")}))
    assert "&lt;p&gt;!" in str_of(made.render({"x": "<p>!</p>"}))


def test_an_error_has_the_line_of_the_template_and_not_that_of_what_was_made_of_it() -> None:
    made = page("<style>\n\n\n</style>\n<p>\n{{ x }}</p>")

    assert made.is_styled_before
    with pytest.raises(ValueError, match=r"^html, line 6: 'x' is undefined$"):
        made.render({})


def test_media_rules_stay_and_nothing_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("p{left: 1px}")
    link = f'<link rel="stylesheet" href="{(tmp_path / "a.css").as_uri()}">'

    text = str_of(page(f"{link}{STYLE}<p>{{{{ a }}}}</p>").render(VALUES))

    assert "@media print" in text
    assert "1px" not in text


def test_a_page_without_values_is_made_once() -> None:
    made = page(f"{STYLE}<p>Hello</p>")

    assert made.render({}) is made.render({})
    assert 'style="color: red;"' in str_of(made.render({}))


LEAVES = st.sampled_from(
    ("x", "{{ a }}", "<br>", '<a href="{{ a }}">x</a>', "<p>", "</p>", "<td class=x>y</td>", "\n<b")
)


def around(inner: Any) -> Any:
    """Put elements, conditions and loops around what a strategy makes."""
    texts = st.lists(inner, max_size=3).map("".join)
    tags = st.sampled_from(("p", "div", "ul", "li", "table", "tbody", "tr", "select", "title", "b"))
    return st.one_of(
        st.builds(lambda tag, text: f"<{tag} class=y>{text}</{tag}>", tags, texts),
        st.builds(lambda text: f"{{% for r in rows %}}{text}{{% endfor %}}", texts),
        st.builds(
            lambda name, one, other: f"{{% if {name} %}}{one}{{% else %}}{other}{{% endif %}}",
            *(st.sampled_from(("t", "f")), texts, texts),
        ),
    )


@given(st.lists(st.recursive(LEAVES, around, max_leaves=8), max_size=3).map("".join))
def test_any_template_says_the_same_styled_once_or_in_each_email(text: str) -> None:
    made = page(STYLE + text)

    assert said(made.render(VALUES)) == said(once_for_each(STYLE + text, VALUES))
