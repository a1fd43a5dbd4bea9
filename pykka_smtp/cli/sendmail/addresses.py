"""Lists of addresses as programs write them, also without a domain, as in ``root (Cron Daemon)``.

RFC 5322 §3.4 with its comments and groups. Nothing is repaired but an address without a domain.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..input.mailbox import read_mailbox

# Quotes and escapes are one piece each, so that nothing in them separates. A quote without its end
# goes on to the end of the text.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*+"?|\\.?|[(),:;<>\[\]]|[^"\\(),:;<>\[\]]++', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Listed:
    """One address of a list.

    Attributes:
        text: it, with its name.
        address: the address alone, unchecked; None if there is not exactly one.
        end: where the address ends, in the list.
    """

    text: str
    address: str | None
    end: int


def addresses_in(text: str) -> Iterator[Listed]:
    """Yield the addresses of a list, those in groups included.

    Args:
        text: the list, without line ends.
    """
    begin = end = 0
    comments, is_angle, is_literal = 0, False, False
    for match in _PIECE.finditer(text):
        piece = match[0]
        if comments or piece in "()":
            comments = max(0, comments + (piece == "(") - (piece == ")"))
        elif is_literal:
            is_literal = piece != "]"
            end = match.end()
        elif piece == "[":
            is_literal = True
        elif piece in "<>":
            is_angle = piece == "<"
        elif piece in ",;" and not is_angle:
            yield from _listed(text, begin, match.start(), end)
            begin = match.end()
        elif piece == ":" and not is_angle:
            begin = match.end()  # what was before is the name of a group
        elif piece.strip():
            # In front of "<", this is a name; what counts is what comes last.
            end = match.start() + len(piece.rstrip())
    yield from _listed(text, begin, len(text), end)


def _listed(text: str, begin: int, stop: int, end: int) -> Iterator[Listed]:
    mailbox_text = text[begin:stop].strip()
    if not mailbox_text:
        return
    mailbox = read_mailbox(mailbox_text)
    address = None if mailbox is None else mailbox[1]
    if address != "":
        yield Listed(mailbox_text, address, end)


def with_domains(text: str, domain: str) -> str:
    """Append a domain to each address of a list that has none.

    Args:
        text: the list; line ends in it stay.
        domain: the domain.
    """
    parts: list[str] = []
    done = 0
    for listed in addresses_in(text):
        if listed.address and "@" not in listed.address:
            parts += [text[done : listed.end], f"@{domain}"]
            done = listed.end
    return "".join([*parts, text[done:]])
