"""What a page, a style sheet or a value tries to do that it must not."""

import socket
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from servers.python import python

from pykka_smtp import Template, TemplateError
from pykka_smtp.signals.composing.html import Html
from pykka_smtp.signals.templates.css import MOST_NESTED
from pykka_smtp.signals.templates.engine import one_line

ME, YOU = "me@a.test", "you@b.test"


def page_of(html: str, **values: object) -> str:
    mail = Template(html=html, css="inline").mail(sender=ME, recipients=YOU, values=values)
    return mail.html.text if isinstance(mail.html, Html) else str(mail.html)


@pytest.mark.parametrize("constant", [True, False], ids=["once", "each"])
def test_a_style_sheet_fetches_nothing_from_the_network_or_a_disk(
    tmp_path: Path, constant: bool
) -> None:
    (tmp_path / "x.css").write_text("p { color: magenta }")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        host = "{}:{}".format(*server.getsockname())
        places = [f"http://{host}/x.css", (tmp_path / "x.css").as_uri(), str(tmp_path / "x.css")]
        links = "".join(f'<link rel="stylesheet" type="text/css" href="{each}">' for each in places)
        imports = "".join(f'@import url("{each}"); @import "{each}" screen;' for each in places)
        image = f"p {{ background: url(http://{host}/x.png) }}"
        html = f"{links}<style>{imports}{image}</style><p>Hello</p>"

        page = page_of(html if constant else f"{html}{{{{ x }}}}", x="y")

        with pytest.raises(TimeoutError):
            server.accept()
    assert "magenta" not in page
    assert "<link" not in page
    assert "background: url" in page


DEEP = ["<div>", "<span>", "<b>", "<table><tr><td>", "<ul><li>", "<svg><tr>", "<math><input>"]


@pytest.mark.parametrize("element", DEEP)
def test_a_page_too_deep_for_the_library_does_not_end_the_process(element: str) -> None:
    code = (
        "from markupsafe import Markup\n"
        "from pykka_smtp import Template, TemplateError\n"
        "page = Template(html='<style>p + p {color: red}</style>{{ x }}', css='inline')\n"
        "try: page.mail(sender='a@b.test', recipients='c@d.test', x=Markup("
        f"{element!r} * 60000))\n"
        "except TemplateError as error: print(error)\n"
    )
    done = python("-c", code)

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"html: has more than {MOST_NESTED} elements in each other\n"


@pytest.mark.parametrize("element", ["<p>", "<br>", "<p><b>x</b>", "<li>x", "<tr><td>x", "<i></i>"])
def test_a_long_page_is_not_a_deep_one(element: str) -> None:
    table = f"<table><tr><td><ul><li>{element * 3000}"

    assert page_of(f"<style>td {{ color: red }}</style>{table}{{{{ x }}}}", x="") != ""


def test_what_the_library_cannot_read_is_an_error_of_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As a library written in Rust raises it."""

    def panic(_page: str) -> str:
        raise Panic("at line 7\nof something")

    (tmp_path / "may.html").write_text("<p>{{ x }}", "utf-8")
    monkeypatch.setattr("pykka_smtp.signals.templates.css._library", lambda: panic)

    with pytest.raises(TemplateError, match=r"^may\.html: css: Panic: at line 7 of something$"):
        Template(html=tmp_path / "may.html", css="inline").mail(sender=ME, recipients=YOU, x="y")


class Attributes(HTMLParser):
    """Collects the attributes of all elements, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += attrs if tag == "a" else [(tag, None)]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("css", ["inline", None])
def test_a_value_stays_within_the_text_or_the_quotes_in_which_it_stands(css: str | None) -> None:
    value = "\"'> <img src=x onerror=y> & &lt; `"
    html = "<a href=\"{{ x }}\" title='{{ x }}'>{{ x }}</a><!-- {{ x }} -->"
    template = Template(html=html, css=css)  # type: ignore[arg-type]

    mail = template.mail(sender=ME, recipients=YOU, x=value)

    found = Attributes(str(mail.html))
    elements = [each for each in found.found if each[0] not in {"html", "head", "body"}]
    assert elements == [("href", value), ("title", value)]
    assert found.text == value


def test_a_template_that_includes_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n{% include 'a.txt' %}")

    with pytest.raises(TemplateError, match=r"^a\.txt, line 2: RecursionError: "):
        Template(body=tmp_path / "a.txt").mail(sender=ME, recipients=YOU)


def test_a_loop_of_very_many_turns_is_told() -> None:
    template = Template(body="{% for x in range(10 ** 9) %}{% endfor %}")

    with pytest.raises(TemplateError, match=r"^body, line 1: OverflowError: Range too big"):
        template.mail(sender=ME, recipients=YOU)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a \r\n\t b", "a b"),
        ("\n a  b \n\n \n c\u2028d\t", "a  b c d"),
        (" \t ", ""),
    ],
)
def test_line_breaks_and_tabs_of_a_subject_are_spaces(text: str, expected: str) -> None:
    assert one_line(text) == expected


def test_a_subject_of_very_many_spaces_takes_no_time() -> None:
    begun = time.process_time()
    assert len(one_line("a" + " " * 500_000 + "b")) == 500_002
    assert time.process_time() - begun < 1
