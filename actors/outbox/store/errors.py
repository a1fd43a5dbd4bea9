"""`OutboxError`: why the file of an outbox cannot be used, in one line."""

import errno
import sqlite3

RAISED = (sqlite3.Error, OSError)
"""What work with a file raises; see `error_of`."""


class OutboxError(OSError):
    """The file of an outbox cannot be opened, read or written.

    Nothing is promised of an email whose `Put` raised it. To put it again, with the same key or as
    the same `SendMail`, makes no second one.

    Attributes:
        detail: one line for people.
        retryable: whether it may work later without anybody's help.
    """

    detail: str
    retryable: bool

    def __init__(self, detail: str, retryable: bool = False) -> None:
        super().__init__(detail, retryable)
        self.detail = detail
        self.retryable = retryable

    def __str__(self) -> str:
        return self.detail


class OlderLifeError(OutboxError):
    """The file must wait for its migration until a process has ended that runs older code."""


_DAMAGED = (
    "is damaged ({}); it is left as it is. Move it and the files beside it away, start with a new"
    " one, and take what can be read from the old"
)
_BY_CODE: dict[int, tuple[str, bool]] = {
    5: ("is locked by another program", True),  # SQLITE_BUSY
    6: ("is locked", True),  # SQLITE_LOCKED
    8: ("cannot be written: it, or its file system, is read-only", False),  # SQLITE_READONLY
    11: (_DAMAGED, False),  # SQLITE_CORRUPT
    13: ("cannot grow: the disk is full", True),  # SQLITE_FULL
    14: ("cannot be opened", False),  # SQLITE_CANTOPEN
    26: ("is no outbox: not an SQLite file, or a damaged one; it is left as it is", False),
}
_IO_ERROR = 10


def error_of(raised: Exception, path: str) -> OutboxError:
    """Return the error for what SQLite or the system raised.

    Args:
        raised: the exception.
        path: the file.
    """
    if isinstance(raised, OutboxError):
        return raised
    if isinstance(raised, sqlite3.Error):
        code = getattr(raised, "sqlite_errorcode", None)
        code = code & 0xFF if isinstance(code, int) else None
        if code == _IO_ERROR:
            return OutboxError(f"{path}: the disk has failed: {raised}", True)
        if code in _BY_CODE:
            text, retryable = _BY_CODE[code]
            return OutboxError(f"{path} {text.format(raised)}", retryable)
        return OutboxError(f"{path}: {raised}", False)
    if isinstance(raised, OSError):
        is_full = raised.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}
        return OutboxError(f"{path}: {raised.strerror or raised}", is_full)
    return OutboxError(f"{path}: {type(raised).__name__}: {raised}", False)


def is_broken_disk(raised: Exception) -> bool:
    """Whether a write or fsync has failed, after which the file must be opened anew."""
    code = getattr(raised, "sqlite_errorcode", None)
    return isinstance(raised, OSError) or (isinstance(code, int) and code & 0xFF == _IO_ERROR)
