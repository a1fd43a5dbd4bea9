"""The text that an HTML page says, for readers who see no HTML."""

import re
from html.parser import HTMLParser

_SKIPPED = frozenset(("script", "style", "template", "title", "noscript"))
"""What is not shown; the rest of ``<head>`` has no text, and its end tag is often left out."""
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "div"),
        *("dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4"),
        *("h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table"),
        *("tbody", "tfoot", "thead", "tr", "ul"),
    )
)
_APART = frozenset(
    ("h1", "h2", "h3", "h4", "h5", "h6", "p", "blockquote", "pre", "ul", "ol", "table")
)
"""Blocks with an empty line before and after them."""
_WHITE = re.compile(r"[ \t\r\n\f]+")
_EMPTY = re.compile(r"\n{3,}")
_LINKS = ("http:", "https:", "mailto:", "tel:")
_MAX_DEPTH = 50


def text_of(html: str) -> str:
    """Return the text of an HTML page, with its links in angle brackets.

    Args:
        html: the page; broken HTML gives some text, too.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = [""]
        self._skipping = 0
        self._kept_as_is = 0
        self._link: tuple[str, int] | None = None
        self._lists: list[int | None] = []  # the next number; None for a list without numbers
        self._cells = 0

    def text(self) -> str:
        """Return what was collected."""
        lines = "\n".join(line.rstrip() for line in self._lines)
        return _EMPTY.sub("\n\n", lines).strip("\n") + "\n"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipping += 1
            return
        if tag == "br":
            self._lines.append("")
        elif tag in _BLOCKS:
            self._break(apart=tag in _APART and not self._lists)
        given = dict(attrs)
        if tag == "a":
            self._link = ((given.get("href") or "").strip(), self._length())
        elif tag == "img":
            self._say(given.get("alt") or "")
        elif tag in ("ul", "ol"):
            if len(self._lists) < _MAX_DEPTH:
                self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._say_item()
        elif tag == "hr":
            self._lines[-1] = "-" * 20
            self._lines.append("")
        elif tag == "pre":
            self._kept_as_is += 1
        elif tag in ("td", "th"):
            if self._cells and self._lines[-1]:
                self._lines[-1] += " | "
            self._cells += 1
        elif tag == "tr":
            self._cells = 0

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("br", "hr", "img"):
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipping = max(self._skipping - 1, 0)
            return
        if tag == "a":
            self._say_link()
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre":
            self._kept_as_is = max(self._kept_as_is - 1, 0)
        if tag in _BLOCKS:
            self._break(apart=tag in _APART and not self._lists)

    def handle_data(self, data: str) -> None:
        if self._kept_as_is and not self._skipping:
            first, *others = data.replace("\r\n", "\n").split("\n")
            self._lines[-1] += first
            self._lines += others
            return
        self._say(data)

    def _length(self) -> int:
        return len(self._lines) * 1_000_000 + len(self._lines[-1])

    def _say(self, data: str) -> None:
        if self._skipping:
            return
        text = _WHITE.sub(" ", data)
        line = self._lines[-1]
        if text and (not line or line[-1] == " "):
            text = text.removeprefix(" ")
        self._lines[-1] = line + text

    def _say_item(self) -> None:
        indent = "  " * max(len(self._lists) - 1, 0)
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        self._lines[-1] = f"{indent}* " if number is None else f"{indent}{number}. "

    def _say_link(self) -> None:
        link, self._link = self._link, None
        if link is None or self._skipping:
            return
        url, begun = link
        line = self._lines[-1].rstrip()
        if not url.lower().startswith(_LINKS) or not line:
            return
        if begun == self._length() or line.endswith((url, url.partition(":")[2].lstrip("/"))):
            return  # a link without a text, or one that shows its address
        self._lines[-1] = f"{line} <{url}>"

    def _break(self, *, apart: bool) -> None:
        if self._lines[-1].strip():
            self._lines.append("")
        if apart and len(self._lines) > 1 and self._lines[-2]:
            self._lines.append("")
