"""What a connection writes, in clear or under TLS: and when the end of the mail may go out.

Nothing here knows what a reply says; but whether there is one decides when the mail ends.
"""

import asyncio
import select
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from ....smtp.mail.mail_data import encode_whole
from ....smtp.session.dialog.dialog import Dialog
from ....smtp.session.step import CommandGroup, SendMailData
from ....smtp.words.command import wire_of
from ...loop import guard
from ...loop.event_loop import event_loop
from ..data.mail_source import PIECE, FileSource
from ..data.mail_writer import MailWriter
from ..timeouts import MIN_DATA_RATE
from ..tls.channel import TlsChannel


class ConnectionWriter(asyncio.Protocol):
    """The writing half of a `Connection`."""

    _loop: asyncio.AbstractEventLoop
    _dialog: Dialog
    _transport: Any = None  # asyncio.Transport; uvloop's is none by its class

    # At first, once for all connections: many carry one mail.
    _tls: TlsChannel | None
    _poll: Callable[[int], list[tuple[int, int]]] | None = None
    _source: FileSource | None = None
    _writer: MailWriter | None = None
    # What goes out at the end of this turn, with what others write in it.
    _unsent = b""
    _deferred_write: Callable[[], None] | None = None
    _last: bytes | None = None  # what completes the mail, not yet written
    _dot_written = False
    _has_looked = False  # whether no input was pending, in this very turn of the loop
    _written = 0  # octets of mail data, as they went to the transport
    _flushed = 0  # how many of them the operating system had taken when last looked at

    def __init__(self) -> None:
        # To read what only the class has costs many times more: not what is read for each step.
        self._tls = None
        self._writes_at_end = event_loop().is_selector_loop

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run something that takes its time, until the connection is gone."""
        raise NotImplementedError

    def source_failed(self, detail: str) -> None:
        """Give the mail up: its source can't be read."""
        raise NotImplementedError

    def crashed(self, error: BaseException) -> None:
        """End on an error of ours. See `guard.Guarded`."""
        raise NotImplementedError

    def tls_broke(self, error: ssl.SSLError) -> None:
        """End on broken TLS."""
        raise NotImplementedError

    @guard.guarded
    def pause_writing(self) -> None:
        """Read no more of the mail: the server does not keep up."""
        if self._writer is not None:
            self._writer.is_paused = True

    @guard.guarded
    def resume_writing(self) -> None:
        """Go on: the operating system has taken all that was written."""
        if self._writer is not None:
            self._writer.is_paused = False
        if self._deferred_write is not None:
            return  # what is to be written has its time
        if self._dot_written:
            if self._is_all_out:
                self._dot_is_out()
        elif self._last is not None:
            self._write_last()
        elif self._writer is not None:
            self._writer.pump()

    def write_commands(self, octets: bytes) -> None:
        """Write what the dialog says."""
        if self._writes_at_end:
            self._write_soon()
            self._unsent += octets
        elif self._tls is None:
            self._transport.write(octets)
        else:
            self._put(octets)

    def _put(self, octets: bytes) -> int:
        """Write at once; return how many octets it makes on the wire."""
        tls = self._tls
        if tls is None:
            self._transport.write(octets)
            return len(octets)
        sealed = tls.encrypt(octets)
        if sealed:
            self._transport.write(sealed)
        if tls.error is not None:
            # Not at once: the caller is not done writing.
            self._loop.call_soon(guard.call, self, self.tls_broke, tls.error)
        elif tls.is_holding and self._writer is not None:
            self._writer.is_paused = True
        return len(sealed)

    def write_own(self) -> None:
        """Write what TLS itself has to say, such as what a server has asked it.

        Not behind the end of a mail that waits to go out: it could not be seen when that is out.
        """
        tls = self._tls
        if tls is None or self._dot_written:
            return
        sealed = tls.take()
        if sealed and not self._transport.is_closing():
            self._transport.write(sealed)

    @property
    def _is_all_out(self) -> bool:
        """Whether the operating system has all that was written."""
        tls, transport = self._tls, self._transport
        if tls is not None and (tls.is_holding or tls.error is not None):
            return False
        # Where it broke as it was written, nothing waits any more, and it is not out either.
        return not (transport.get_write_buffer_size() or transport.is_closing())

    def _write_soon(self) -> None:
        if not (self._unsent or self._deferred_write):
            event_loop().write_soon(self)

    def write_now(self) -> None:
        """Write what was to be written in this turn."""
        self.flush()
        put, self._deferred_write = self._deferred_write, None
        if put is not None:
            put()

    def flush(self) -> None:
        """Write the commands that wait for the end of the turn."""
        unsent, self._unsent = self._unsent, b""
        if unsent and not self._transport.is_closing():
            self._put(unsent)

    def begin_body(self, body: SendMailData) -> None:
        """Write the mail that the dialog asks for."""
        rendition = body.rendition
        data = rendition.data
        if data is None or (len(data) > PIECE and not body.is_speculative):
            self.flush()
            if body.head:
                self._put(body.head)
            if data is not None:
                self._transport.set_write_buffer_limits(high=PIECE, low=0)
            self._writer = MailWriter(self, body, self._source)
            self._writer.pump()
            return
        # The common case at full speed: all of it in one piece.
        is_plain = rendition.facts is not None and rendition.facts.is_plain
        if not (is_plain or rendition.is_binary):
            data = encode_whole(data, transparent=not body.is_chunk)
        self._last = body.head + data if body.is_chunk else data + b".\r\n"
        self._write_last_in_turn()

    def write_held(self, group: CommandGroup) -> None:
        """Write commands once no input is pending."""
        self._last = wire_of(group.commands)
        self._write_last_in_turn()

    def _write_last_in_turn(self) -> None:
        """Write the last octets: behind what this turn still has to write, if anything."""
        if not self._writes_at_end:
            if self._has_looked:
                self._write_end()
            else:
                self._write_last()
            return
        self._write_soon()
        self._deferred_write = self._write_last

    def write_part(self, octets: bytes) -> None:
        """Write mail data that is not the last of it."""
        self._written += self._put(octets)

    def end_body(self, last: bytes) -> None:
        """Write what completes the mail: the last octets, and the final dot if there is one."""
        # It is done: whatever is written later is not this mail, and does not end again.
        self._writer = None
        self._last = last
        self._write_last()

    @property
    def is_open(self) -> bool:
        """Whether mail data can be written at all."""
        # If it is closing, it broke: connection_lost() is on its way.
        return not (self._dialog.is_over or self._transport.is_closing())

    def _write_last(self) -> None:
        """Complete the mail, unless the server has spoken meanwhile.

        A reply counts as the verdict only if it comes after the dot has gone out. So nothing may
        be here to read when it goes out, and nothing may wait to be written before it. A whole
        transaction in one go begins only then, too: what is here would be taken for the replies.
        """
        transport = self._transport
        if self._last is None or transport.is_closing():
            return  # it is written; or it broke: connection_lost() is on its way
        if not self._dialog.may_end_mail_data:
            return  # a part of a reply, or of a TLS record, is here; the rest of it decides
        if self.has_something_to_read():
            self._loop.call_soon(guard.call, self, self._write_last)
            return
        if not self._is_all_out:
            transport.set_write_buffer_limits(high=0)  # resume_writing() when all is out
            return
        self._write_end()

    def _write_end(self) -> None:
        transport = self._transport
        if transport.is_closing() or self._dialog.is_over:
            return
        last, self._last = self._last, None
        held = self._dialog.held
        if held is not None:
            self._dialog.begin_held()
            if isinstance(held, CommandGroup):
                self._put(last or b"")
                return
        if last:
            self._written += self._put(last)
        self._dot_written = True
        if self._is_all_out:
            self._dot_is_out()
        else:
            transport.set_write_buffer_limits(high=0)

    def _dot_is_out(self) -> None:
        self._dot_written = False
        if not self._dialog.is_over:
            self._flushed = self._written
            self._dialog.mail_data_sent()
            self.write_own()

    def _go_on_writing(self, *, was_holding: bool) -> None:
        """Go on with the mail, after TLS records came: they may be what its end has waited for.

        Not all of them are replies. A session ticket (RFC 8446 §4.6.1) is none.
        """
        if self._dialog.is_over:
            return
        if self._dot_written or was_holding:
            if self._is_all_out:
                self.resume_writing()
        elif self._last is not None and self._deferred_write is None:
            self._write_last()

    def has_something_to_read(self) -> bool:
        """Whether input is pending in the socket."""
        if self._poll is None:
            try:
                number = self._transport.get_extra_info("socket").fileno()
                self._poll = _make_poll(number)
            except (OSError, ValueError, AttributeError):
                return False
        return bool(self._poll(0))

    def made_progress(self, since: float, now: float) -> bool:
        """Whether the server takes the mail data, and fast enough.

        Args:
            since: when progress was last checked, or the step began.
            now: the time. Both are of the loop's clock.
        """
        if not self._written:
            return False
        taken = self._written - self._transport.get_write_buffer_size()
        if taken - self._flushed < MIN_DATA_RATE * (now - since):
            return False
        self._flushed = taken
        return True


def _make_poll(number: int) -> Callable[[int], list[tuple[int, int]]]:
    """Return a function that checks, without waiting, whether a socket has something to read."""
    if not hasattr(select, "poll"):  # Windows
        return lambda _timeout: [(n, 0) for n in select.select([number], [], [], 0)[0]]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return poll.poll
