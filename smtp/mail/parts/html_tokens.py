"""An HTML page as its texts and tags, as browsers cut it (HTML Living Standard §13.2.5).

One pass, whatever the page: each character is looked at a fixed number of times. `html.parser`
looks again at what has no end, so that a hostile page of 1 MB takes it minutes.
"""

import html
import html.entities
import re
from collections.abc import Iterator

# Possessive: there is one way to match each of them, so none is tried twice. A quote, a comment or
# a tag without an end is the last one of its kind, so what follows is looked at once more at most.
_QUOTED = r"\"[^\"]*+\"|'[^']*+'"
_TOKEN = re.compile(
    r"((?:[^<]++|<(?![A-Za-z!?]|/.))*+)"  # text
    rf"(?:<(/?)([A-Za-z][^\s/>]*+)((?:[^>=\"']++|=\s*+(?:{_QUOTED}|[^\s>\"'][^\s>]*+)?|[\"'])*+)>"
    r"|<!--(?:-?>|.*?(?:--!?>|\Z))"  # a comment without an end hides the rest
    r"|<(?:[!?]|/(?![A-Za-z]))[^>]*+>"  # also <![CDATA[, as in browsers
    r"|<.*"  # a tag without an end: no browser shows it, nor what follows
    r"|\Z)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"([^\s/>=]++)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>\"'][^\s>]*+)))?"
)
# Elements without tags in them, and where they end.
_RAW = {
    name: re.compile(rf"</{name}(?:[\s/][^>]*+(?:>|\Z)|>)", re.IGNORECASE)
    for name in ("iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp")
}
_REFERENCE = re.compile(r"&(?:#[0-9]+|#[xX][0-9A-Fa-f]+|[A-Za-z][A-Za-z0-9]*)[;=]?")
# `int` refuses more than 4300 digits.
_HUGE = re.compile(r"&#[0-9]{100,};?")

Token = tuple[str, bool, str, str]
"""A text, perhaps empty, and the tag after it: whether it is an end tag, its name in lower case,
and its attributes as they are. A text that no tag follows has an empty name."""


def tokens(page: str) -> Iterator[Token]:
    """Return the texts and tags of a page, without its comments.

    Args:
        page: any text.
    """
    match, at, end = _TOKEN.match, 0, len(page)
    while at < end:
        found = match(page, at)
        assert found is not None  # a last alternative takes whatever there is
        at = found.end()
        text, slash, name, attributes = found.groups()
        if name is None:
            yield text, False, "", ""
            continue
        name = name.lower()
        yield text, bool(slash), name, attributes
        if name in _RAW and not slash:
            closing = _RAW[name].search(page, at)
            yield page[at : closing.start() if closing else end], True, name, ""
            at = closing.end() if closing else end


def attributes_of(text: str) -> dict[str, str]:
    """Return the attributes of a tag, by their names in lower case.

    Args:
        text: as a `Token` has them.
    """
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        value: str = double or single or bare
        if "&" in value:
            value = _REFERENCE.sub(_unescaped_reference, value)
        found.setdefault(name.lower(), value)
    return found


def _unescaped_reference(found: "re.Match[str]") -> str:
    text = found[0]
    # In ``?a=1&copy=2`` there is none.
    if text[1] == "#" or (text[-1] != "=" and text[1:] in html.entities.html5):
        return unescaped(text)
    return text


def unescaped(text: str) -> str:
    """Return a text of a page with characters for their references, such as ``&amp;``."""
    return html.unescape(_HUGE.sub("\ufffd", text)) if "&" in text else text
