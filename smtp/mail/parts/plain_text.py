"""The text that an HTML page says, for readers who see no HTML."""

import re

from .html_tokens import attributes_of, tokens, unescaped

_SKIPPED = frozenset(
    ("iframe", "noembed", "noframes", "noscript", "script", "style", "template", "title")
)
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
_CELLS = frozenset(("td", "th"))
_AROUND = (_BLOCKS | _CELLS) - {"hr"}
"""What a link ends with if it has no end of its own."""
_HANDLED = _BLOCKS | _CELLS | _SKIPPED | {"a", "br", "img"}
_WHITE = re.compile(r"[ \t\r\n\f]+")
_EMPTY = re.compile(r"\n{3,}")
_LINKS = ("http:", "https:", "mailto:", "tel:")
_DROPPED_IN_URL = re.compile(r"[\t\r\n]+")  # as by browsers
_ESCAPED_IN_URL = re.compile(r"[\x00-\x20\x7f<>]")
_MOST_INDENTED = 10
"""Lists within lists that are indented ever more: the text is not much longer than its page."""


def text_of(html: str) -> str:
    """Return the text of an HTML page, with its links in angle brackets.

    Takes a time that grows as the page does, and no faster, whatever it contains.

    Args:
        html: the page; of a broken one, what a browser would show.
    """
    reader = _Reader()
    skipping = 0
    for text, is_end, tag, attributes in tokens(html):
        if text and not skipping:
            reader.say(unescaped(text))
        if tag not in _HANDLED:
            continue
        if tag in _SKIPPED:
            skipping = max(skipping + (-1 if is_end else 1), 0)
        elif is_end:
            reader.end(tag)
        else:
            reader.begin(tag, attributes)
    return reader.text()


class _Lines:
    """Lines of text. What is between two texts is written once the second one is there."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._breaks = 0  # line ends before the next text
        self._bars = 0  # cells of a table that have ended
        self._has_space = False  # whether there is a space before it
        self._mark = ""  # of the item of a list that has begun
        self._link: str | None = None  # the URL of the link in which the next text is
        self._linked: list[str] = []  # the text of this link

    @property
    def _is_at_start(self) -> bool:
        return not self._pieces or self._breaks > 0

    def text(self) -> str:
        """Return what was collected."""
        self._end_link()
        lines = "\n".join([line.rstrip() for line in "".join(self._pieces).split("\n")])
        return _EMPTY.sub("\n\n", lines).strip("\n") + "\n"

    def _put(self, text: str) -> None:
        between = ""
        if self._is_at_start:
            between = "\n" * self._breaks if self._pieces else ""
        elif self._bars:
            between = " | " * self._bars
        elif self._has_space:
            between = " "
        self._pieces += (between, self._mark, text)
        self._breaks, self._bars, self._has_space, self._mark = 0, 0, False, ""
        if self._link is not None:
            self._linked += (between, text)

    def _put_words(self, text: str) -> None:
        text = _WHITE.sub(" ", text)
        if text[:1] == " ":
            self._has_space = True
        if words := text.strip(" "):
            self._put(words)
            self._has_space = text[-1] == " "

    def _put_as_is(self, text: str) -> None:
        text = text.replace("\r\n", "\n")
        rest = text.lstrip("\n")
        self._break(self._breaks + len(text) - len(rest))
        if lines := rest.rstrip("\n"):
            self._put(lines)
            self._break(len(rest) - len(lines))

    def _break(self, breaks: int) -> None:
        self._breaks = max(self._breaks, min(breaks, 2))
        if self._breaks:
            self._bars, self._has_space = 0, False

    def _begin_link(self, url: str) -> None:
        self._end_link()  # there is none in another
        if url.lower().startswith(_LINKS):
            self._link = url

    def _end_link(self) -> None:
        url, text = self._link, "".join(self._linked).strip()
        self._link, self._linked = None, []
        if url is None or not text:
            return
        # One that shows its address has it already.
        if not text.endswith((url, url.partition(":")[2].lstrip("/"))):
            self._pieces.append(f" <{url}>")


class _Reader(_Lines):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self._kept_as_is = 0
        self._lists: list[int | None] = []  # the next number; None for a list without numbers
        self._open: list[str] = []  # elements that have begun, of those that end a link
        self._times_open: dict[str, int] = dict.fromkeys(_AROUND, 0)
        self._around_link = 0  # how many of them were open where the link began

    def say(self, text: str) -> None:
        if self._kept_as_is:
            self._put_as_is(text)
        else:
            self._put_words(text)

    def begin(self, tag: str, attributes: str) -> None:
        if tag in _BLOCKS:
            self._break(self._distance(tag))
        if tag in _AROUND:
            self._open.append(tag)
            self._times_open[tag] += 1
        if tag == "a":
            url = _DROPPED_IN_URL.sub("", attributes_of(attributes).get("href", "")).strip()
            self._begin_link(_ESCAPED_IN_URL.sub(_escaped, url))
            self._around_link = len(self._open)
        elif tag == "br":
            self._break(self._breaks + 1)
        elif tag == "img":
            self._put_words(attributes_of(attributes).get("alt", ""))
        elif tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._begin_item()
        elif tag == "hr":
            self._put("-" * 20)
            self._break(1)
        elif tag == "pre":
            self._kept_as_is += 1
        elif tag in _CELLS and not self._is_at_start:
            self._bars += 1

    def end(self, tag: str) -> None:
        if tag == "a":
            self._end_link()
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre":
            self._kept_as_is = max(self._kept_as_is - 1, 0)
        if tag in _BLOCKS:
            self._break(self._distance(tag))
        if tag in _AROUND and self._times_open[tag]:
            self._close(tag)

    def _distance(self, tag: str) -> int:
        return 2 if tag in _APART and not self._lists else 1

    def _close(self, tag: str) -> None:
        closed = ""
        while closed != tag:
            closed = self._open.pop()
            self._times_open[closed] -= 1
        if len(self._open) < self._around_link:
            self._end_link()

    def _begin_item(self) -> None:
        indent = "  " * min(max(len(self._lists) - 1, 0), _MOST_INDENTED)
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        self._mark = f"{indent}* " if number is None else f"{indent}{number}. "


def _escaped(found: "re.Match[str]") -> str:
    return f"%{ord(found[0]):02X}"
