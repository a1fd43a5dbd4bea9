"""Lists such as ``a=b; c=d`` (RFC 6376 §3.2)."""

import re

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MOST = 100
"""Tags of one list: no signature has more."""


class TagListError(ValueError):
    """A signature or a record is invalid; the text says why, in one line."""


def tags_of(text: str) -> dict[str, str]:
    """Return the values by their names, with white space around them removed.

    Args:
        text: the list.

    Raises:
        TagListError: it is no such list, or a tag is there twice.
    """
    pieces = text.split(";")
    if len(pieces) > _MOST:
        raise TagListError(f"more than {_MOST} tags")
    if not pieces[-1].strip():
        pieces.pop()
    tags: dict[str, str] = {}
    for piece in pieces:
        name, equals, value = piece.partition("=")
        name = name.strip()
        if not equals or not _NAME.fullmatch(name):
            raise TagListError(f"not a tag: {piece.strip()[:30]!a}")
        if name in tags:
            raise TagListError(f"the tag {name}= is there twice")
        tags[name] = value.strip()
    return tags
