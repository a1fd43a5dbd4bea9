"""``console:``: each email is shown on standard error, for development."""

import email
import email.policy
import sys
from collections.abc import Iterator, Sequence
from email.message import EmailMessage

from ....smtp.words.shown import escaped, one_line
from ...loop.event_loop import event_loop
from ...loop.workers import Workers
from .outlet import OFFERS, Outlet, Rejected, Sink, Taken

_MOST_PARSED = 1_048_576
"""Octets of an email that are kept to be shown; of the rest, only the number is."""
_MOST_SHOWN = 10_000
"""Characters of one text."""
_MOST_PARTS = 100
_FIELDS = ("From", "To", "Cc", "Subject", "Date")
_WIDTH = 72
_RULE = "-" * _WIDTH


class ConsoleOutlet(Outlet):
    """Shows emails on standard error."""

    name: str = "console:"
    offers: Sequence[str] = OFFERS

    def pool(self) -> Workers | None:
        """Return the threads for files: who reads standard error may be slow."""
        return event_loop().file_pool

    def sink(self, taken: Taken) -> Sink:
        """Return what shows one email."""
        return _ConsoleSink(taken)


class _ConsoleSink(Sink):
    """Shows one email, at its end and in one piece."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self._data = bytearray()
        self._size = 0

    def write(self, octets: bytes) -> None:
        """Collect mail data."""
        self._size += len(octets)
        self._data += octets[: max(0, _MOST_PARSED - len(self._data))]

    def finish(self) -> str:
        """Show the email.

        Raises:
            Rejected: there is no standard error, or it cannot be written.
        """
        text = "\n".join([_RULE, *self._envelope(), "", *_lines_of(bytes(self._data)), _RULE, ""])
        try:
            stream = sys.stderr
            encoding = getattr(stream, "encoding", None) or "utf-8"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except Exception as error:  # a program may have put anything there
            what = one_line(f"{type(error).__name__}: {error}", 200)
            raise Rejected(f"451 4.3.0 cannot write to stderr: {what}") from error
        return "shown on stderr"

    def stop(self) -> None:
        """Nothing can be stopped: it is one write."""

    def discard(self) -> None:
        """Release the memory."""
        self._data = bytearray()

    def _envelope(self) -> list[str]:
        taken = self._taken
        recipients = ", ".join(taken.recipients[:_MOST_PARTS])
        more = len(taken.recipients) - _MOST_PARTS
        return [
            _line(f"from <{taken.sender}>, to {recipients}{f' and {more} more' * (more > 0)}"),
            f"{self._size} bytes",
        ]


def _lines_of(data: bytes) -> Iterator[str]:
    """Yield what a person wants to see of an email: some fields, and its texts decoded."""
    try:
        mail = email.message_from_bytes(data, policy=email.policy.default)
        lines = list(_parsed(mail))
    except Exception:  # of a mail that the standard library cannot parse
        lines = _text(data.decode("utf-8", "backslashreplace"))
    yield from lines


def _parsed(mail: EmailMessage) -> Iterator[str]:
    for name in _FIELDS:
        if name in mail:
            yield _line(f"{name}: {mail[name]}")
    for number, part in enumerate(mail.walk()):
        if number >= _MOST_PARTS:
            yield "[more parts]"
            return
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        if part.get_content_maintype() == "text" and not part.is_attachment():
            yield ""
            if kind != "text/plain":
                yield f"[{_line(kind)}]"
            yield from _text(str(part.get_content()))
        else:
            octets = part.get_payload(decode=True)
            size = len(octets) if isinstance(octets, bytes) else 0
            yield _line(f"[{kind}, {part.get_filename() or 'without a name'}, {size} bytes]")


def _text(text: str) -> list[str]:
    lines = [escaped(line) for line in text[:_MOST_SHOWN].splitlines()]
    if len(text) > _MOST_SHOWN:
        lines.append(f"[{len(text) - _MOST_SHOWN} more characters]")
    return lines


def _line(text: str) -> str:
    return one_line(text, 1000)
