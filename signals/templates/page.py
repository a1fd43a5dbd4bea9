"""A page with values put in, whose style sheet is written into its elements."""

from collections.abc import Callable, Mapping
from typing import Any

from ..composing.html import Html
from .css import inliner
from .engine import Source, Text
from .styled_before import styled_before


class _HasMarkupError(Exception):
    """A value has elements of its own, which a style sheet may be for."""


class Page:
    """A template of HTML. Any number of threads may use it.

    Args:
        source: its text.
        has_css: whether its style sheet is written into its elements.

    Raises:
        TemplateError: its syntax is wrong.
        ImportError: a library is not installed.
    """

    def __init__(self, source: Source, *, has_css: bool) -> None:
        self._text: Text = Text(source, is_html=True)
        self._inline: Callable[[str], str] | None = inliner(source.name) if has_css else None
        self._styled: Text | None = None
        self._constant: Html | None = None
        if source.is_constant:
            self._constant = Html(self._rendered({}))
        elif self._inline is not None:
            # Once for all emails, if that gives the same as once for each.
            before = styled_before(source.text, self._inline)
            if before is not None:
                source = Source(source.name, before, source.folder)
                self._styled = Text(source, is_html=True, finalize=_refuse_markup)

    @property
    def is_styled_before(self) -> bool:
        """Whether emails of usual values need no more of their style sheets."""
        return self._styled is not None or self._constant is not None

    def render(self, values: Mapping[str, Any]) -> "str | Html":
        """Return the page with values.

        Args:
            values: the values by name.

        Raises:
            TemplateError: one is missing, or cannot be used as it is.
        """
        if self._constant is not None:
            return self._constant
        if self._styled is not None:
            styled = self._styled.try_to_render(values)
            if styled is not None:
                return styled
        return self._rendered(values)  # an error has the line that it has in the template

    def _rendered(self, values: Mapping[str, Any]) -> str:
        text = self._text.render(values)
        return text if self._inline is None else self._inline(text)


def _refuse_markup(value: Any) -> Any:
    if hasattr(value, "__html__"):
        raise _HasMarkupError
    return value
