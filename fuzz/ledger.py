"""An honest ledger: what a server really heard, and what it really said to it.

It reads the client's octets as an RFC 5321 server does and the server's as a client should, in the
order in which they came, and shares no code with what it judges. A reply answers the oldest
command that has none; the verdict on a mail is the first complete reply that began after the last
octet of the mail had come.
"""

import base64
import binascii
import math
import re
from collections import deque

from .transaction import SERVICE_CLOSING, Item, Rcpt, Transaction
from .violation import Violation, insist
from .wire import ReplyReader, WireReply

MAX_COMMAND = 16_384
"""Octets of a command line at most; those of AUTH have 12288 (RFC 4954 §4)."""

BOLD_MOST = 65_536
"""Octets of a mail that may go out before the replies to MAIL and RCPT have come."""
_QUOTED = rb'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"'
_PATH = rb"<((?:" + _QUOTED + rb'|[^<>"\\\x00-\x20\x7f])*)>'
_PARAMETERS = rb"((?: [A-Z0-9][A-Z0-9-]*(?:=[!-<>-~]+)?)*)"
_EHLO = re.compile(rb"(EHLO|HELO|LHLO) ([!-~]+)")
_MAIL = re.compile(rb"MAIL FROM:" + _PATH + _PARAMETERS)
_RCPT = re.compile(rb"RCPT TO:" + _PATH + _PARAMETERS)
_BDAT = re.compile(rb"BDAT (0|[1-9][0-9]*)( LAST)?")
_AUTH = re.compile(rb"AUTH ([A-Z0-9_-]{1,20})(?: ([A-Za-z0-9+/]*={0,2}))?")

_NEEDS = {
    b"SIZE": "SIZE",
    b"BODY": "8BITMIME",
    b"SMTPUTF8": "SMTPUTF8",
    b"REQUIRETLS": "REQUIRETLS",
    b"RET": "DSN",
    b"ENVID": "DSN",
    b"NOTIFY": "DSN",
    b"ORCPT": "DSN",
    b"AUTH": "AUTH",
    b"BY": "DELIVERBY",
    b"HOLDFOR": "FUTURERELEASE",
    b"HOLDUNTIL": "FUTURERELEASE",
    b"MT-PRIORITY": "MT-PRIORITY",
}
"""The extension without which a parameter of MAIL or RCPT may not be sent."""


class Ledger:
    """Both sides of one session, as they really were.

    Call `client` and `server` with the octets of either side, in the order in which they came.

    Args:
        is_lmtp: whether the server speaks LMTP (RFC 2033).
        in_tls: whether the connection began with TLS.
        may_say_helo: whether HELO may be said without EHLO, as on a second connection to a server
            that hung up on EHLO.
        may_be_speculative: whether BDAT may go out together with MAIL and RCPT.

    Attributes:
        is_lmtp: whether it is LMTP.
        owed: what has no reply yet.
        transactions: the mail transactions, in order.
        offers: what the server's last reply to EHLO offered: parameters by keyword.
        surplus: the codes of replies to nothing.
        tls_agreed: whether the server has agreed to start TLS, and it is not up yet.
        in_tls: whether TLS is up.
        is_authenticated: whether the server said yes to AUTH.
        has_quit: whether the client said QUIT.
        reader: reads the replies.
        may_be_speculative: as given; the owner may change it from mail to mail.
        is_closing: whether the server said 421 to a command.
        has_unread: whether half a TLS record is here, which may hold a part of a reply; the owner
            says so.
        has_unheard: whether octets were here that answer nothing, read or not, as the client began
            the last transaction by BDAT; the owner says so. What comes while that leaves is
            on its way, as that is.
    """

    def __init__(
        self,
        *,
        is_lmtp: bool = False,
        in_tls: bool = False,
        may_say_helo: bool = False,
        may_be_speculative: bool = False,
    ) -> None:
        self.owed: deque[Item] = deque([Item("GREETING")])
        self.transactions: list[Transaction] = []
        self.offers: dict[str, str] = {}
        self.surplus: list[int] = []
        self.tls_agreed = False
        self.in_tls = in_tls
        self.is_authenticated = False
        self.has_quit = False
        self.reader = ReplyReader()
        self.is_lmtp = is_lmtp
        self.may_be_speculative = may_be_speculative
        self.is_closing = False
        self.has_unread = False
        self.has_unheard = False
        self._chunk_refused = False
        self._is_open = False  # greeted
        self._is_introduced = False
        self._challenged = False
        self._may_say_helo = may_say_helo
        self._came = bytearray()
        self._left = -1  # octets of the chunk that are missing; -1 where none is under way
        self._data: bytearray | None = None  # of the mail that is under way
        self._refusal = 0  # of the mail that is under way

    @property
    def has_more(self) -> bool:
        """Whether octets came that answer nothing.

        421 may be unsolicited (RFC 5321 §3.8). It ends the session: input after it is ignored, or
        the verdict would depend on whether that arrived in time.
        """
        if self.surplus:
            return self.surplus[0] != SERVICE_CLOSING
        return self.reader.is_amid or self.reader.is_broken or self.has_unread

    # What the server says.

    def server(self, octets: bytes) -> None:
        """Take note of what the server said."""
        for reply in self.reader.feed(octets):
            if self.owed:
                self._answer(self.owed.popleft(), reply)
            elif self._data is not None and reply.code >= 400:
                # A refusal amid the mail data is the reply to it; another one does not follow.
                self._refusal = self._refusal or reply.code
                self._chunk_refused = self._left >= 0
            else:
                self.surplus.append(reply.code)

    def _answer(self, item: Item, reply: WireReply) -> None:
        is_yes = 200 <= reply.code <= 299
        transaction = item.transaction
        self.is_closing = self.is_closing or (reply.code == SERVICE_CLOSING and item.verb != "QUIT")
        match item.verb:
            case "GREETING":
                self._is_open = reply.code == 220
            case "EHLO" | "LHLO":
                self._is_introduced = is_yes
                self._may_say_helo = not is_yes
                self.offers = _offers(reply) if is_yes else {}
            case "HELO":
                self._is_introduced, self.offers = is_yes, {}
            case "STARTTLS":
                self.tls_agreed = reply.code == 220
            case "AUTH" | "RESPONSE":
                self._challenged = reply.code == 334 and item.line != b"*"
                self.is_authenticated = is_yes and item.line != b"*"
            case "MAIL" if transaction is not None:
                transaction.answer(reply.code)
            case "RCPT" if transaction is not None:
                transaction.answer(reply.code, item.rcpt)
            case "DATA" if transaction is not None:
                transaction.wants_data = 300 <= reply.code <= 399
                self._data = bytearray(b"\r\n") if transaction.wants_data else None
            case "END" if transaction is not None:
                if transaction.end_code is None:
                    transaction.end_code = reply.code
                for rcpt in transaction.taken if item.rcpt is None else [item.rcpt]:
                    rcpt.verdict = reply.code
                # RFC 3030 §2: a server that refuses a chunk reads it to the end. Not all do.
                self._chunk_refused = transaction.is_chunk and not transaction.is_accepted
            case _:
                pass

    # What the client says.

    def client(self, octets: bytes) -> None:
        """Take note of what the client said.

        Raises:
            Violation: it may not say that, or not now.
        """
        insist(not self.tls_agreed, "the client speaks in clear where TLS begins")
        self._came += octets
        while self._came and self._take():
            pass

    def _take(self) -> bool:
        """Take one thing that is complete; return whether there was one."""
        if self._left >= 0:
            return self._take_chunk()
        if self._data is not None:
            return self._take_data(self._data)
        end = self._came.find(b"\n")
        if end < 0:
            insist(len(self._came) <= MAX_COMMAND, "a command line without an end")
            return False
        line = bytes(self._came[: end + 1])
        del self._came[: end + 1]
        insist(line.endswith(b"\r\n"), f"a bare LF: {line!r}")
        insist(b"\r" not in line[:-2], f"a bare CR: {line!r}")
        self._take_line(line[:-2])
        return True

    def _take_data(self, data: bytearray) -> bool:
        """Take mail data; the CRLF of the DATA line stands before it (RFC 5321 §4.1.1.4)."""
        transaction = self.transactions[-1]
        insist(transaction.taken, "mail data for nobody")
        start = max(0, len(data) - 4)
        data += self._came
        self._came.clear()
        end = data.find(b"\r\n.\r\n", start)
        if end < 0:
            return False
        self._came += data[end + 5 :]
        mail = bytes(data[: end + 2])
        insist(not _BARE.search(mail), "a bare CR or LF in the mail data")
        self._data = None
        self._end_mail(transaction, mail.replace(b"\r\n.", b"\r\n")[2:])
        return bool(self._came)

    def _take_chunk(self) -> bool:
        assert self._data is not None
        piece = self._came[: self._left]
        del self._came[: len(piece)]
        self._data += piece
        self._left -= len(piece)
        if self._left:
            return False
        self._left, data, self._data = -1, bytes(self._data), None
        self._end_mail(self.transactions[-1], data)
        return True

    def _end_mail(self, transaction: Transaction, data: bytes) -> None:
        """The last octet of the mail has come: from here on, replies are verdicts."""
        insist(not self.owed or transaction.is_speculative, "a mail ends while replies are owed")
        insist(transaction.data is None, "a second mail in one transaction")
        transaction.data = data
        # A part of a reply is one to MAIL or RCPT, if that is still owed.
        is_amid = (self.reader.is_amid or self.has_unread) and not self.owed
        is_early = bool(is_amid or self.reader.is_broken or self.surplus)
        transaction.too_early = transaction.too_early or is_early
        refusal, self._refusal = self._refusal, 0
        if refusal:
            for rcpt in transaction.taken:
                rcpt.verdict = refusal
        elif self.is_lmtp:
            # RFC 2033 §4.2: one for each recipient that the server accepted.
            self.owed.extend(Item("END", b"", transaction, rcpt) for rcpt in transaction.taken)
        else:
            self.owed.append(Item("END", b"", transaction))

    def _take_line(self, line: bytes) -> None:
        # RFC 5321 §3.1: a server that takes no mail waits for QUIT.
        is_farewell = line == b"QUIT" and not self.owed
        insist(self._is_open or is_farewell, f"said before the server was ready: {line!r}")
        insist(not self.has_quit, f"the client speaks after QUIT: {line!r}")
        insist(not self.is_closing, f"the client speaks after 421: {line!r}")
        if self._chunk_refused:
            insist(line == b"QUIT", f"the client goes on after a refused chunk: {line!r}")
        if self.transactions and not (self.owed or self.has_more):
            self.transactions[-1].is_settled = self.transactions[-1].data is not None
        if self._challenged:
            self._challenged = False
            insist(line == b"*" or _is_base64(line), f"no answer to a challenge: {line!r}")
            self._owe("RESPONSE", line)
            return
        verb = line.partition(b" ")[0].decode("ascii", "replace")
        match verb:
            case "EHLO" | "HELO" | "LHLO":
                insist(_EHLO.fullmatch(line), f"no greeting: {line!r}")
                insist((verb == "LHLO") is self.is_lmtp, f"the wrong greeting: {line!r}")
                insist(not self._is_introduced, f"a greeting too many: {line!r}")
                insist(verb != "HELO" or self._may_say_helo, "HELO without an EHLO before")
                self._owe(verb, line)
            case "MAIL":
                self._take_mail(line)
            case "RCPT":
                self._take_rcpt(line)
            case "DATA" | "BDAT":
                self._take_data_command(verb, line)
            case "AUTH":
                match = _AUTH.fullmatch(line)
                insist(match and self._is_introduced, f"no AUTH: {line!r}")
                assert match is not None
                names = self.offers.get("AUTH", "").upper().split(" ")
                insist(match[1].decode() in names, f"a mechanism that was not offered: {line!r}")
                insist(match[2] is None or _is_base64(match[2]), f"no base64: {line!r}")
                insist(not self.is_authenticated, f"AUTH again: {line!r}")
                self._owe("AUTH", line)
            case "STARTTLS":
                insist(line == b"STARTTLS" and "STARTTLS" in self.offers, "STARTTLS not offered")
                insist(not self.in_tls, "STARTTLS under TLS")
                self._owe("STARTTLS", line)
            case "QUIT" | "RSET" | "NOOP":
                insist(line == verb.encode(), f"no command: {line!r}")
                self.has_quit = verb == "QUIT"
                if verb == "RSET":
                    insist(self.transactions, "RSET before the first mail")
                    insist(not self.transactions[-1].is_accepted, "RSET after a mail was taken")
                    self.transactions[-1].is_reset = True
                self._owe(verb, line)
            case _:
                raise Violation(f"no command: {line!r}")

    def _take_mail(self, line: bytes) -> None:
        match = _MAIL.fullmatch(line)
        insist(match and self._is_introduced, f"no MAIL: {line!r}")
        assert match is not None
        parameters = self._parameters(match[2])
        insist(match[1].isascii() or b"SMTPUTF8" in parameters, f"not ASCII: {line!r}")
        is_nested = bool(self.transactions) and self.transactions[-1].is_open
        most = self._limit("MAILMAX")
        insist(len(self.transactions) < most, f"more mails than {most}")
        insist(not is_nested, f"MAIL amid a transaction: {line!r}")
        transaction = Transaction(match[1], parameters)
        self._owe("MAIL", line, transaction)
        self.transactions.append(transaction)

    def _take_rcpt(self, line: bytes) -> None:
        match = _RCPT.fullmatch(line)
        insist(match and self.transactions, f"no RCPT: {line!r}")
        assert match is not None
        transaction = self.transactions[-1]
        insist(transaction.data is None, f"RCPT after the mail: {line!r}")
        self._parameters(match[2])
        utf8 = b"SMTPUTF8" in transaction.parameters
        insist(match[1].isascii() or utf8, f"not ASCII: {line!r}")
        most = self._limit("RCPTMAX")
        insist(len(transaction.rcpts) < most, f"more recipients than {most}")
        rcpt = Rcpt(match[1])
        transaction.rcpts.append(rcpt)
        self._owe("RCPT", line, transaction, rcpt)

    def _take_data_command(self, verb: str, line: bytes) -> None:
        insist(self.transactions and self.transactions[-1].rcpts, f"{verb} without RCPT")
        transaction = self.transactions[-1]
        insist(transaction.data is None and self._data is None, f"a second {verb}")
        if verb == "DATA":
            insist(line == b"DATA", f"no DATA: {line!r}")
            insist(transaction.parameters.get(b"BODY") != b"BINARYMIME", "DATA for BINARYMIME")
            self._owe(verb, line, transaction)
            return
        match = _BDAT.fullmatch(line)
        insist(match and match[2], f"no BDAT of a whole mail: {line!r}")
        assert match is not None
        insist("CHUNKING" in self.offers, "BDAT not offered")
        transaction.is_chunk = True
        if self.owed and self.may_be_speculative:
            self._check_speculative(int(match[1]))
            transaction.is_speculative = True
            # What was here before it is taken for the replies, that to the mail included.
            transaction.too_early = self.has_unheard
        else:
            insist(
                not self.owed and transaction.is_begun, "BDAT before the replies to MAIL and RCPT"
            )
            insist(transaction.taken, "mail data for nobody")
            # What was here before its MAIL has shifted all replies: any of them may be the last.
            transaction.too_early = transaction.too_early or self.has_unheard
        self._data, self._left = bytearray(), int(match[1])
        if self._left == 0:
            self._take_chunk()

    def _check_speculative(self, size: int) -> None:
        """See that nothing but MAIL and RCPT is waiting to be obeyed before a speculative mail."""
        insist("PIPELINING" in self.offers, "BDAT in a group, without PIPELINING")
        insist(not self.is_lmtp, "a speculative mail by LMTP")
        insist(0 < size <= BOLD_MOST, f"a speculative mail of {size} octets")
        before = {item.verb for item in self.owed}
        insist(before <= {"MAIL", "RCPT"}, f"a speculative mail behind {before}")

    def _limit(self, name: str) -> float:
        """A limit that the server declares (RFC 9422)."""
        words = (word.partition("=") for word in self.offers.get("LIMITS", "").upper().split(" "))
        values = [value for word, _, value in words if word == name]
        is_number = values and re.fullmatch("[0-9]{1,6}", values[0]) and int(values[0])
        return int(values[0]) if is_number else math.inf

    def _parameters(self, octets: bytes) -> dict[bytes, bytes]:
        parameters: dict[bytes, bytes] = {}
        for parameter in octets.split():
            keyword, _, value = parameter.partition(b"=")
            needed = "BINARYMIME" if parameter == b"BODY=BINARYMIME" else _NEEDS.get(keyword)
            insist(needed in self.offers, f"a parameter that was not offered: {parameter!r}")
            insist(keyword not in parameters, f"a parameter twice: {parameter!r}")
            parameters[keyword] = value
        return parameters

    def _owe(
        self,
        verb: str,
        line: bytes,
        transaction: Transaction | None = None,
        rcpt: Rcpt | None = None,
    ) -> None:
        """Note that a reply is owed; see whether the client might speak now (RFC 2920 §3.1)."""
        if self.owed:
            insist("PIPELINING" in self.offers, f"pipelining that was not offered: {line!r}")
            before = {item.verb for item in self.owed}
            insist(before <= {"MAIL", "RCPT", "RSET"}, f"said too early: {line!r}")
            insist(verb in {"MAIL", "RCPT", "DATA"}, f"not in a group: {line!r}")
        self.owed.append(Item(verb, line, transaction, rcpt))

    def start_tls(self) -> None:
        """TLS is up: all that was said before is forgotten (RFC 3207 §4.2)."""
        insist(self.tls_agreed and not self.owed, "TLS that was not agreed")
        self.tls_agreed = False
        self.in_tls = True
        self.offers = {}
        self._is_introduced = False


_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def _is_base64(line: bytes) -> bool:
    if line == b"=":
        return True
    try:
        base64.b64decode(line, validate=True)
    except binascii.Error:
        return False
    return True


def _offers(reply: WireReply) -> dict[str, str]:
    offers: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameter = line.strip(b" ").decode("latin-1").partition(" ")
        if keyword[:5].upper() == "AUTH=":
            keyword, parameter = "AUTH", f"{keyword[5:]} {parameter}"
        if keyword and keyword.isascii():
            offers.setdefault(keyword.upper(), parameter.strip(" "))
    return offers
