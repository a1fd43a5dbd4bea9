"""What a page embeds, and what it only speaks of."""

import pytest

from pykka_smtp.smtp.mail.parts.cids import check_references, cids_fetched, cids_of


@pytest.mark.parametrize(
    "html",
    [
        '<img src="cid:logo">',
        "<IMG\n SRC = '  CID:logo'/>",
        "<img src=cid:logo>",
        "<img src=cid:l%6fgo>",
        "<body background=cid:logo>",
        "<a href='cid:logo'>x</a>",
        "<p style=\"background: url('cid:logo')\">",
        '<p style="background: url(&quot;cid:logo&quot;)">',
        "<style>p { background: url( cid:logo ) }</style>",
        '<img srcset="https://x.test/y 1x, CID:logo 2x">',
        '<img alt="a > b <c>" src="cid:logo">',
        "<!-- a --><v:fill src='cid:logo'/>",
        "<!--><img src=cid:logo><!-- -->",
    ],
)
def test_what_a_browser_would_fetch_is_embedded(html: str) -> None:
    assert cids_fetched(html) == {"logo"}
    assert cids_of(html, html.encode()) >= cids_fetched(html)
    with pytest.raises(ValueError, match=r"^html: embeds cid:logo, but inline has no 'logo'$"):
        check_references(html, cids_of(html, html.encode()), {})


@pytest.mark.parametrize(
    "html",
    [
        "<!-- <img src='cid:logo'> -->",
        "<!-- <img src='cid:logo'>",
        "<!--[if mso]><v:fill src='cid:logo'/><![endif]-->",
        '<img alt="cid:logo" title="=cid:logo">',
        "<img src='x' alt=\"src='cid:logo'\">",
        "x=cid:logo, url(cid:logo)",
        "<script>x = 'cid:logo'</script>",
        "<style>/* url(cid:logo) */</style>",
        "<title>src=cid:logo</title>",
        "<a href='https://x.test/?=cid:logo'>x</a>",
        "<p data-cid='cid:logo'>",
    ],
)
def test_what_a_page_only_speaks_of_is_not_missing(html: str) -> None:
    assert cids_fetched(html) == set()
    assert check_references(html, cids_of(html, html.encode()), {}) == []
    # Outlook reads some of the comments; so what they name is not called superfluous.
    assert check_references(html, cids_of(html, html.encode()), {"logo"}) == []


def test_an_error_about_any_name_is_one_short_line() -> None:
    html = f"<img src='cid:{'a%0ab' * 1000}'>"

    with pytest.raises(ValueError, match="html: embeds") as caught:
        check_references(html, cids_of(html, html.encode()), {})

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
