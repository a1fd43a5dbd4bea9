"""What has come from a client and was not read yet: lines, mail data, chunks. No sockets here."""

from collections.abc import Mapping

LINE_MAX = 64 * 1024
"""Octets of one command line; more is taken for a client gone mad."""
MAIL_MAX = 256 * 1024 * 1024
"""Octets of one mail that is kept."""

_END = b"\r\n.\r\n"


class TooLongError(Exception):
    """The client says more than there is room for."""


class Stream:
    """Octets, in the order in which they came."""

    __slots__ = ("_came", "_data", "_seen")

    def __init__(self) -> None:
        self._came = b""
        self._data: bytearray | None = None  # a mail or a chunk that is not whole yet
        self._seen = 0

    def __len__(self) -> int:
        return len(self._came)

    def feed(self, octets: bytes) -> None:
        """Add what has come."""
        self._came = self._came + octets if self._came else octets

    def take_all(self) -> bytes:
        """Take whatever is there."""
        octets, self._came = self._came, b""
        return octets

    def line(self) -> bytes | None:
        """Take a line without its CRLF; None if it is not whole yet.

        Raises:
            TooLongError: it is of more than `LINE_MAX` octets.
        """
        line, end, rest = self._came.partition(b"\r\n")
        if end:
            self._came = rest
            return line
        if len(line) > LINE_MAX:
            raise TooLongError(f"a command line of more than {LINE_MAX} octets")
        return None

    def data(self, *, is_kept: bool = True) -> bytes | None:
        """Take mail data up to and including the lone dot; None if that has not come yet.

        Args:
            is_kept: without it they are thrown away as they come, and nothing is returned but
                that they have come.

        Raises:
            TooLongError: they are of more than `MAIL_MAX` octets.
        """
        came = self._came
        if self._data is None and (end := came.find(_END)) >= 0 and came[:3] != _END[2:]:
            # The usual case: it has come at once.
            end += len(_END)
            self._came = came[end:]
            return came[:end] if is_kept else b""
        if self._data is None:
            # As if the CRLF of the DATA line stood before it: a mail may be the lone dot alone.
            self._data, self._seen = bytearray(b"\r\n"), 0
        data = self._data
        data += self.take_all()
        end = data.find(_END, max(0, self._seen - 4))
        if end < 0:
            if not is_kept:
                del data[: 1 - len(_END)]
            self._seen = len(data)
            if self._seen > MAIL_MAX:
                raise TooLongError(f"mail data of more than {MAIL_MAX} octets")
            return None
        end += len(_END)
        self._came, self._data = bytes(data[end:]), None
        return bytes(data[2:end]) if is_kept else b""

    def octets(self, size: int) -> bytes | None:
        """Take so many octets; None if they have not all come yet."""
        if self._data is None:
            self._data = bytearray()
        data = self._data
        data += self.take_all()
        if len(data) < size:
            return None
        self._came, self._data = bytes(data[size:]), None
        return bytes(data[:size])

    def answers(self, replies: Mapping[bytes, bytes], said: list[bytes]) -> bytes:
        """Take command lines as long as each has one of these replies, by its verb.

        Args:
            replies: what is said to a verb.
            said: where the replies go.

        Returns:
            The last verb that was taken, or nothing.
        """
        last = b""
        line, end, rest = self._came.partition(b"\r\n")
        while end and (reply := replies.get(verb := line[:4])):
            said.append(reply)
            self._came, last = rest, verb
            line, end, rest = rest.partition(b"\r\n")
        return last

    def skip(self, size: int) -> int:
        """Throw octets away, at most so many; return how many are still to come."""
        there = min(size, len(self._came))
        self._came = self._came[there:]
        return size - there


def undoubled(raw: bytes) -> bytes:
    """Undo transparency, and take the lone dot off (RFC 5321 §4.5.2)."""
    return (b"\n" + raw[:-3]).replace(b"\n.", b"\n")[1:]
