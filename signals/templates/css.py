"""Style sheets of a page, written into the elements themselves: many clients read no others.

``css_inline`` is in the same extra as jinja2, and imported when it is needed.
"""

import functools
from collections.abc import Callable


@functools.cache
def inliner() -> Callable[[str], str]:
    """Return what moves the rules of ``<style>`` into ``style=""``, and keeps ``@media``.

    It fetches nothing: neither from the network nor from a disk.

    Raises:
        ImportError: css_inline is not installed.
    """
    try:
        from css_inline import CSSInliner
    except ImportError as error:
        raise ImportError(
            "css=\"inline\" needs css-inline: pip install 'pykka-smtp[templates]'",
            name="css_inline",
        ) from error
    return CSSInliner(load_remote_stylesheets=False, keep_at_rules=True).inline
