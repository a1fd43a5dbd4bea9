"""What the site does to pages that the repository shows as they are."""

import re
from typing import Any


def on_page_markdown(markdown: str, page: Any, config: Any, **_others: Any) -> str:
    """Let links that leave the folder of pages lead to the repository.

    Args:
        markdown: the text of the page.
        page: it; `src_uri` is its path.
        config: of the site; `repo_url` is where the repository is.
    """
    depth = page.file.src_uri.count("/")
    out = "../" * (depth + 1)
    return re.sub(
        rf"\]\({re.escape(out)}(?!\.\./)([^)]+)\)",
        lambda link: f"]({config['repo_url']}/blob/main/{link[1]})",
        markdown,
    )


def on_page_content(html: str, **_others: Any) -> str:
    """Let the colons before a block of code in a docstring be one colon.

    Args:
        html: what the page has become.
    """
    return html.replace("<p>::</p>\n", "").replace("::</p>", ":</p>")
