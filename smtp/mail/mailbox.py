"""One mailbox with a display name, as people write it: ``Name <address>`` (RFC 5322 §3.4).

The grammar allows exactly one mailbox: no group, list or comment; and nothing is repaired. It takes
the address between the angle brackets, octet for octet; `address` checks it.
"""

import re

from ..words.shown import shown
from .domain import AddressError
from .header import check_text

# Quoted strings, and runs of characters that need no quotes, with white space between them. Dots
# are obsolete there (obs-phrase), but common. Possessive quantifiers: there is one way to match, so
# the time is linear.
_WORD = r"(?:\"(?:[^\"\\]|\\.)*+\"|[^\s\"(),:;<>@\[\\\]]++)"
_ADDRESS = r"(?:\"(?:[^\"\\]|\\.)*+\")?[^<>\"]*+"  # a quoted local part may have any character
_NAME_ADDR = re.compile(rf"(?P<name>{_WORD}(?:[ \t]*+{_WORD})*+)[ \t]*+<(?P<address>{_ADDRESS})>")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*+)\"")
_ESCAPE = re.compile(r"\\(.)")
_MAX = 2000  # characters; a longer name would fill the header


def split_name(field: str, text: str) -> tuple[str | None, str]:
    """Split a mailbox that may have a display name.

    Args:
        field: the name of the value in the error.
        text: an address, or name and address.

    Returns:
        The name, without its quotes, and the address. The name is None, and the address is `text`,
        if there are no angle brackets with something before them.

    Raises:
        AddressError: it has another form.
        ValueError: the name has a control character.
    """
    # No address ends with ">", whatever its quoted local part contains.
    if not text.endswith(">") or text.startswith("<"):
        return None, text
    match = _NAME_ADDR.fullmatch(text) if len(text) <= _MAX else None
    if match is None:
        raise AddressError(
            f"{field}: {shown(text)} is not of the form Name <address>, with one address; a name"
            ' that has any of ()<>[]:;@\\," needs quotes'
        )
    name = _QUOTED.sub(lambda quoted: _ESCAPE.sub(r"\1", quoted[1]), match["name"])
    return check_display_name(field, name), match["address"]


def check_display_name(field: str, name: object) -> str:
    """Return `name` if it can be shown with an address.

    Args:
        field: the name of the value in the error.
        name: anything.

    Raises:
        TypeError: it is not a str.
        ValueError: it has a control character, or is an encoded word.
    """
    text = check_text(f"{field}: the name", name)
    if "=?" in text and "?=" in text:
        raise ValueError(
            f"{field}: the name {shown(text)} is encoded; give it as text, it is encoded here"
        )
    return text
