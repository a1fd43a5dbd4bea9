"""Lines of a header field: where they are folded, and RFC 2047's encoded words.

The input was checked before. Only `fold` ends lines, and it begins the next one with white space,
so that unfolding gives back the same text.
"""

import binascii
import itertools
import re
from collections.abc import Sequence

_MAX_LINE = 998  # octets, RFC 5322 §2.1.1
_MAX_WORD = 75  # characters of an encoded word, RFC 2047 §2
_MIN_WORD = 32  # room for some characters, even after a long field name
# RFC 5322 §2.1.1 recommends 78; RFC 2047 §2 requires 76 in a line that has encoded words.
FOLD_AT = 76
"""Characters of a line at most, where it can be folded."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")

_PIECE = re.compile(r"[ \t]*+[^ \t]++")

# RFC 2047 §5 (3): octets that are unencoded in a Q word in a phrase, the strictest place.
_Q_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q = [chr(octet) if octet in _Q_PLAIN else f"={octet:02X}" for octet in range(256)]
_Q[0x20] = "_"


def pieces_of(text: str) -> list[str]:
    """Return each run of text with the white space before it: a line can be folded before each.

    Args:
        text: a value; white space at its end does not count.
    """
    # A search that begins in white space at the end would go to the end, from each place.
    return _PIECE.findall(text.rstrip(" \t"))


def fold(name: str, pieces: Sequence[str]) -> str:
    """Return a field's lines, joined by CRLF, without the last line end.

    Args:
        name: the field's name.
        pieces: its value, cut where it may be folded. Each piece begins with the white space
            before it, and none is white space only: such a line is obsolete (RFC 5322 §3.2.2), and
            some programs take it for the end of the header.

    Raises:
        ValueError: a piece is too long for a line.
    """
    line = f"{name}:{''.join(pieces)}"
    if len(line) <= FOLD_AT:
        return line
    if not can_fold(name, pieces):
        raise ValueError(
            f"header {name}: a run of more than {_room(name)} characters without a space cannot be "
            f"folded into lines of {_MAX_LINE}; put spaces in"
        )
    line = f"{name}:{pieces[0]}"
    lines: list[str] = []
    for piece in pieces[1:]:
        if len(line) + len(piece) <= FOLD_AT:
            line += piece
        else:
            lines.append(line)
            line = piece
    lines.append(line)
    return "\r\n".join(lines)


def _room(name: str) -> int:
    """Return the length of the longest piece that fits every line of the field, even the first."""
    return _MAX_LINE - len(name) - len(":")


def can_fold(name: str, pieces: Sequence[str]) -> bool:
    """Whether each piece fits a line, even the first one, after the field's name."""
    return max(map(len, pieces), default=0) <= _room(name)


def token_words(name: str, text: str) -> str:
    """Return a field in which only tokens that are not ASCII become encoded words.

    Args:
        name: the field's name.
        text: its value; the ASCII tokens, such as an id in angle brackets, stay as they are.

    Raises:
        ValueError: a token is too long for a line.
    """
    pieces: list[str] = []
    for is_ascii, tokens in itertools.groupby(pieces_of(" " + text), str.isascii):
        run = list(tokens)
        # Readers drop the space between two encoded words, so it belongs to one of them.
        pieces += run if is_ascii else words(name, "".join(run).strip(" \t"))
    return fold(name, pieces)


def words(name: str, text: str) -> list[str]:
    """Return the encoded words of `text` (RFC 2047 §2), each with the space before it.

    A reader drops the white space between two encoded words, so the text can be cut between any
    two characters, but not within one (§5).
    """
    # Surrogates are parsed octets that are not UTF-8 (RFC 1428 §3).
    charset = "unknown-8bit" if _SURROGATE.search(text) else "utf-8"
    octets = text.encode("utf-8", "surrogateescape")
    kind, encode = min(("q", _q), ("b", _b), key=lambda form: len(form[1](octets)))
    # The first word shares its line with the field's name.
    room = max(FOLD_AT - len(f"{name}: "), _MIN_WORD)
    words: list[str] = []
    word = b""
    for character in text:
        longer = word + character.encode("utf-8", "surrogateescape")
        if len(encode(longer)) + len(f"=?{charset}?q??=") > room:
            words.append(f" =?{charset}?{kind}?{encode(word)}?=")
            longer = longer[len(word) :]
            room = _MAX_WORD
        word = longer
    words.append(f" =?{charset}?{kind}?{encode(word)}?=")
    return words


def _b(octets: bytes) -> str:
    """Return the text of a B encoded word: base64 (RFC 2047 §4.1)."""
    return binascii.b2a_base64(octets, newline=False).decode()


def _q(octets: bytes) -> str:
    """Return the text of a Q encoded word: like quoted-printable, ``_`` is a space (§4.2)."""
    return "".join(map(_Q.__getitem__, octets))
