"""Style sheets of a page, written into the elements themselves: many clients read no others.

``css_inline`` is in the same extra as jinja2, and imported when it is needed.
"""

import functools
import re
from collections.abc import Callable

from .template_error import TemplateError

MOST_NESTED = 500
"""Elements within each other: as browsers have it. With some thousands, the library overflows the
stack, which ends the process."""
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_FOREIGN = re.compile(r"<(?:svg|math)\b", re.IGNORECASE)
# Those that another one ends, or that have no end: they are not nested, however many there are;
# but within an image all are.
_ENDED_BY_OTHERS = frozenset(
    "area base br col embed hr img input link meta source track wbr"  # noqa: SIM905
    " p li dt dd option optgroup tr td th tbody thead tfoot colgroup".split()
)


def inliner(name: str) -> Callable[[str], str]:
    """Return what moves the rules of ``<style>`` into ``style=""``, and keeps ``@media``.

    It fetches nothing: neither from the network nor from a disk. It raises a `TemplateError` for
    a page that the library cannot read.

    Args:
        name: what such an error calls the page.

    Raises:
        ImportError: css_inline is not installed.
    """
    library = _library()

    def inlined(page: str) -> str:
        if page.count("<") > MOST_NESTED and _depth(page) > MOST_NESTED:
            raise TemplateError(name, None, f"has more than {MOST_NESTED} elements in each other")
        try:
            return library(page)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # also a `PanicException` of Rust, which is no `Exception`
            why = " ".join(str(error).split())
            raise TemplateError(name, None, f"css: {type(error).__name__}: {why}") from None

    return inlined


@functools.cache
def _library() -> Callable[[str], str]:
    try:
        from css_inline import CSSInliner
    except ImportError as error:
        raise ImportError(
            "css=\"inline\" needs css-inline: pip install 'pykka-smtp[templates]'",
            name="css_inline",
        ) from error
    return CSSInliner(load_remote_stylesheets=False, keep_at_rules=True).inline


def _depth(page: str) -> int:
    """Return how many elements are within each other; more rather than less."""
    is_open: dict[str, int] = {}
    depth = most = 0
    passed_over = frozenset[str]() if _FOREIGN.search(page) else _ENDED_BY_OTHERS
    for slash, tag in _TAG.findall(page):
        name = tag.lower()
        if name in passed_over:
            continue
        if not slash:
            is_open[name] = is_open.get(name, 0) + 1
            depth += 1
            most = max(most, depth)
        elif is_open.get(name):
            is_open[name] -= 1
            depth -= 1
    return most
