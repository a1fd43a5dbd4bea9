"""What a server remembers of a mail transaction, and what it owes replies to."""

from dataclasses import dataclass, field


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


@dataclass(slots=True, eq=False)
class Transaction:
    """One mail transaction.

    Attributes:
        sender: the reverse-path.
        parameters: those of MAIL, by keyword.
        is_begun: whether the server said yes to MAIL.
        is_reset: whether the client took it back by RSET.
        rcpts: the recipients.
        wants_data: whether it said yes to DATA.
        data: the mail, once its last octet has come; as it was before transparency.
        is_chunk: whether it came by BDAT.
        too_early: whether a reply had begun, or was here without being asked for, when the last
            octet of the mail came: then nothing that follows can be told apart.
        is_settled: whether the client went on after the verdict, with nothing more to read: what
            comes later belongs to what it said then.
    """

    sender: bytes
    parameters: dict[bytes, bytes]
    is_begun: bool = False
    is_reset: bool = False
    rcpts: list[Rcpt] = field(default_factory=list)
    wants_data: bool = False
    data: bytes | None = None
    is_chunk: bool = False
    too_early: bool = False
    is_settled: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the server waits for more of it (RFC 5321 §4.1.4)."""
        return self.is_begun and self.data is None and not self.is_reset

    @property
    def taken(self) -> list[Rcpt]:
        """Who gets the mail, if the server takes it."""
        return [rcpt for rcpt in self.rcpts if rcpt.is_taken]


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
