"""The extensions that a server offers in its reply to EHLO (RFC 5321 §4.1.1.1)."""

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from .reply import Reply

OPTIONAL = (
    "PIPELINING",
    "CHUNKING",
    "BINARYMIME",
    "8BITMIME",
    "SMTPUTF8",
    "SIZE",
    "LIMITS",
    "DSN",
    "DELIVERBY",
    "FUTURERELEASE",
    "MT-PRIORITY",
)
"""Extensions that may be switched off although the server offers them. TLS and authentication are
not among them: they have options of their own, so none can be switched off by accident."""

# Servers from before RFC 2554 write "AUTH=LOGIN", and some a colon or a tab.
_AUTH = re.compile(r"AUTH(?:[ \t=:]+(.*))?", re.IGNORECASE)
_BLANK = re.compile(r"[ \t]+")
_TAB = r"\t"  # as `Reply.lines` shows a tab
# What a firewall that inspects SMTP writes over an extension that it blocks (Cisco ASA).
_MASKED = re.compile(r"X{4,}[A-Z]?")


class Extensions:
    """The extensions of one server, by keyword.

    Keywords are compared as whole words, ignoring case. What a server offered before TLS does not
    hold under TLS: make a new object from the new reply (RFC 3207 §4.2).

    Attributes:
        pipelining: whether commands may be sent in groups.
        eight_bit_mime: whether mail data may have 8-bit octets.
        smtputf8: whether addresses may be sent in UTF-8.
        chunking: whether mail data may be sent by BDAT.
        offers_size: whether MAIL may declare the size of the email.
        size_limit: the largest size of an email in octets, or None if the server names no limit.
        rcpt_max: the most recipients in one transaction (RFC 9422), or None.
        mail_max: the most transactions in one session (RFC 9422), or None.
    """

    __slots__ = (
        "_offered",
        "_parameters",
        "chunking",
        "eight_bit_mime",
        "mail_max",
        "offers_size",
        "pipelining",
        "rcpt_max",
        "size_limit",
        "smtputf8",
    )

    def __init__(
        self,
        parameters: Mapping[str, str] = MappingProxyType({}),
        without: Collection[str] = (),
    ) -> None:
        """Make the extensions of a server.

        Args:
            parameters: the parameters that the server gave, by keyword in upper case.
            without: the keywords of extensions that are not used although they are offered.
        """
        self._offered = parameters
        if without:
            parameters = {key: parameters[key] for key in parameters if key not in without}
        self._parameters = parameters
        # Computed once, because they are read for each email.
        self.pipelining: bool = "PIPELINING" in parameters  # RFC 2920
        self.eight_bit_mime: bool = "8BITMIME" in parameters  # RFC 6152
        self.smtputf8: bool = "SMTPUTF8" in parameters  # RFC 6531
        self.chunking: bool = "CHUNKING" in parameters  # RFC 3030
        self.offers_size: bool = "SIZE" in parameters  # RFC 1870
        self.size_limit: int | None = _size_limit(parameters.get("SIZE", ""))
        self.rcpt_max: int | None = self._limit("RCPTMAX")
        self.mail_max: int | None = self._limit("MAILMAX")

    @staticmethod
    def from_reply(reply: Reply, without: frozenset[str] = frozenset()) -> "Extensions":
        """Return the extensions in a 250 reply to EHLO; its first line is the server's name.

        Args:
            reply: the reply.
            without: the keywords of extensions that are not used.
        """
        return _read(reply.lines[1:], without)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    @property
    def lines(self) -> list[str]:
        """The extensions as the server wrote them, keywords in upper case."""
        return [f"{key} {value}".rstrip() for key, value in self._offered.items()]

    @property
    def is_masked(self) -> bool:
        """Whether a firewall has overwritten an extension: ``XXXXXXXA`` was STARTTLS."""
        return any(_MASKED.fullmatch(keyword) for keyword in self._offered)

    def parameter(self, keyword: str) -> str:
        """Return what follows a keyword, as the server wrote it, or an empty text."""
        return self._parameters.get(keyword, "")

    @property
    def auth_mechanisms(self) -> frozenset[str]:
        """The names of the SASL mechanisms (RFC 4954 §3)."""
        return frozenset(self._parameters.get("AUTH", "").upper().split())

    def _limit(self, name: str) -> int | None:
        """Return a limit that the server declares (RFC 9422), or None."""
        for word in self._parameters.get("LIMITS", "").upper().split():
            key, _, value = word.partition("=")
            # RFC 9422 §4: six digits at most; a malformed limit is ignored.
            if key == name and value.isascii() and value.isdigit() and len(value) <= 6:
                return int(value) or None
        return None


def _size_limit(value: str) -> int | None:
    """Return the largest size in octets, or None if the server names no limit (RFC 1870 §4)."""
    # RFC 1870 allows 20 digits; 0 means that there is no fixed limit.
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        return None
    return int(value) or None


@functools.lru_cache(maxsize=32)  # a server gives the same reply to each EHLO
def _read(lines: tuple[str, ...], without: frozenset[str]) -> Extensions:
    parameters: dict[str, str] = {}
    mechanisms: list[str] = []
    for line in lines:
        text = line.replace(_TAB, " ").strip()
        match = _AUTH.fullmatch(text)
        if match is not None:
            # Several AUTH lines are merged: some servers write one for old clients besides.
            mechanisms += (match[1] or "").split()
            parameters["AUTH"] = " ".join(dict.fromkeys(mechanisms))
            continue
        keyword, parameter = (*_BLANK.split(text, maxsplit=1), "")[:2]
        # ASCII only: some letters beyond ASCII have an upper case in ASCII, and would become one.
        if keyword and keyword.isascii():
            # Of a keyword that is repeated, the first line counts.
            parameters.setdefault(keyword.upper(), parameter.strip())
    return Extensions(parameters, without)
