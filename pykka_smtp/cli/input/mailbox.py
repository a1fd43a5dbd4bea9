"""Mailboxes as people and mail programs write them: ``Me (Sales) <me@example.com> (home)``.

RFC 5322 §3.4: a name and an address in angle brackets, or the bare address; with comments anywhere
between, and comments in comments (§3.2.2). The address is used as it is, after a check.

`smtp.mail.mailbox` is for headers that this package writes. Here another program has written the
text, so its name may be an encoded word or an address.
"""

import re

from ...smtp.mail.address import check_forward_path
from ...smtp.mail.domain import AddressError
from ...smtp.words.shown import shown

_SPECIAL = re.compile(r'[\\"()]')
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_NAMED = re.compile(rf"((?:{_QUOTED}|[^\"<>(),:;])*+)<\s*([^<>]*?)\s*>", re.DOTALL)
_BARE = re.compile(rf"(?:{_QUOTED}|[^\s\"<>(),:;\[\\])++(?:\[[^\[\]]*\])?", re.DOTALL)
_CELL = re.compile(r'"((?:[^"]|"")++)"')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPACES = re.compile(r"\s+")


def read_mailbox(text: str) -> tuple[str | None, str] | None:
    """Parse one mailbox; return name and address, or None if it is not exactly one.

    Args:
        text: the mailbox, without line ends.

    Returns:
        The name, or None without one (a comment does not count); and the address, unchecked.
    """
    plain = _without_comments(text)
    if plain is None:
        return None
    plain = plain.strip()
    if named := _NAMED.fullmatch(plain):
        return _name(named[1].strip()), named[2]
    return (None, plain) if _BARE.fullmatch(plain) else None


def _without_comments(text: str) -> str | None:
    """Replace each comment by a space; return None if the parentheses or quotes do not match."""
    parts: list[str] = []
    depth, is_quoted, position = 0, False, 0
    while match := _SPECIAL.search(text, position):
        if depth == 0:
            parts.append(text[position : match.start()])
        position, special = match.end(), match[0]
        if special == "\\":
            position += 1
            if depth == 0:
                parts.append(text[match.start() : position])
        elif is_quoted or (special == '"' and depth == 0):
            parts.append(special)
            is_quoted ^= special == '"'
        elif special == "(":
            parts.append(" ")
            depth += 1
        elif special == ")":
            depth -= 1
            if depth < 0:
                return None
    if depth or is_quoted:
        return None
    return "".join([*parts, text[position:]])


def _name(text: str) -> str | None:
    """Return a display name without its quotes."""
    if text.startswith('"') and text.endswith('"') and re.fullmatch(_QUOTED, text, re.DOTALL):
        text = _ESCAPED.sub(r"\1", text[1:-1])
    return _SPACES.sub(" ", text) or None


def read_recipient(text: str, *, more: str) -> tuple[str | None, str]:
    """Return name, or None, and address of a recipient, as written by hand or by a spreadsheet.

    Args:
        text: an address, optionally with a name or a comment, and optionally all of it in quotes.
        more: advice how to give several recipients, for the error.

    Raises:
        AddressError: it does not contain exactly one address, or the address is invalid.
    """
    try:
        return None, check_forward_path(text)
    except AddressError as error:
        flaw = error
    if cell := _CELL.fullmatch(text):
        # A spreadsheet's quotes, because no address ends in a quote.
        return read_recipient(cell[1].replace('""', '"').strip(), more=more)
    mailbox = read_mailbox(text)
    if mailbox is not None and mailbox[1] != text:
        return mailbox[0], check_forward_path(mailbox[1])
    if any(separator in text for separator in ",;\t"):
        raise AddressError(f"invalid address {shown(text)}: it is more than one; {more}")
    if "<" in text:
        raise AddressError(
            f"invalid address {shown(text)}: write the address alone, or as Name <address>"
        )
    raise flaw
