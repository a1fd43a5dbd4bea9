"""The images that HTML names by ``cid:`` (RFC 2392), and the parts that hold them."""

import re
from collections.abc import Collection, Iterable
from urllib.parse import unquote

from ...words.shown import shown

_CID = re.compile(r"[A-Za-z0-9._+=@~-]{1,200}")
# Where a browser would fetch it: as an attribute's value, in a srcset, or in CSS.
_FETCHED = re.compile(
    r"[=(,]\s*+(?:(?:[\"']|&quot;|&#39;)\s*+)?cid:([^\"'\s<>()&;,\\]+)", re.IGNORECASE
)
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


def cids_fetched(html: str, octets: bytes) -> frozenset[str]:
    """Return the names of what an HTML page embeds, such as ``logo`` for ``src="cid:logo"``.

    Args:
        html: the page.
        octets: the same in UTF-8, in which it is quicker to find that there are none.
    """
    if b"cid:" not in octets.lower():
        return frozenset()
    return _found(_FETCHED, html)


def check_references(html: str, fetched: Iterable[str], inline: Collection[str]) -> list[str]:
    """Check that what the HTML embeds is there.

    Args:
        html: the page.
        fetched: what `cids_fetched` has found in it.
        inline: the names of the parts.

    Returns:
        The parts that the page does not name.

    Raises:
        ValueError: it embeds what is not there.
    """
    missing = sorted(set(fetched).difference(inline))
    if missing:
        cid = shown(missing[0])
        raise ValueError(f"html: embeds cid:{missing[0]}, but inline has no {cid}")
    unused = set(inline).difference(fetched)
    if unused:
        unused -= _found(_NAMED, html)
    return sorted(unused)


def _found(pattern: "re.Pattern[str]", html: str) -> frozenset[str]:
    return frozenset(unquote(name) for name in pattern.findall(html))
