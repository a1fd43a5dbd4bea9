"""Checks of user names, passwords and tokens (RFC 4013, RFC 4616 §2, RFC 6750 §2.1).

The errors name the invalid field and the reason, and never show the field or a character of it.
"""

import re
from stringprep import (
    in_table_a1,
    in_table_b1,
    in_table_c3,
    in_table_c4,
    in_table_c5,
    in_table_c6,
    in_table_c7,
    in_table_c8,
    in_table_c9,
    in_table_c12,
    in_table_c21_c22,
    in_table_d1,
    in_table_d2,
)
from unicodedata import ucd_3_2_0

from .secret import Secret

MAX_FIELD = 8192
"""Octets of one field: RFC 4616 §2 requires 255, tokens have some thousands."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TOKEN = re.compile(r"[!-~]+")

# RFC 4013 §2.3, in its order. Table C.1.2 was mapped to spaces before.
_PROHIBITED = (
    in_table_c12,
    in_table_c21_c22,
    in_table_c3,
    in_table_c4,
    in_table_c5,
    in_table_c6,
    in_table_c7,
    in_table_c8,
    in_table_c9,
)


def check_text(name: str, value: str | Secret, *, may_be_empty: bool = False) -> None:
    """Reject a field that no mechanism can take.

    Args:
        name: the field's name in the error.
        value: the field; a `Secret` stays out of the error's traceback.
        may_be_empty: whether an empty field is valid.

    Raises:
        ValueError: the field is empty, too long, or has a control character or lone surrogate.
    """
    problem = _problem(_revealed(value), may_be_empty)
    if problem is not None:
        raise ValueError(f"{name}: {problem}")


def check_prepared(name: str, value: str | Secret, *, stored: bool) -> None:
    """Check that SASLprep allows the field.

    Args:
        name: the field's name in the error.
        value: the field; a `Secret` stays out of the error's traceback.
        stored: whether to reject characters that Unicode 3.2 does not have (RFC 3454 §7): True for
            SCRAM (RFC 5802 §2.2), False for a field that the server only compares.

    Raises:
        ValueError: SASLprep does not allow it.
    """
    problem = _preparation_problem(_revealed(value), stored)
    if problem is not None:
        raise ValueError(f"{name}: {problem}, which SASLprep (RFC 4013) does not allow")


def check_token(name: str, value: Secret) -> None:
    """Check that a token is valid after the word ``Bearer`` (RFC 6750 §2.1).

    Raises:
        ValueError: it is empty, too long, or has anything but visible ASCII characters.
    """
    check_text(name, value)
    if not _TOKEN.fullmatch(value.reveal()):
        raise ValueError(f'{name}: only visible ASCII may be in it; leave out the word "Bearer"')


# The functions below have secrets in local variables, and never raise: reporting tools show the
# local variables of each frame that an exception passed.


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _problem(text: str, may_be_empty: bool) -> str | None:
    if not text:
        return None if may_be_empty else "empty"
    if _SURROGATE.search(text):
        return "a lone surrogate in it, which is no text"
    if text.endswith(("\n", "\r")):
        return "a line end at its end; was it read from a file?"
    if _CONTROL.search(text):
        return "a control character in it"
    if len(text.encode()) > MAX_FIELD:
        return f"longer than {MAX_FIELD} octets"
    return None


def _preparation_problem(text: str, stored: bool) -> str | None:
    if text.isascii() and text.isprintable():
        return None
    # RFC 4013 §2.1 maps, §2.2 normalises, §2.3 to §2.5 prohibit.
    mapped = "".join(" " if in_table_c12(c) else c for c in text if not in_table_b1(c))
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    if not prepared:
        return "nothing visible in it"
    if any(prohibits(c) for c in prepared for prohibits in _PROHIBITED):
        return "a character in it"
    if stored and any(map(in_table_a1, prepared)):
        return "a character in it that is newer than Unicode 3.2"
    if any(map(in_table_d1, prepared)) and (
        # RFC 3454 §6: a text with right-to-left characters has no left-to-right ones, and begins
        # and ends with a right-to-left character.
        any(map(in_table_d2, prepared))
        or not (in_table_d1(prepared[0]) and in_table_d1(prepared[-1]))
    ):
        return "a mix of writing directions"
    return None
