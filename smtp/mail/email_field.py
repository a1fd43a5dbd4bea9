"""One field of an `email.message` object, written for the wire.

The standard library refolds what it writes: it turns long tokens into encoded words, reads a quoted
comma as the end of a mailbox, and on some parameters never returns. So it does not fold here,
except where it must: a parsed field is written as it was, a field that the program set is written
as `SendMail(headers=…)` would write it. Only in a signed email does a field without source text
keep the form that the library gives it, because that form is what the program signed.
"""

import re
from collections.abc import Iterable, Iterator
from email.header import Header
from typing import Any, cast
from urllib.parse import quote

from .folding import can_fold, fold, pieces_of, token_words, words
from .header import (
    ADDRESS_FIELD,
    check_address,
    check_field_name,
    given_field,
    group_field,
    text_field,
)

MAX_LINE = 998  # octets, RFC 5322 §2.1.1
_LINE_END = re.compile(r"\r\n|\r|\n")
_SURROGATE = re.compile(r"[\udc80-\udcff]")  # an octet above 127 that was parsed from bytes
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# Fields whose parameters have a form of their own for text that is not ASCII, RFC 2231.
_WITH_PARAMETERS = frozenset(("content-type", "content-disposition"))
_TOKEN = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+")  # RFC 2045 §5.1
_PARAMETER = re.compile(
    r"[ \t]*;[ \t]*(?P<name>[^ \t=;\"]+)[ \t]*=[ \t]*(?P<value>\"(?:[^\"\\]|\\.)*\"|[^;\"]*)"
)
_ESCAPE = re.compile(r"\\(.)")
_MAX_QUOTED = 900  # characters of a parameter that still fits a line with its name
_SECTION = 75  # characters of a line with a section of a parameter
_MIN_SECTION = 12  # room for one character of UTF-8, whatever the name takes

# The standard library's folding loops endlessly if the name of a parameter leaves no room on its
# line for the value, or the line has no room for an encoded word.
_MAX_LIBRARY_PARAMETER = 40
_MIN_LIBRARY_LINE = 60


def write_field(name: str, value: object) -> bytes:
    """Return a field of an unsigned email: in ASCII, unless an address in it has no such form.

    Args:
        name: the field's name, not checked yet.
        value: a str, as it was parsed or set; a header object of `email.headerregistry`; or an
            `email.header.Header`.

    Returns:
        Its lines, joined by CRLF, without the last line end.

    Raises:
        ValueError: the field cannot be written, or its value has another type.
    """
    check_field_name(name)
    if isinstance(value, Header):
        return _from_header(name, value).encode()
    if not isinstance(value, str):
        raise _not_text(name, value)
    tree = getattr(value, "_parse_tree", None)
    if tree is None:
        return _from_text(name, str.__str__(value))
    written = _from_tree(name, value, tree)
    _lines(name, written)
    return written.encode()


def keep_field(name: str, value: object, policy: Any) -> bytes:
    """Return a field of a signed email, with the octets that were signed.

    Args:
        name: the field's name, not checked yet.
        value: what `write_field` takes.
        policy: how the program would have written it: an `email.policy` with CRLF as line end.

    Returns:
        Its lines, joined by CRLF, without the last line end.

    Raises:
        ValueError: the field cannot be written, or its value has another type.
    """
    check_field_name(name)
    if not isinstance(value, str | Header):
        raise _not_text(name, value)
    if isinstance(value, str) and not hasattr(value, "_parse_tree"):
        text = str.__str__(value)
        # Non-ASCII text was parsed from a str, and is written as it is. Only under the old policy
        # (compat32, without `utf8`) does the library write it as encoded words.
        if text.isascii() or _SURROGATE.search(text) or hasattr(policy, "utf8"):
            return _joined(name, _lines(name, text)).encode("utf-8", "surrogateescape")
    if _may_loop(value, policy):
        return write_field(name, value)
    folded = cast("bytes", policy.fold_binary(name, value)).rstrip(b"\r\n")
    # A line end that was encoded in the value must not have become a line end of the header.
    _lines(name, folded.decode("utf-8", "surrogateescape"))
    return folded


def _not_text(name: str, value: object) -> ValueError:
    kind = type(value).__name__
    advice = "write ', '.join(...)" if isinstance(value, list | tuple | set) else "write str(...)"
    return ValueError(f"header {name}: must be a str, not {kind}; {advice}")


def _may_loop(value: object, policy: Any) -> bool:
    """Whether the standard library might loop endlessly when it folds this value."""
    width = policy.max_line_length
    params = cast("Iterable[str]", getattr(value, "params", ()))
    return bool(width) and (
        width < _MIN_LIBRARY_LINE or any(len(name) > _MAX_LIBRARY_PARAMETER for name in params)
    )


def _lines(name: str, text: str) -> list[str]:
    """Return the lines of a value; raise if one after the first would begin another field."""
    lines = _LINE_END.split(text.rstrip("\r\n"))
    if not all(line.startswith((" ", "\t")) for line in lines[1:]):
        raise ValueError(
            f"header {name}: has a line break, and what stands after it would be another field;"
            " take the line break out"
        )
    return lines


def _joined(name: str, lines: list[str]) -> str:
    # The parser drops the space before a value that begins on the next line, so none is added.
    return f"{name}:{' ' if lines[0] else ''}" + "\r\n".join(lines)


def _from_text(name: str, value: str) -> bytes:
    """Write a str: one that was parsed, or was set in an object with the old policy."""
    lines = _lines(name, value)
    written = _joined(name, lines)
    if written.isascii():
        pieces = pieces_of(" " + "".join(lines))
        if max(map(len, written.split("\r\n"))) > MAX_LINE and can_fold(name, pieces):
            return fold(name, pieces).encode()
        return written.encode()
    try:
        return _ascii_form(name, _text_of("".join(lines))).encode()
    except ValueError:
        if not _SURROGATE.search(value):
            raise
        # It was parsed and has octets that are not UTF-8, so it cannot be written correctly.
        return written.encode("utf-8", "surrogateescape")


def _text_of(value: str) -> str:
    """Decode octets that a parser left as surrogates, if they are UTF-8."""
    try:
        return value.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        return value


def _ascii_form(name: str, text: str) -> str:
    """Write a value that is not ASCII, in ASCII except for addresses that have no such form."""
    key = name.lower()
    if key in _WITH_PARAMETERS:
        first, parameters = _split_parameters(name, text)
        return _parameters_field(name, first, parameters)
    if key.startswith("list-"):  # RFC 2919 §2: a phrase, and then an id that must not be encoded
        return token_words(name, text)
    return given_field(name, text)


def _from_header(name: str, value: Header) -> str:
    """Write an `email.header.Header`, which has chosen charset and encoding already."""
    text = str(value)
    # In an address field it would encode the addresses, too, so `given_field` writes those, unless
    # the header could not decode its own text.
    if ADDRESS_FIELD.fullmatch(name.lower()) and not text.isascii() and "\ufffd" not in text:
        return given_field(name, "".join(_lines(name, text)))
    return _joined(name, _lines(name, value.encode(linesep="\r\n", maxlinelen=76)))


def _from_tree(name: str, value: str, tree: Any) -> str:
    """Write a header object, as the program set it in an object with a newer policy."""
    # The text that was set, except that encoded words and parameters are decoded in it.
    text = _text_of(str(tree)).strip(" \t")
    pieces = pieces_of(" " + text)
    is_source = not _has_encoded_word(tree)
    is_plain = text.isascii() and not _CONTROL.search(text)
    parameters = getattr(value, "params", None)
    if parameters is not None:
        if is_plain and can_fold(name, pieces):
            return fold(name, pieces)
        return _parameters_field(name, text.partition(";")[0].strip(), parameters.items())
    if is_plain and is_source:
        return fold(name, pieces)
    groups = getattr(value, "groups", None)
    if groups is not None:
        if is_source and not _CONTROL.search(text):
            try:
                return given_field(name, text)
            except ValueError:
                pass  # it has groups or comments
        return group_field(name, _checked_groups(name, groups))
    if _CONTROL.search(text):
        return fold(name, words(name, text))
    return _ascii_form(name, text) if is_source else text_field(name, text)


def _has_encoded_word(tree: Any) -> bool:
    """Whether the source had encoded words, so that the tree's text differs from the source."""
    tokens = [tree]
    while tokens:
        token = tokens.pop()
        if token.token_type == "encoded-word":  # noqa: S105 - of a parser's tokens
            return True
        if isinstance(token, list):
            tokens += token
    return False


def _checked_groups(
    name: str, groups: Iterable[Any]
) -> Iterator[tuple[str | None, list[tuple[str | None, str]]]]:
    """Yield the display name (None without a group) and the mailboxes of each group."""
    for group in groups:
        yield (
            group.display_name,
            [
                (address.display_name, check_address(f"header {name}", address.addr_spec))
                for address in group.addresses
            ],
        )


def _split_parameters(name: str, text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the parts of a value such as ``attachment; filename="x"``."""
    first, end = text.partition(";")[0], text.find(";")
    parameters: list[tuple[str, str]] = []
    while 0 <= end < len(text.rstrip("; \t")):
        match = _PARAMETER.match(text, end)
        if match is None:
            raise ValueError(f"header {name}: has a parameter that is not of the form name=value")
        value, end = match["value"].rstrip(" \t"), match.end()
        if value.startswith('"'):
            value = _ESCAPE.sub(r"\1", value[1:-1])
        parameters.append((match["name"], value))
    return first.strip(" \t"), parameters


def _parameters_field(name: str, first: str, parameters: Iterable[tuple[str, str]]) -> str:
    if not first.isascii() or _CONTROL.search(first):
        raise ValueError(f"header {name}: must begin with ASCII text, such as text/plain")
    pieces = [f" {first}"]
    for key, value in parameters:
        for piece in _parameter(name, key, value):
            pieces[-1] += ";"
            pieces.append(piece)
    return fold(name, pieces)


def _parameter(name: str, key: str, value: str) -> Iterator[str]:
    """Yield a parameter in one piece, or in the sections of RFC 2231 §3."""
    if not _TOKEN.fullmatch(key):
        raise ValueError(f"header {name}: the name of a parameter must be an ASCII token")
    if value.isascii() and not _CONTROL.search(value) and len(value) + len(key) <= _MAX_QUOTED:
        if not _TOKEN.fullmatch(value):
            value = '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'
        yield f" {key}={value}"
        return
    charset = "unknown-8bit" if _SURROGATE.search(value) else "utf-8"
    characters = [quote(char, safe="", errors="surrogateescape") for char in value]
    whole = f" {key}*={charset}''{''.join(characters)}"
    if len(whole) < _SECTION:
        yield whole
        return
    section, number = f"{charset}''", 0
    for char in characters:
        room = max(_SECTION - len(f" {key}*{number}*=;"), _MIN_SECTION)
        if len(section) + len(char) > room:
            yield f" {key}*{number}*={section}"
            section, number = "", number + 1
        section += char
    yield f" {key}*{number}*={section}"
