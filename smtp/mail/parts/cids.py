"""The images that HTML names by ``cid:`` (RFC 2392), and the parts that hold them."""

import re
from collections.abc import Collection, Iterable
from urllib.parse import unquote

from ...words.shown import shown
from .html_tokens import attributes_of, tokens

_CID = re.compile(r"[A-Za-z0-9._+=@~-]{1,200}")
# Wherever a browser could fetch it, and elsewhere: quick, and right for most pages.
_MAYBE_FETCHED = re.compile(
    r"[=(,]\s*+(?:(?:[\"']|&quot;|&#39;)\s*+)?cid:([^\"'\s<>()&;,\\]+)", re.IGNORECASE
)
_FETCHING = frozenset(("background", "data", "href", "poster", "src", "xlink:href"))
"""Attributes whose value a browser fetches."""
_FETCHING_SEVERAL = frozenset(("imagesrcset", "srcset"))
_VALUE = re.compile(r"\s*+cid:(\S+)", re.IGNORECASE)
_SEVERAL = re.compile(r"(?:\A|,)\s*+cid:([^\s,]+)", re.IGNORECASE)
_IN_CSS = re.compile(r"\burl\(\s*+[\"']?\s*+cid:([^\"'\s<>()&;,\\]+)", re.IGNORECASE)
_COMMENT_IN_CSS = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_NAMED = re.compile(r"(?<![\w-])cid:([^\"'\s<>()&;,\\]+)", re.IGNORECASE)


def check_cid(cid: object) -> str:
    """Return `cid` if a part can be named so.

    Raises:
        TypeError: it is not a str.
        ValueError: it has characters that HTML, a URL or a header field would need to escape.
    """
    if not isinstance(cid, str):
        raise TypeError(f"inline: a name must be a str, not {type(cid).__name__}")
    cid = str.__str__(cid)
    if not _CID.fullmatch(cid):
        raise ValueError(
            f"inline: the name {shown(cid)} needs 1 to 200 of A-Z a-z 0-9 . _ + = @ ~ -"
        )
    return cid


def cids_of(html: str, octets: bytes) -> frozenset[str]:
    """Return the names of what an HTML page embeds; perhaps also of what it only speaks of.

    Args:
        html: the page.
        octets: the same in UTF-8, in which it is quicker to find that there are none.
    """
    if b"cid:" not in octets.lower():
        return frozenset()
    return _found(_MAYBE_FETCHED, html)


def cids_fetched(html: str) -> frozenset[str]:
    """Return the names of what an HTML page embeds, such as ``logo`` for ``src="cid:logo"``.

    Not those in its comments, nor in its text.

    Args:
        html: the page.
    """
    found: set[str] = set()
    for text, is_end, tag, written in tokens(html):
        if is_end and tag == "style":
            found |= _found(_IN_CSS, _COMMENT_IN_CSS.sub("", text))
        elif not is_end and ":" in written:
            for name, value in attributes_of(written).items():
                if name in _FETCHING:
                    match = _VALUE.match(value)
                    found |= {unquote(match[1])} if match else set()
                elif name in _FETCHING_SEVERAL:
                    found |= _found(_SEVERAL, value)
                elif name == "style":
                    found |= _found(_IN_CSS, value)
    return frozenset(found)


def check_references(html: str, named: Iterable[str], inline: Collection[str]) -> list[str]:
    """Check that what the HTML embeds is there.

    Args:
        html: the page.
        named: what `cids_of` has found in it.
        inline: the names of the parts.

    Returns:
        The parts that the page does not name.

    Raises:
        ValueError: it embeds what is not there.
    """
    if not set(named).issubset(inline):
        missing = sorted(cids_fetched(html).difference(inline))
        if missing:
            cid = missing[0]
            url = f"cid:{cid}" if _CID.fullmatch(cid) else shown(f"cid:{cid}")
            raise ValueError(f"html: embeds {url}, but inline has no {shown(cid)}")
    unused = set(inline).difference(named)
    if unused:
        unused -= _found(_NAMED, html)
    return sorted(unused)


def _found(pattern: "re.Pattern[str]", html: str) -> frozenset[str]:
    return frozenset(unquote(name) for name in pattern.findall(html))
