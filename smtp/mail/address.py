"""Addresses: the Mailbox grammar of RFC 5321 §4.1.2, with UTF-8 after RFC 6531 §3.3.

The `check_…` functions return the text that they were given, octet for octet, or raise
`AddressError`. Nothing here repairs an address: a repaired one may belong to another person.
Where the grammar allows what only an attacker needs, it is rejected, and a comment says why.
"""

import functools
import re

from ..words.shown import shown
from .domain import MAX_DOMAIN, MAX_LABEL, AddressError, domain_to_ascii

MAX_LOCAL_PART = 64
"""Octets of a local part (RFC 5321 §4.5.3.1.1)."""
MAX_MAILBOX = 254
"""Octets of a mailbox: a path has 256 with its angle brackets (RFC 5321 §4.5.3.1.3)."""

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LDH = r"[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*"

# The common case: ASCII, no quotes, a last label that is not a number. No quantifier can match the
# beginning of what follows it, so there is one way to match, and the time is linear. It is applied
# only to texts of at most 63 octets: no part of such a text can be too long.
_COMMON_LIMIT = MAX_LABEL
_COMMON = re.compile(
    rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++)*@(?:{_LDH}\.)*[A-Za-z][A-Za-z0-9]*+(?:-++[A-Za-z0-9]++)*"
)

# The two patterns below are compiled on first use, as few addresses need them; `re` caches them.
# Characters that no part of an address may have, quoted or not. RFC 5321 excludes the controls, RFC
# 3629 the surrogates. RFC 6531 would allow the others in a local part. They are invisible, are line
# ends to code that calls splitlines(), or become "@" on a server that normalises (NFKC).
_NONCHARACTERS = "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(0x11))
_HARMFUL = (
    r"(?P<control>[\x00-\x1f\x7f-\x9f])"
    r"|(?P<surrogate>[\ud800-\udfff])"
    rf"|(?P<noncharacter>[\ufdd0-\ufdef{_NONCHARACTERS}])"
    r"|(?P<separator>[\u2028\u2029])"
    r"|(?P<invisible>[\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff])"
    r"|(?P<lookalike>[\ufe6b\uff20])"
)
_HARM = {
    "control": "the control character {}",
    "surrogate": "the lone surrogate {}, which is not text",
    "noncharacter": "{}, which is not a character",
    "separator": "the line separator {}",
    "invisible": "the invisible character {}; was it copied from a web page?",
    "lookalike": '{}, which only looks like "@"',
}
_CONTROL_NAMES = {"\0": "NUL", "\t": "TAB", "\n": "LF", "\r": "CR", "\x7f": "DEL"}

# RFC 6531 allows non-ASCII white space as atext. Outside quotes it is a typing error.
_NOT_DOT_STRING = rf"[^.{_ATEXT}\x80-\U0010ffff]|[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]"
# QcontentSMTP (RFC 5321 §4.1.2). RFC 6531 §3.3 adds UTF-8 to qtextSMTP, not to quoted-pairSMTP.
_QCONTENT = re.compile(r'(?:[^"\\]|\\[ -~])*')


# An email names each address twice, in the envelope and in its header, and most emails of a program
# have the same sender.
@functools.lru_cache(maxsize=256)
def is_common(text: str) -> bool:
    """Whether this is a mailbox that needs no closer look.

    Args:
        text: a str, not of a subclass, of at most `MAX_LABEL` characters.
    """
    return _COMMON.fullmatch(text) is not None


def check_mailbox(text: str) -> str:
    """Check a Mailbox (RFC 5321 §4.1.2, RFC 6531 §3.3).

    Args:
        text: one mailbox, such as ``"user@example.com"``, ``'"a b"@example.com'`` or
            ``"user@[192.0.2.1]"``, without display name and angle brackets.

    Returns:
        The same text.

    Raises:
        AddressError: it is not a mailbox, or a part of it is too long.
        TypeError: it is not a str.
    """
    if type(text) is not str:
        text = _plain_str("an address", text)
    if len(text) <= _COMMON_LIMIT and is_common(text):
        return text
    try:
        _check_mailbox(text)
    except AddressError as exc:
        raise AddressError(f"invalid address {shown(text)}: {exc}") from None
    return text


def check_reverse_path(text: str) -> str:
    """Check the sender of an envelope: a mailbox, or ``"<>"`` (RFC 5321 §4.1.2, §4.5.5).

    Args:
        text: one mailbox, or exactly ``"<>"``, the null reverse-path of bounces.

    Returns:
        The same text.

    Raises:
        AddressError: it is neither. The empty string is rejected, because it is more often a
            missing setting than a bounce.
        TypeError: it is not a str.
    """
    text = _plain_str("an address", text)
    if text == "":
        raise AddressError('the sender is empty; the null reverse-path is written "<>"')
    return text if text == "<>" else check_mailbox(text)


def check_forward_path(text: str) -> str:
    """Check a recipient: a mailbox, or ``postmaster`` in any case (RFC 5321 §4.1.1.3).

    Args:
        text: one mailbox, or ``"postmaster"`` without a domain.

    Returns:
        The same text.

    Raises:
        AddressError: it is neither.
        TypeError: it is not a str.
    """
    if type(text) is not str:
        text = _plain_str("an address", text)
    if len(text) == len("postmaster") and text.lower() == "postmaster":
        return text
    return check_mailbox(text)


def check_ehlo_name(text: str) -> str:
    """Check the client's name in EHLO: a Domain or address literal, in ASCII.

    See RFC 5321 §4.1.1.1 and §4.1.3. A single label such as ``"localhost"`` is allowed.

    Args:
        text: a domain, or an address literal in its square brackets.

    Returns:
        The same text.

    Raises:
        AddressError: it is neither, too long, or not ASCII.
        TypeError: it is not a str.
    """
    text = _plain_str("an EHLO name", text)
    try:
        _check_ehlo_name(text)
    except AddressError as exc:
        raise AddressError(f"invalid EHLO name {shown(text)}: {exc}") from None
    return text


def split_mailbox(text: str) -> tuple[str, str]:
    """Split a checked mailbox at the last ``"@"`` outside quotes.

    Args:
        text: what `check_mailbox` or `check_forward_path` has returned.

    Returns:
        Local part (with its quotes) and domain. The domain of ``"postmaster"`` is empty.
    """
    # No domain, and no address literal that passes the check, has an "@". So the last "@" is the
    # separator, whatever the quoted local part contains.
    at = text.rfind("@")
    return (text, "") if at < 0 else (text[:at], text[at + 1 :])


def needs_smtputf8(text: str) -> bool:
    """Whether a checked mailbox needs a server with SMTPUTF8 (RFC 6531 §3.2).

    Only a non-ASCII local part does: a domain has an ASCII form (`to_ascii_domain`).

    Args:
        text: what one of the `check_…` functions has returned.

    Returns:
        Whether the local part is not ASCII.
    """
    return not text.isascii() and not split_mailbox(text)[0].isascii()


def to_ascii_domain(text: str) -> str:
    """Return a checked mailbox with A-labels if only its domain is not ASCII (RFC 5891 §5).

    Args:
        text: what one of the `check_…` functions has returned.

    Returns:
        The mailbox in ASCII. If it is ASCII already, or its local part is not, it is returned
        unchanged; in the latter case it is sent by SMTPUTF8, as it was given.

    Raises:
        AddressError: the domain has no A-labels.
    """
    if text.isascii() or needs_smtputf8(text):
        return text
    local, domain = split_mailbox(text)
    try:
        return f"{local}@{domain_to_ascii(domain)}"
    except AddressError as exc:
        raise AddressError(f"invalid address {shown(text)}: {exc}") from None


def _check_mailbox(text: str) -> None:
    """Check a mailbox completely. The error describes the fault; the caller adds the address."""
    _refuse_harmful(text)
    if text == "":
        raise AddressError("it is empty")
    if text.endswith(">") and "<" in text:
        if text.startswith("<"):
            raise AddressError("write it without angle brackets")
        raise AddressError("only the address belongs here, without a display name")
    if text.startswith("@"):
        # A source route (@a,@b:c@d) is obsolete: RFC 5321 §3.6.1, appendix C.
        raise AddressError('nothing stands before its "@"; source routes are not supported')

    if '"' not in text and text.count("@") > 1 and ("," in text or ";" in text):
        raise AddressError("only one address belongs here; pass several recipients as a list")
    if (octets := len(text.encode())) > MAX_MAILBOX:
        raise AddressError(f"it has {octets} octets; {MAX_MAILBOX} are allowed")

    # A Dot-string has no "@", and a quoted string has a closing quote, so the separator is certain.
    at = _end_of_quoted_string(text) if text.startswith('"') else text.find("@")
    if at < 0 or at == len(text):
        raise AddressError('it has no "@"')
    if text[at] != "@":
        raise AddressError('its quoted local part must be followed by "@"')
    local, domain = text[:at], text[at + 1 :]
    if not local.startswith('"'):
        _check_dot_string(local)
    if (octets := len(local.encode())) > MAX_LOCAL_PART:
        raise AddressError(f"its local part has {octets} octets; {MAX_LOCAL_PART} are allowed")
    if domain == "":
        raise AddressError('nothing stands after its "@"')
    # If the local part is ASCII, the A-labels are sent, which can be longer than the U-labels.
    octets = len(local) + 1 + len(domain_to_ascii(domain))
    if local.isascii() and octets > MAX_MAILBOX:
        raise AddressError(f"it has {octets} octets with A-labels; {MAX_MAILBOX} are allowed")


def _check_ehlo_name(text: str) -> None:
    """Check an EHLO name. The error describes the fault; the caller adds the name."""
    _refuse_harmful(text)
    if text == "":
        raise AddressError("it is empty")
    if len(text) > MAX_DOMAIN:
        raise AddressError(f"it has {len(text)} octets; {MAX_DOMAIN} are allowed")
    if not text.isascii():
        raise AddressError('it must be ASCII; give the A-labels ("xn--...") of its domain')
    domain_to_ascii(text)


def _refuse_harmful(text: str) -> None:
    """Reject characters that no part may have, before any other check."""
    match = re.search(_HARMFUL, text)
    if match is None:
        return
    char = match[0]
    name = f" ({_CONTROL_NAMES[char]})" if char in _CONTROL_NAMES else ""
    raise AddressError(f"it has {_HARM[str(match.lastgroup)].format(f'U+{ord(char):04X}{name}')}")


def _end_of_quoted_string(text: str) -> int:
    """Return the index after the quoted string that `text` begins with."""
    content = _QCONTENT.match(text, 1)
    end = content.end() if content else 1  # it always matches, if only an empty text
    if text.startswith('"', end):
        return end + 1
    if text.startswith("\\", end):
        raise AddressError("a backslash in its local part must precede an ASCII character")
    raise AddressError("its quoted local part has no closing quote")


def _check_dot_string(local: str) -> None:
    """Check a local part without quotes (RFC 5321 §4.1.2, Dot-string)."""
    if match := re.search(_NOT_DOT_STRING, local):
        raise AddressError(f"{match[0]!r} may stand only in a quoted local part")
    if "" in local.split("."):
        raise AddressError("a dot begins or ends its local part, or follows another; quote it")


def _plain_str(what: str, value: object) -> str:
    """Return a str without the methods of a subclass: what is checked is what is formatted."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    return str.__str__(value)
