"""The authority of a relay's or a proxy's URL (RFC 3986 §3.2): user, password, host and port."""

import ipaddress
import re
import unicodedata
from urllib.parse import unquote

from ....smtp.mail.domain import MAX_DOMAIN
from ....smtp.sasl.secret import Secret

# Control characters are invalid in every part, encoded or not: a line end would end a command (RFC
# 5321 §2.3.8), NUL a field (RFC 4616 §2). os.environ has lone surrogates for bytes that are not
# UTF-8.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# RFC 3986 §2.1.
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# RFC 952 does not allow "_", but many containers' names have it. An IDN is checked when its A-label
# is made.
_HOST = re.compile(r"[A-Za-z0-9_\-\x80-\U0010ffff]+(?:\.[A-Za-z0-9_\-\x80-\U0010ffff]+)*\.?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class Flaw(Exception):  # noqa: N818 - no caller sees it
    """A URL is invalid. The text never quotes a password, or anything that may be one."""


def split_userinfo(userinfo: str) -> tuple[str, Secret | None]:
    """Split at the first colon, then decode, so that the user name may have an encoded colon."""
    if "@" in userinfo:
        raise Flaw('has an "@" in user or password; write it as %40')
    user, colon, password = userinfo.partition(":")
    if not user:
        raise Flaw('the user before "@" is empty')
    if colon and not password:
        raise Flaw("the password is empty; leave out its colon if there is none")
    username = decode("the user", user)
    return username, Secret(decode("the password", password)) if colon else None


def split_host(place: str) -> tuple[str, int | None]:
    """Split and check ``host[:port]`` (RFC 3986 §3.2.2, §3.2.3). The port is None if missing."""
    if place.startswith("["):
        host, bracket, after = place[1:].partition("]")
        if not bracket or ":" not in host or not is_address(host):
            raise Flaw("needs an IPv6 address without a zone between brackets, as in [::1]")
        if after and not after.startswith(":"):
            raise Flaw('only ":" and a port can follow "]"')
        colon, port = after[:1], after[1:]
    else:
        host, colon, port = place.partition(":")
        if ":" in port:
            raise Flaw('has more than one ":" after the user; write IPv6 as in [::1]:25')
        _check_host(host)
    if not colon:
        return host, None
    # Never quoted: it may be the password of a URL whose "@host" is missing.
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise Flaw(
            'the port after ":" needs a number, 1 to 65535; or is "@" with the host missing?'
        )
    return host, int(port)


def _check_host(host: str) -> None:
    if not host:
        raise Flaw("names no host")
    if len(host) > MAX_DOMAIN:
        raise Flaw(f"the host is longer than {MAX_DOMAIN} characters")
    # As a resolver normalises an IDN: a full-width "/" or "127" becomes an ASCII one.
    folded = unicodedata.normalize("NFKC", host)
    if not (host.isprintable() and _HOST.fullmatch(host) and _HOST.fullmatch(folded)):
        raise Flaw("the host is neither a name nor an address")
    # A resolver also takes 127.1, 0x7f000001 and 017700000001 for 127.0.0.1.
    last = folded.rstrip(".").rpartition(".")[2]
    if _NUMBER.fullmatch(last) and not is_address(host):
        raise Flaw("the host is a number, but not an IPv4 address such as 192.0.2.1")


def decode(what: str, text: str) -> str:
    """Decode one part (RFC 3986 §2.1, in UTF-8). "+" stays a plus sign, unlike in HTML forms."""
    if _BAD_PERCENT.search(text):
        raise Flaw(f'{what} has a "%" without two hexadecimal digits; write "%" as %25')
    try:
        text = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Flaw(f"{what} is not UTF-8 when it is decoded") from None
    if match := CONTROL.search(text):
        raise Flaw(f"{what} has the control character U+{ord(match[0]):04X}, percent-encoded")
    return text


def is_address(text: str) -> bool:
    """Whether this is an IP address without a zone: zones in URLs are obsolete (RFC 9844)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
