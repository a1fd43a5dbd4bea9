"""Fields of lists, of answers and of automatic emails."""

from typing import Any

import pytest

from pykka_smtp import Unsubscribe
from pykka_smtp.smtp.mail.parts.fields import (
    answer_fields,
    auto_submitted_field,
    ids_of,
    list_id_field,
)


def test_one_click_needs_both_fields() -> None:
    assert Unsubscribe(url="https://a.test/u").lines() == (
        "List-Unsubscribe: <https://a.test/u>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    )


def test_an_address_alone_is_no_single_click() -> None:
    assert Unsubscribe(mailto="u@a.test").lines() == ("List-Unsubscribe: <mailto:u@a.test>",)
    # What means something else in a URL names nobody else.
    assert Unsubscribe(mailto="a?b+c%d@a.test").lines() == (
        "List-Unsubscribe: <mailto:a%3Fb+c%25d@a.test>",
    )
    assert Unsubscribe(mailto="mailto:u@a.test?subject=no%20more").lines() == (
        "List-Unsubscribe: <mailto:u@a.test?subject=no%20more>",
    )


def test_a_long_url_is_in_a_line_of_its_own() -> None:
    url = "https://a.test/" + "x" * 800

    line, _post = Unsubscribe(url=url, mailto="u@a.test").lines()

    assert line == f"List-Unsubscribe: <{url}>,\r\n <mailto:u@a.test>"


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, ValueError, "needs a url, or mailto"),
        ({"url": "http://a.test/u"}, ValueError, "the url 'http://a.test/u' is not of the form"),
        ({"url": "https://a.test/\u00fc"}, ValueError, "escaped as %XX"),
        ({"url": "https://a.test/a b"}, ValueError, "is not of the form"),
        ({"url": "https://a.test/>,<http://evil.test/"}, ValueError, "is not of the form"),
        ({"url": "https://"}, ValueError, "is not of the form"),
        ({"url": "https://a.test/" + "x" * 900}, ValueError, "900 are allowed"),
        ({"url": b"https://a.test"}, TypeError, "must be a str"),
        ({"mailto": "a"}, ValueError, "unsubscribe: mailto: invalid address"),
        ({"mailto": "mailto:a b"}, ValueError, "is not of the form"),
        ({"mailto": "mailto:?to=a@b.test"}, ValueError, "is not of the form"),
    ],
)
def test_what_nobody_can_unsubscribe_by_is_refused(given: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        Unsubscribe(**given)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("news.a.test", "List-Id: <news.a.test>"),
        ("News <news.a.test>", "List-Id: News <news.a.test>"),
        ('"News, all" <news.a.test>', 'List-Id: "News, all" <news.a.test>'),
        (("N\u00fcws", "news.a.test"), "List-Id: =?utf-8?b?TsO8d3M=?= <news.a.test>"),
        ((None, "news.a.test"), "List-Id: <news.a.test>"),
        ("<news.a.test>", "List-Id: <news.a.test>"),
        ("News, all <news.a.test>", 'List-Id: "News, all" <news.a.test>'),
        (r'"News \"all\"" <news.a.test>', r'List-Id: "News \"all\"" <news.a.test>'),
        (('"News"', "news.a.test"), r'List-Id: "\"News\"" <news.a.test>'),
    ],
)
def test_a_list_id_has_a_name_or_none(given: Any, line: str) -> None:
    assert list_id_field(given) == line


@pytest.mark.parametrize("given", ["news", "a b.c", "<>", "", "x@a.test", "News <a.b", "a..b"])
def test_a_list_id_is_in_a_domain(given: str) -> None:
    with pytest.raises(ValueError, match=r"^list_id: "):
        list_id_field(given)


def test_auto_submitted_is_one_of_the_registered() -> None:
    assert auto_submitted_field("auto-generated") == "Auto-Submitted: auto-generated"
    with pytest.raises(ValueError, match=r"needs one of no, auto-generated"):
        auto_submitted_field("yes")


def test_ids_may_be_in_one_text_or_several() -> None:
    assert ids_of("x", "<a@b>\t<c@d>") == ids_of("x", ["<a@b>", "<c@d>"]) == ("<a@b>", "<c@d>")
    wrong: Any
    for wrong in ("", "a@b", "<a b>", "<a@b", "<\u00fc@b>", []):
        with pytest.raises(ValueError, match=r"^x: "):
            ids_of("x", wrong)
    with pytest.raises(TypeError, match=r"^x: needs a Message-ID"):
        ids_of("x", 1)


def test_many_references_are_folded() -> None:
    ids = [f"<{number}@{'x' * 50}.test>" for number in range(9)]

    _reply, references = answer_fields(ids[-1], ids)

    assert max(map(len, references.split("\r\n"))) <= 76
    assert references.replace("\r\n", "") == f"References: {' '.join(ids)}"
