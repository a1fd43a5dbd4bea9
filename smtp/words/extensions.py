"""What a server offers, as its reply to EHLO says (RFC 5321 §4.1.1.1)."""

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from .reply import Reply

CAN_DO_WITHOUT = (
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
"""Extensions that are used where a server offers them, and need not be. TLS and authentication are
not among them: they have options of their own, and are never dropped in passing."""

# Servers from before RFC 2554 write "AUTH=LOGIN", and some a colon or a tab.
_AUTH = re.compile(r"AUTH(?:[ \t=:]+(.*))?", re.IGNORECASE)
_BLANK = re.compile(r"[ \t]+")
_TAB = r"\t"  # as a reply shows it
# What a firewall that inspects SMTP writes over an extension that it does not like (Cisco ASA).
_MASKED = re.compile(r"X{4,}[A-Z]?")


class Extensions:
    """The extensions of one server, by keyword.

    Keywords are compared as whole words, in any case. What a server offered before TLS began
    says nothing about after: make a new object from the new reply (RFC 3207 §4.2).

    Attributes:
        pipelining: whether commands may go out in groups.
        eight_bit_mime: whether mail data may have 8-bit octets.
        smtputf8: whether addresses may go out in UTF-8.
        chunking: whether mail data may go out by BDAT.
        offers_size: whether MAIL may declare the size of the mail.
        size_limit: the largest mail in octets, or None when the server names no limit.
        rcpt_max: recipients in one transaction at most (RFC 9422), or None.
        mail_max: transactions in one session at most (RFC 9422), or None.
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
        """Take what a server offers.

        Args:
            parameters: by keyword, in capitals.
            without: the keywords of those that are not to be used all the same.
        """
        self._offered = parameters
        if without:
            parameters = {key: parameters[key] for key in parameters if key not in without}
        self._parameters = parameters
        # Asked with each mail, so worked out once.
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
        """Read the lines of a 250 reply to EHLO; the first is the server's name.

        Args:
            reply: the reply.
            without: the keywords of extensions that are not to be used.
        """
        return _read(reply.lines[1:], without)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    @property
    def lines(self) -> list[str]:
        """The extensions as the server wrote them, keywords in capitals."""
        return [f"{key} {value}".rstrip() for key, value in self._offered.items()]

    @property
    def is_masked(self) -> bool:
        """Whether a firewall has written over an extension: ``XXXXXXXA`` was STARTTLS."""
        return any(_MASKED.fullmatch(keyword) for keyword in self._offered)

    def parameter(self, keyword: str) -> str:
        """Return what follows a keyword, as the server wrote it; empty if there is nothing."""
        return self._parameters.get(keyword, "")

    @property
    def auth_mechanisms(self) -> frozenset[str]:
        """The names of the SASL mechanisms (RFC 4954 §3)."""
        return frozenset(self._parameters.get("AUTH", "").upper().split())

    def _limit(self, name: str) -> int | None:
        """Return a limit that the server declares (RFC 9422), or None."""
        for word in self._parameters.get("LIMITS", "").upper().split():
            key, _, value = word.partition("=")
            # RFC 9422 §4: six digits at most; what is malformed is as good as not said.
            if key == name and value.isascii() and value.isdigit() and len(value) <= 6:
                return int(value) or None
        return None


def _size_limit(value: str) -> int | None:
    """Return the largest mail in octets, or None when the server names no limit (RFC 1870 §4)."""
    # 20 digits are RFC 1870's own bound; 0 means that there is no fixed limit.
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        return None
    return int(value) or None


@functools.lru_cache(maxsize=32)  # a server says the same to each EHLO
def _read(lines: tuple[str, ...], without: frozenset[str]) -> Extensions:
    parameters: dict[str, str] = {}
    mechanisms: list[str] = []
    for line in lines:
        text = line.replace(_TAB, " ").strip()
        match = _AUTH.fullmatch(text)
        if match is not None:
            # Several lines count together: one for old clients, one for each family.
            mechanisms += (match[1] or "").split()
            parameters["AUTH"] = " ".join(dict.fromkeys(mechanisms))
            continue
        keyword, parameter = (*_BLANK.split(text, maxsplit=1), "")[:2]
        # Some letters beyond ASCII have an ASCII upper case; they are no keyword all the same.
        if keyword and keyword.isascii():
            # A keyword that comes twice counts once: the first.
            parameters.setdefault(keyword.upper(), parameter.strip())
    return Extensions(parameters, without)
