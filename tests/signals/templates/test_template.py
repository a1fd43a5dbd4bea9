"""`Template`: emails of templates and values, and what is wrong with either."""

import email
import email.policy
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from servers.python import python

from pykka_smtp import FROM_HTML, Attachment, SendMail, Template, TemplateError, Unsubscribe

ME, YOU = "me@a.test", "you@b.test"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


def made(template: Template, **values: Any) -> SendMail:
    return template.mail(sender=ME, recipients=YOU, **values)


def parsed(mail: SendMail) -> EmailMessage:
    return email.message_from_bytes(mail.as_bytes(), policy=email.policy.default)


def words(mail: SendMail, kind: str) -> str:
    part: Any = parsed(mail).get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n")


def flaw(template: Template, **values: Any) -> TemplateError:
    with pytest.raises(TemplateError) as raised:
        made(template, **values)
    assert "\n" not in str(raised.value)
    return raised.value


def test_values_are_in_subject_text_and_html() -> None:
    hello = Template(subject="Hello {{ who }}", body="Dear {{ who }}", html="<p>Dear {{ who }}")

    mail = made(hello, who="Änne")

    assert mail.subject == "Hello Änne"
    assert words(mail, "plain") == "Dear Änne\n"
    assert words(mail, "html") == "<p>Dear Änne\n"


def test_a_value_cannot_add_elements_to_the_html_and_is_unchanged_in_the_text() -> None:
    hello = Template(subject="{{ who }}", body="{{ who }}", html="<p>{{ who }}</p>")

    mail = made(hello, who="<b>&\"'")

    assert words(mail, "plain") == mail.subject + "\n" == "<b>&\"'\n"
    assert words(mail, "html") == "<p>&lt;b&gt;&amp;&#34;&#39;</p>\n"


def test_what_an_html_template_includes_is_escaped_whatever_its_name_is(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>{% include 'foot.txt' %}")
    (tmp_path / "foot.txt").write_text("{{ who }}")

    mail = made(Template(html=tmp_path / "page.html", body="{{ who }}"), who="<b>")

    assert words(mail, "html") == "<p>&lt;b&gt;\n"


def test_what_can_be_read_only_once_is_in_the_text_and_in_the_html() -> None:
    each = "{% for item in items %}{{ item }},{% endfor %}"
    mail = Template(body=each, html=f"<p>{each}").mail(
        sender="a@b.test", recipients="c@d.test", items=iter([1, 2])
    )

    assert mail.as_bytes().count(b"1,2,") == 2


def test_markup_is_put_in_as_it_is() -> None:
    assert made(Template(html="{{ x }}"), x=Markup("<b>!</b>")).html == "<b>!</b>"


@pytest.mark.parametrize(
    "value", ["a\r\nBcc: her@c.test", "a\nb", "a\x85b", "a\u2028b", " a\v\fb\n"]
)
def test_a_subject_is_one_line_whatever_a_value_has(value: str) -> None:
    mail = made(Template(subject="{{ x }}\n", body="x"), x=value)

    assert len(mail.subject.splitlines()) == 1
    assert parsed(mail)["Bcc"] is None
    assert mail.subject.startswith("a ")


@given(st.text())
def test_no_value_adds_a_header_field_or_changes_a_text(value: str) -> None:
    template = Template(subject="Re: {{ x }}", body="{{ x }}|", html="<p>{{ x }}</p>|")
    try:
        mail = made(template, x=value)
    except ValueError:
        return  # a control character in the subject, or a NUL

    found = parsed(mail)
    assert found.keys() == parsed(made(template, x="x")).keys()
    assert not found.defects
    wanted = "\n".join(f"{value}|".replace("\r\n", "\n").split("\r"))
    assert words(mail, "plain") == wanted + "\n"


# What is missing or wrong


def test_a_missing_name_is_told_where_the_email_is_made_with_template_and_line() -> None:
    error = flaw(Template(body="Hello\n\n{{ who }}"))

    assert str(error) == "body, line 3: 'who' is undefined"
    assert (error.template, error.line) == ("body", 3)
    assert isinstance(error, ValueError)


def test_a_missing_name_in_a_file_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "hello.html").write_text("<p>\n{% include 'foot.html' %}")
    (tmp_path / "foot.html").write_text("\n\n{{ who }}")

    assert (
        str(flaw(Template(html=tmp_path / "hello.html"))) == "foot.html, line 3: 'who' is undefined"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ who.name }}", "body, line 2: 'str object' has no attribute 'name'"),
        ("{{ 1 // zero }}", "body, line 2: ZeroDivisionError: integer division"),
        (
            "{% include 'x' %}",
            "body, line 2: includes x: only a template with a folder",
        ),
        ("{{ who.__class__ }}", "body, line 2: access to attribute '__class__' of 'str' object is"),
        ("{{ who.no_such() }}", "body, line 2: 'str object' has no attribute 'no_such'"),
    ],
)
def test_what_a_template_cannot_do_is_one_line_with_its_place(text: str, expected: str) -> None:
    assert str(flaw(Template(body=f"Hello\n{text}"), who="you", zero=0)).startswith(expected)


def test_wrong_syntax_is_told_where_the_template_is_made() -> None:
    with pytest.raises(TemplateError, match=r"^html, line 2: .*unknown tag 'fi'") as raised:
        Template(html="{% if x %}\n{% fi %}")

    assert "\n" not in str(raised.value)


def test_wrong_syntax_in_what_is_included_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("\n{{ }}")

    assert str(flaw(Template(body="{% include 'b.txt' %}", folder=tmp_path))).startswith(
        "b.txt, line 2: "
    )


def test_an_error_quotes_no_values() -> None:
    secret = "s3cret"

    error = flaw(Template(body="{{ token }}{{ who }}"), token=secret)

    assert secret not in repr(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


# Files


@pytest.mark.parametrize(
    "name", ["../secret.txt", "/etc/hostname", "link.txt", "a/../../secret.txt"]
)
def test_no_file_beyond_the_folder_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "templates"
    (folder / "a").mkdir(parents=True)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")

    error = flaw(Template(body=f"{{% include '{name}' %}}", folder=folder))

    assert "is not in the folder" in str(error)


def test_a_template_may_extend_another_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text("<h1>News</h1>{% block text %}{% endblock %}")
    (tmp_path / "june").mkdir()
    june = tmp_path / "june" / "page.html"
    june.write_text("{% extends 'base.html' %}{% block text %}<p>{{ x }}</p>{% endblock %}")

    assert made(Template(html=june, folder=tmp_path), x=1).html == "<h1>News</h1><p>1</p>"


def test_a_file_that_is_missing_may_be_ignored(tmp_path: Path) -> None:
    made(Template(body="{% include 'x' ignore missing %}", folder=tmp_path))
    assert str(flaw(Template(body="{% include 'x' %}", folder=tmp_path))) == (
        "body, line 1: there is no file 'x'"
    )


def test_a_template_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"Hello\nGr\xfc\xdfe")

    with pytest.raises(TemplateError, match=r"^a.txt, line 2: is not UTF-8$"):
        Template(body=tmp_path / "a.txt")


def test_a_byte_order_mark_is_no_part_of_an_email(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfHello")

    assert made(Template(body=tmp_path / "a.txt")).body == "Hello"


def test_a_missing_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Template(body=tmp_path / "none.txt")


# What else an email has


@pytest.mark.parametrize("what", ["body", "html"])
def test_the_name_of_a_file_given_as_a_text_is_warned_of(what: str) -> None:
    given: dict[str, Any] = {what: "mails/welcome.html"}
    with pytest.warns(UserWarning, match=rf"^{what}: is 'mails/welcome.html' a file\? Then write"):
        Template(**given)
    Template(subject="report.txt", body="See report.txt")


def test_values_that_are_no_mapping_are_told() -> None:
    wrong: Any = "abc"
    with pytest.raises(TypeError, match=r"^values: needs a mapping of names, not str$"):
        made(Template(body="x"), values=wrong)


def test_parts_are_encoded_once_for_all_emails() -> None:
    paper = Attachment(b"%PDF", name="a.pdf")
    news = Template(html='<img src="cid:logo">', inline={"logo": PNG}, attachments=[paper])

    one, two = made(news), made(news)

    assert one.html is two.html  # it has no values
    assert one.inline["logo"] is two.inline["logo"]
    assert one.attachments[0] is paper


def test_a_file_is_read_when_the_template_is_made_and_not_again(tmp_path: Path) -> None:
    file = tmp_path / "logo.png"
    file.write_bytes(PNG)
    news = Template(html='<img src="cid:logo">', inline={"logo": file})
    file.unlink()

    assert b"image/png" in made(news).as_bytes()


def test_options_are_for_all_emails_or_for_one() -> None:
    leave = Unsubscribe(url="https://a.test/u/1")
    news = Template(body="x", list_id="news.a.test", attachments=[Attachment(b"1", name="a.bin")])

    mail = made(news, unsubscribe=leave, attachments=[Attachment(b"2", name="b.bin")], context=7)

    found = parsed(mail)
    assert found["List-Id"] == "<news.a.test>"
    assert "https://a.test/u/1" in found["List-Unsubscribe"]
    assert [part.get_filename() for part in found.iter_attachments()] == ["a.bin", "b.bin"]
    assert mail.context == 7
    assert len(made(news).attachments) == 1


def test_values_may_have_the_names_of_options() -> None:
    mail = made(Template(body="{{ date }} {{ subject }}"), values={"date": "May", "subject": "x"})

    assert mail.body == "May x"


@pytest.mark.parametrize("name", ["subject", "body", "html", "inline", "message"])
def test_what_the_template_has_is_not_given_again(name: str) -> None:
    template = Template(body="x")

    with pytest.raises(TypeError, match=rf"^mail\(\) takes no {name}: the template has it"):
        made(template, **{name: "x"})
    if name == "message":
        with pytest.raises(TypeError, match=r"^a Template takes no message"):
            Template(body="x", message=b"")


def test_an_unknown_option_of_a_template_is_a_typeerror() -> None:
    with pytest.raises(TypeError, match=r"^a Template takes no sbject$"):
        Template(body="x", sbject="x")


def test_a_template_needs_a_text() -> None:
    with pytest.raises(TypeError, match="needs body or html"):
        Template(subject="x")
    with pytest.raises(TypeError, match=r"^html: needs a str or a path, not bytes$"):
        Template(html=b"")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^css: needs"):
        Template(html="x", css="embed")  # type: ignore[arg-type]


def test_the_text_is_made_of_each_emails_html() -> None:
    mail = made(Template(body=FROM_HTML, html="<p>Dear {{ who }}, <b>hello</b>"), who="Änne")

    assert words(mail, "plain") == "Dear Änne, hello\n"


def test_a_line_with_nothing_but_a_condition_is_no_line_of_the_text() -> None:
    text = "a\n  {% if x %}\nb\n  {% endif %}\nc"

    assert made(Template(body=text), x=1).body == "a\nb\nc"


def test_threads_share_a_template() -> None:
    template = Template(body="{% for i in range(50) %}{{ n }},{% endfor %}", html="<p>{{ n }}")
    wrong: list[object] = []

    def make(number: int) -> None:
        for _ in range(50):
            mail = made(template, n=number)
            if (mail.body, mail.html) != (f"{number}," * 50, f"<p>{number}"):
                wrong.append(mail.body)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


# The extra


@pytest.mark.parametrize(
    ("module", "css", "expected"),
    [
        ("jinja2", "None", "a Template needs jinja2: pip install 'pykka-smtp[templates]'"),
        ("css_inline", "'inline'", "needs css-inline: pip install 'pykka-smtp[templates]'"),
    ],
)
def test_a_missing_package_is_one_line_that_says_what_to_install(
    module: str, css: str, expected: str
) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"import pykka_smtp\npykka_smtp.Template(html='x', css={css})"
    )

    done = python("-c", code)

    assert done.stderr.splitlines()[-1].startswith("ImportError: ")
    assert expected in done.stderr.splitlines()[-1]


def test_jinja2_is_not_imported_before_it_is_used() -> None:
    code = (
        "import pykka_smtp, sys\npykka_smtp.Template\n"
        "print({'jinja2', 'css_inline'} & {*sys.modules})"
    )

    assert python("-c", code).stdout == "set()\n"
