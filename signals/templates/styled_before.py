"""A style sheet that is written into the elements of a template, before it gets values.

So it is done once, and not for each email. It is possible where what the rules match does not
depend on the values, and where the page is so regular that an HTML parser repairs nothing in it.
Wherever that is not certain, nothing is done here.
"""

import re
from collections.abc import Callable, Iterator

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)  # of jinja2
_BLOCK = re.compile(r"\{%[-+]?\s*(if|elif|else|endif|for|endfor)\b")
_ROOT = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)

_STYLE = re.compile(r"<style\b[^>]*>(.*?)</style\s*>", re.DOTALL | re.IGNORECASE)
_CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RULE = re.compile(r"\{[^{}]*\}")
_AT_RULE = re.compile(r"@[^;]*;")  # such as @media, which stays a style sheet
# A selector that looks at neighbours, attributes, or contents; and what is not understood here.
_DEPENDING = re.compile(r"""[+~\[@{}"'\\]|:(?!(?:hover|active|focus|visited|link)\b)""")

_ATTRIBUTE = r"""\s+[^\s"'<>/=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+))?"""
_PIECE = re.compile(
    rf"<!--.*?-->|<!doctype[^>]*>|<(?P<slash>/?)(?P<name>[a-z][a-z0-9]*)"
    rf"(?P<attributes>(?:{_ATTRIBUTE})*)\s*/?>",
    re.IGNORECASE | re.DOTALL,
)
_VALUE = re.compile(r"""([^\s"'<>/=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_MATCHED = frozenset(("class", "id", "style"))
_RAW = frozenset(("script", "style", "textarea", "title", "noscript", "iframe", "xmp"))
"""Elements with a text that has no elements, and no comments."""

_VOID = frozenset(
    "area base br col embed hr img input link meta source track wbr".split()  # noqa: SIM905
)
"""Elements without an end."""

_WORD = "pykka0smtp"
_MARK = re.compile(rf"<!--{_WORD}(\d+)x-->|{_WORD}(\d+)x")  # what a parser leaves as it is
_TOKEN = re.compile(
    rf"(?P<mark>{_WORD}\d+x)|{_PIECE.pattern}|(?P<text>[^<\s]+)", re.IGNORECASE | re.DOTALL
)
_IMPLIED = (
    (re.compile(r"<head </head "), ""),
    (re.compile(r"<table <tbody "), "<table "),
    (re.compile(r"</tbody </table "), "</table "),
)


def styled_before(source: str, inline: Callable[[str], str]) -> str | None:
    """Return a template with its style sheet in its elements; None if it may depend on values.

    Args:
        source: the template.
        inline: moves the rules of ``<style>`` into the elements of a page.
    """
    tags: list[str] = _TAG.findall(source)
    blocks = [tag for tag in tags if tag.startswith("{%")]
    if _WORD in source.lower() or not all(map(_BLOCK.match, blocks)):
        return None
    if not _ROOT.search(source):
        source = f"<html><head></head><body>{source}</body></html>"
    if not _rules_are_constant(source):
        return None
    marked = _marked(source)
    if marked is None:
        return None
    styled = inline(marked)
    if _bones(styled) != _bones(marked):
        return None  # what the parser has repaired may not fit the branches of an {% if %}
    if not _closes_what_it_opens(_bones(marked), tags):
        return None
    return _MARK.sub(lambda found: tags[int(found[1] or found[2])], styled)


def _rules_are_constant(source: str) -> bool:
    """Whether style sheets are before all values, and look at nothing that depends on them."""
    first = _TAG.search(source)
    end = 0
    for found in _STYLE.finditer(source):
        end = found.end()
        css = _CSS_COMMENT.sub("", found[1])
        while _RULE.search(css):  # only selectors are left
            css = _RULE.sub(";", css)
        if _DEPENDING.search(_AT_RULE.sub("", css)):
            return False
    return first is None or end <= first.start()


def _marked(source: str) -> str | None:
    """Return the page with a mark for each tag of jinja2; None if one is where it must not be."""
    numbers = iter(range(len(source)))
    page = _TAG.sub(lambda _: f"{_WORD}{next(numbers)}x", source)
    pieces: list[str] = []
    end = 0
    for found in _pieces(page):
        text = page[end : found.start()]
        name = (found["name"] or "").lower()
        if found["slash"] and name in _RAW:
            pieces.append(text)
        elif "<" in text:
            return None  # no tag that is understood here
        else:
            pieces.append(_MARK.sub(r"<!--\g<0>-->", text))
        if not _is_matched_alike(found["attributes"] or ""):
            return None
        pieces.append(found[0])
        end = found.end()
    rest = page[end:]
    return None if "<" in rest else "".join([*pieces, _MARK.sub(r"<!--\g<0>-->", rest)])


def _pieces(page: str) -> Iterator[re.Match[str]]:
    """Yield comments and tags, but for what looks so within a raw text."""
    raw = ""
    for found in _PIECE.finditer(page):
        name = (found["name"] or "").lower()
        if raw and not (found["slash"] and name == raw):
            continue
        raw = name if name in _RAW and not found["slash"] else ""
        yield found


def _is_matched_alike(attributes: str) -> bool:
    """Whether what depends on values is within quotes, and in no attribute that rules look at."""
    rest = attributes
    for found in _VALUE.finditer(attributes):
        if _MARK.search(found[0]):
            if found[1].lower() in _MATCHED or _MARK.search(found[1]):
                return False
            rest = rest.replace(found[0], "")
    return not _MARK.search(rest)


def _bones(page: str) -> str:
    """Return tags, marks and where text is, without style sheets and what need not be written."""
    bones: list[str] = []
    for found in _TOKEN.finditer(_STYLE.sub("", page)):
        if found["name"]:
            bones.append(f"<{found['slash']}{found['name'].lower()} ")
        elif found["text"] and not _MARK.search(found[0]) and bones[-1:] != ["text "]:
            bones.append("text ")
        bones.extend(f"{_WORD}{mark[0] or mark[1]}x " for mark in _MARK.findall(found[0]))
    text = "".join(bones)
    for implied, instead in _IMPLIED:
        text = implied.sub(instead, text)
    return text


def _closes_what_it_opens(bones: str, tags: list[str]) -> bool:
    """Whether each branch of a block closes the elements that it opens, and no others.

    Otherwise a page is regular only with all branches in it, and no email has all.
    """
    elements: list[str] = []
    begins: list[list[str]] = []  # what was open where each block that is open began
    for bone in bones.split():
        if bone.startswith(_WORD):
            found = _BLOCK.match(tags[int(bone.removeprefix(_WORD).removesuffix("x"))])
            if found is None:
                continue
            if found[1] in {"if", "for"}:
                begins.append(list(elements))
            elif not begins or elements != begins[-1]:
                return False
            elif found[1].startswith("end"):
                begins.pop()
        elif bone.startswith("</"):
            if not elements or elements.pop() != bone[2:]:
                return False
        elif bone != "text" and bone[1:] not in _VOID:
            elements.append(bone[1:])
    return True
