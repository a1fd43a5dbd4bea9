"""The server's side of a session within the process: it says yes, and collects mail data.

The client's side is the real one, so an outlet's outcomes are made as a server's are.
"""

from ....smtp.words.command import QUIT
from .outlet import Outlet, Plan, Taken

_CRLF = b"\r\n"
_END = b"\r\n.\r\n"
_OK = b"250 2.0.0 ok\r\n"
_BYE = b"221 2.0.0 bye\r\n"
_GO_AHEAD = b"354 go ahead\r\n"
_NOBODY = b"503 5.5.1 no recipient was accepted\r\n"
_UNKNOWN = b"502 5.5.1 not known here\r\n"


class InnerServer:
    """The state of one session. No I/O.

    Attributes:
        taken: the envelope of the present transaction, or None.
        plan: what a test has chosen for it, if that is more than a reply.
        data: mail data that nobody has fetched yet, dot stuffing undone.
        is_in_data: whether mail data is being received.
        is_complete: whether its end was received.
        is_silent: whether it replies nothing more.
    """

    def __init__(self, outlet: Outlet) -> None:
        self.taken: Taken | None = None
        self.plan: Plan | None = None
        self.data: bytearray = bytearray()
        self.is_in_data: bool = False
        self.is_complete: bool = False
        self.is_silent: bool = False
        self._outlet = outlet
        self._rest = b""  # an incomplete line

    @property
    def greeting(self) -> bytes:
        """The greeting, with CRLF."""
        return b"220 " + self._outlet.name.encode("ascii", "replace") + b" ESMTP\r\n"

    def receive(self, octets: bytes) -> bytes:
        """Take octets of the client; return the replies to them.

        The end of the mail data has no reply here: `next_transaction` follows it.
        """
        if self.is_silent:
            return b""
        octets = self._rest + octets
        self._rest = b""
        replies = bytearray()
        while octets and not self.is_silent:
            if self.is_in_data:
                octets = self._receive_data(octets)
                break
            line, end, rest = octets.partition(_CRLF)
            if not end:
                self._rest = octets
                break
            octets = rest
            replies += self._reply_to(line)
        return bytes(replies)

    def next_transaction(self) -> None:
        """Forget the present transaction, after its end or its rejection."""
        self.taken = self.plan = None
        self.data.clear()
        self.is_in_data = self.is_complete = False

    def _receive_data(self, octets: bytes) -> bytes:
        """Take mail data, as far as its lines are complete (RFC 5321 §4.5.2)."""
        if self.is_complete:
            return b""  # nothing may follow before the reply
        whole = octets.rfind(_CRLF) + 2
        if whole < 2:
            self._rest = octets
            return b""
        # Each line begins after a line end, the first one, too.
        lines, self._rest = _CRLF + octets[:whole], octets[whole:]
        end = lines.find(_END)
        if end >= 0:
            self.is_complete, lines = True, lines[: end + 2]
        self.data += lines.replace(b"\r\n..", b"\r\n.")[2:]
        return b""

    def _reply_to(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"RCPT":
            return self._reply_to_rcpt(line)
        if verb == b"MAIL":
            self.next_transaction()
            path, parameters = _path_of(line)
            self.taken = Taken(path, parameters=parameters)
            return _OK
        if verb == b"DATA":
            if self.taken is None or not self.taken.recipients:
                return _NOBODY
            self.is_in_data = True
            return _GO_AHEAD
        if verb in {b"EHLO", b"LHLO"}:
            self.next_transaction()
            lines = [self._outlet.name, *self._outlet.offers]
            first = [f"250-{text}\r\n" for text in lines[:-1]]
            return "".join([*first, f"250 {lines[-1]}\r\n"]).encode("ascii", "replace")
        if verb in {b"RSET", b"NOOP", b"HELO"}:
            self.next_transaction()
            return _OK
        return _BYE if line == QUIT.line.encode() else _UNKNOWN

    def _reply_to_rcpt(self, line: bytes) -> bytes:
        if self.taken is None:
            return _UNKNOWN
        path, parameters = _path_of(line)
        plan = self._outlet.plan_for(self.taken, path)
        if plan is not None:
            if plan.reply:
                return plan.reply.encode() + _CRLF
            self.plan = plan
            if not plan.loses_the_answer:
                self.is_silent = True
                return b""
        self.taken.recipients.append(path)
        self.taken.rcpt_parameters.append(parameters)
        return _OK


def _path_of(line: bytes) -> tuple[str, str]:
    """Return the path of MAIL or RCPT, without brackets, and the parameters after it."""
    text = line.decode("utf-8", "surrogateescape").partition("<")[2]
    end = 0
    if text.startswith('"'):  # a quoted local part may have ">" (RFC 5321 §4.1.2)
        end = 1
        while end < len(text) and text[end] != '"':
            end += 2 if text[end] == "\\" else 1
    end = text.find(">", end)
    return text[:end], text[end + 1 :].strip()
