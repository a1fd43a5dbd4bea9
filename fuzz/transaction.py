"""What a server remembers of a mail transaction, and what it owes replies to."""

from dataclasses import dataclass, field

SERVICE_CLOSING = 421
"""The server closes the connection, and may say so at any time (RFC 5321 §3.8)."""


@dataclass(slots=True, eq=False)
class Rcpt:
    """One recipient of a transaction, and the code of the reply to it."""

    path: bytes
    code: int | None = None
    verdict: int | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the server said yes to RCPT."""
        return self.code is not None and 200 <= self.code <= 299

    @property
    def is_refused(self) -> bool:
        """Whether it said no."""
        return self.code is not None and self.code >= 400


@dataclass(slots=True, eq=False)
class Transaction:
    """One mail transaction.

    Attributes:
        sender: the reverse-path.
        parameters: those of MAIL, by keyword.
        is_begun: whether the server said yes to MAIL.
        is_refused: whether it said no, or 421 before the verdict: then nobody has the mail.
        is_unclear: whether it answered MAIL or RCPT with neither yes nor no: what it says of this
            transaction from then on, nobody can place.
        is_reset: whether the client took it back by RSET.
        rcpts: the recipients.
        wants_data: whether it said yes to DATA.
        data: the mail, once its last octet has come; as it was before transparency.
        is_chunk: whether it came by BDAT.
        is_speculative: whether BDAT came while replies to MAIL or RCPT were owed.
        too_early: whether a reply had begun, or was here without being asked for, when the last
            octet of the mail came, or of a speculative transaction the first: then nothing that
            follows can be told apart.
        end_code: the code of the reply to the mail itself, of the first one in LMTP, once it came.
        is_leaving: whether the server said 421 before it had refused all.
        is_contradicted: whether it said, after it had refused all, what leaves open whether it has
            the mail: in a speculative transaction the mail had come with what it refused.
        is_settled: whether the client went on after the verdict, with nothing more to read: what
            comes later belongs to what it said then.
    """

    sender: bytes
    parameters: dict[bytes, bytes]
    is_begun: bool = False
    is_refused: bool = False
    is_unclear: bool = False
    is_reset: bool = False
    rcpts: list[Rcpt] = field(default_factory=list)
    wants_data: bool = False
    data: bytes | None = None
    is_chunk: bool = False
    is_speculative: bool = False
    too_early: bool = False
    end_code: int | None = None
    is_leaving: bool = False
    is_contradicted: bool = False
    is_settled: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the server waits for more of it (RFC 5321 §4.1.4)."""
        return self.is_begun and self.data is None and not self.is_reset

    @property
    def taken(self) -> list[Rcpt]:
        """Who gets the mail, if the server takes it."""
        if not self.is_begun or self.is_refused or self.is_unclear:
            return []
        return [rcpt for rcpt in self.rcpts if rcpt.is_taken]

    @property
    def is_accepted(self) -> bool:
        """Whether the server took the mail for somebody."""
        return any(rcpt.verdict is not None and rcpt.verdict < 300 for rcpt in self.rcpts)

    @property
    def is_for_nobody(self) -> bool:
        """Whether the server refused MAIL, or all recipients, or left."""
        return self.is_refused or all(rcpt.is_refused for rcpt in self.rcpts)

    @property
    def is_in_doubt(self) -> bool:
        """Whether a speculative transaction was refused, and may have been taken all the same."""
        if self.data is None or not (self.is_speculative and self.is_for_nobody):
            return False
        if self.is_contradicted:
            return True
        if self.end_code is None:
            return not self.is_leaving
        if self.too_early:
            return self.end_code != SERVICE_CLOSING and not self.is_leaving
        return self.end_code < 400

    def may_have_it(self, rcpt: Rcpt) -> bool:
        """Whether the mail went out to a recipient of whom the server may have thought well."""
        if self.data is None or self.is_refused:
            return False
        if self.is_speculative:
            return not rcpt.is_refused
        return rcpt in self.taken

    def answer(self, code: int, rcpt: Rcpt | None = None) -> None:
        """Take the reply to MAIL, or to a RCPT."""
        if self.is_refused or (self.rcpts and all(rcpt.is_refused for rcpt in self.rcpts)):
            is_late_end = code == SERVICE_CLOSING and not self.is_leaving
            self.is_contradicted = self.is_contradicted or is_late_end or 300 <= code <= 399
            return
        if self.is_unclear:
            return
        if rcpt is None:
            self.is_begun = code <= 299
        else:
            rcpt.code = code
        if code == SERVICE_CLOSING or (rcpt is None and code >= 400):
            self.is_refused = True
            self.is_leaving = code == SERVICE_CLOSING
        self.is_unclear = 300 <= code <= 399


@dataclass(slots=True, eq=False)
class Item:
    """What the server owes one reply to.

    Attributes:
        verb: the command's verb; or ``GREETING``, ``RESPONSE`` (of AUTH), ``END`` (of the mail).
        line: the command line.
        transaction: which one it belongs to.
        rcpt: which recipient it belongs to.
    """

    verb: str
    line: bytes = b""
    transaction: Transaction | None = None
    rcpt: Rcpt | None = None
