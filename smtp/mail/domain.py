"""The part of an address after its "@": a domain (RFC 5890), or an address literal (RFC 5321)."""

import re
import unicodedata

from ..words.shown import shown

MAX_DOMAIN = 255
"""Octets of a domain (RFC 5321 §4.5.3.1.2)."""
MAX_LABEL = 63
"""Octets of one label of a domain, as an A-label (RFC 1035 §2.3.4)."""

_NOT_LDH = re.compile(r"[^A-Za-z0-9-]")
_DOTTED_QUAD = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_SNUM = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"  # no leading zero: some read octal
_IPV4 = re.compile(rf"{_SNUM}(?:\.{_SNUM}){{3}}")
# General-address-literal (RFC 5321 §4.1.3). Its dcontent allows < > @ " too. No registered tag
# needs them, and a server that searches for the end of the path would find the wrong one.
_GENERAL_LITERAL = re.compile(r"[A-Za-z0-9-]*[A-Za-z0-9]:[!#-;=?A-Z^-~]+")

# U-labels consist of letters, marks, numbers and symbols, and of this punctuation, which RFC 5892
# §2.6 and its appendix A allow.
_LABEL_CATEGORIES = "LMNS"
_LABEL_PUNCTUATION = "\u00b7\u05f3\u05f4\u0f0b\u30fb"
# Characters that IDNA2003 maps to others, and IDNA2008 keeps (RFC 5894 §7.2).
_KEPT_BY_IDNA2008 = str.maketrans({"\u00df": "ss", "\u03c2": "\u03c3"})


class AddressError(ValueError):
    """An address is invalid in an SMTP command. The error text is one printable line."""


def domain_to_ascii(domain: str) -> str:
    """Check a domain or address literal, and return it with A-labels."""
    if domain.startswith("["):
        _check_literal(domain)
        return domain
    if _DOTTED_QUAD.fullmatch(domain):
        raise AddressError(f'a number is no domain; write "[{domain}]" if it is an IPv4 address')
    labels = domain.split(".")
    if labels[-1] == "":
        raise AddressError("its domain ends with a dot")
    labels = [_label_to_ascii(label) for label in labels]
    ascii_domain = ".".join(labels)
    if len(ascii_domain) > MAX_DOMAIN:
        raise AddressError(
            f"its domain has {len(ascii_domain)} octets with A-labels; {MAX_DOMAIN} are allowed"
        )
    return ascii_domain


def _label_to_ascii(label: str) -> str:
    """Check one label of a domain, and return its A-label (RFC 5890 §2.3)."""
    if label == "":
        raise AddressError("its domain begins with a dot, or has two in a row")
    ascii_label = label
    if not label.isascii():
        ascii_label = _u_label_to_ascii(label)
    elif match := _NOT_LDH.search(label):
        raise AddressError(f"{match[0]!r} may not stand in a domain")
    if ascii_label.startswith("-") or ascii_label.endswith("-"):
        raise AddressError(f"the label {shown(label)} of its domain begins or ends with a hyphen")
    if len(ascii_label) > MAX_LABEL:
        raise AddressError(
            f"the label {shown(label)} has {len(ascii_label)} octets; {MAX_LABEL} are allowed"
        )
    return ascii_label


def _u_label_to_ascii(label: str) -> str:
    """Return the A-label of a label that is not ASCII (RFC 5891 §5).

    Upper case is folded, because people write it. Apart from that, Nameprep must not change the
    label: a mapping would make another name of it, perhaps of another owner.
    """
    from encodings.idna import nameprep  # here, because it takes 1 ms, and few programs need it

    for char in label:
        if not _may_stand_in_u_label(char):
            raise AddressError(f"{char!r} may not stand in a domain")
    # Character by character: otherwise "Σ" at the end of a word becomes "ς", another domain.
    folded = "".join(char.lower() for char in unicodedata.normalize("NFC", label))
    try:
        prepared = nameprep(folded)
    except UnicodeError:  # a character, or a mix of writing directions, that Nameprep prohibits
        prepared = ""
    if (
        prepared != folded.translate(_KEPT_BY_IDNA2008)
        or not unicodedata.is_normalized("NFKC", folded)  # Nameprep knows only Unicode 3.2
        or folded.isascii()
        or unicodedata.category(folded[0])[0] == "M"  # RFC 5891 §4.2.3.2
        or folded.startswith("-")
        or folded.endswith("-")
        or folded[2:4] == "--"  # RFC 5891 §4.2.3.1; a false "xn--" is one of these
    ):
        raise AddressError(
            f"the label {shown(label)} of its domain is not a U-label;"
            ' write its A-label ("xn--...")'
        )
    return f"xn--{folded.encode('punycode').decode()}"


def _may_stand_in_u_label(char: str) -> bool:
    if char.isascii():
        return char.isalnum() or char == "-"
    return char in _LABEL_PUNCTUATION or unicodedata.category(char)[0] in _LABEL_CATEGORIES


def _check_literal(literal: str) -> None:
    """Check an address literal (RFC 5321 §4.1.3)."""
    if not literal.endswith("]"):
        raise AddressError('its address literal does not end with "]"')
    content = literal[1:-1]
    if content[:5].lower() == "ipv6:":
        if not _is_ipv6(content[5:]):
            raise AddressError(f"{shown(content[5:])} is not an IPv6 address")
        return
    if _IPV4.fullmatch(content):
        return
    if _DOTTED_QUAD.fullmatch(content):
        raise AddressError(f"{shown(content)} is not an IPv4 address")
    if _is_ipv6(content):  # before the general form: "[fe80::1]" would be one, with tag "fe80"
        raise AddressError(f'an IPv6 address literal is written "[IPv6:{content}]"')
    if not _GENERAL_LITERAL.fullmatch(content):
        raise AddressError(f"{shown(literal)} is not an address literal")


def _is_ipv6(text: str) -> bool:
    """Whether this is an IPv6-addr (RFC 5321 §4.1.3), which has no zone id."""
    from ipaddress import IPv6Address

    try:
        IPv6Address(text)
    except ValueError:
        return False
    # "No more than 6 groups in addition to the '::' may be present." (§4.1.3)
    groups = sum(2 if "." in group else 1 for group in text.split(":") if group)
    return "%" not in text and ("::" not in text or groups <= 6)
