"""Why nothing can be sent: an exit status, and a line for the user."""

from ..sysexits import EX_CANTCREAT, EX_NOINPUT

STDIN = "-"


class CannotSendError(Exception):
    """Nothing can be sent.

    Attributes:
        status: the exit status.
        complaints: the messages for the user, a line each.
    """

    def __init__(self, status: int, *complaints: str) -> None:
        super().__init__(status, *complaints)
        self.status = status
        self.complaints = complaints


def file_name(name: str | None) -> str:
    """Return a file name for an error message, without secrets."""
    if name in (None, STDIN):
        return "stdin"
    # It may be a relay URL with a password, given in the wrong place.
    return "***" if "://" in name else name


def cannot_create(report: str, error: OSError) -> CannotSendError:
    """Return the error to raise if the report can't be written."""
    why = error.strerror or error
    return CannotSendError(EX_CANTCREAT, f"cannot write {file_name(report)}: {why}")


def unreadable(name: str, error: OSError) -> CannotSendError:
    """Return the error to raise if a file can't be read."""
    return CannotSendError(EX_NOINPUT, f"cannot read {file_name(name)}: {error.strerror or error}")
