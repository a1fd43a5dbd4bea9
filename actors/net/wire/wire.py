"""The output of a connection, in plaintext or TLS, and the moment to write the end of mail data.

That moment depends on whether input is pending, but never on what a reply says.
"""

import asyncio
import functools
import select
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ....smtp.mail.mail_data import encode_whole
from ....smtp.session.dialog.dialog import Dialog
from ....smtp.session.step import CommandGroup, SendMailData
from ...loop import guard
from ...loop.event_loop import event_loop
from ..data.mail_source import PIECE, FileSource
from ..data.mail_writer import MailWriter
from ..timeouts import MIN_DATA_RATE
from ..tls.channel import TlsChannel


class Gate(Protocol):
    """Decides when the end of an email may go out: after that, the server may have accepted it."""

    def ask(self, then: Callable[[], object]) -> bool | None:
        """Return whether it may go out; None if that is not known yet.

        Args:
            then: is called on the loop thread once it is known, if it is not.
        """
        ...

    @property
    def why_not(self) -> str:
        """Why it may not, in one line for people."""
        ...


class ConnectionWriter(asyncio.Protocol):
    """The writing half of a `Connection`."""

    _loop: asyncio.AbstractEventLoop
    _dialog: Dialog
    _transport: Any = None  # an asyncio.Transport, but uvloop's is not a subclass of it

    # Initial values are on the class: many connections carry one email.
    _tls: TlsChannel | None
    _poll: Callable[[int], list[tuple[int, int]]] | None = None
    _source: FileSource | None = None
    _writer: MailWriter | None = None
    # To be written at the end of this turn of the loop, together with other connections' output.
    _unsent = b""
    _deferred_write: Callable[[], None] | None = None
    _last: bytes | None = None  # the end of the mail data, not written yet
    gate: Gate | None = None  # of this email, until it has let its end pass
    _dot_written = False  # the end of mail data is passed to the transport, but not sent yet
    _has_looked = False  # whether no input was pending, in this very turn of the loop
    _written = 0  # octets of mail data passed to the transport
    _flushed = 0  # how many of them the operating system had at the last check

    def __init__(self) -> None:
        # On the instance, because these are read for each step, and a class attribute is slower.
        self._tls = None
        self._writes_at_end = event_loop().is_selector_loop

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run a coroutine as a task, which is cancelled when the connection is closed."""
        raise NotImplementedError

    def source_failed(self, detail: str) -> None:
        """Called when the source of the mail data can't be read."""
        raise NotImplementedError

    def crashed(self, error: BaseException) -> None:
        """Abort after an internal error. See `guard.Guarded`."""
        raise NotImplementedError

    def tls_broke(self, error: ssl.SSLError) -> None:
        """Called when TLS has failed."""
        raise NotImplementedError

    @guard.guarded
    def pause_writing(self) -> None:
        """Called when the transport's buffer is full: stop reading the source of the mail data."""
        if self._writer is not None:
            self._writer.is_paused = True

    @guard.guarded
    def resume_writing(self) -> None:
        """Called when the transport's buffer is empty again: continue."""
        if self._writer is not None:
            self._writer.is_paused = False
        if self._deferred_write is not None:
            return  # it is called at the end of this turn
        if self._dot_written:
            if self._is_all_out:
                self._dot_is_out()
        elif self._last is not None:
            self._write_last()
        elif self._writer is not None:
            self._writer.pump()

    def write_commands(self, octets: bytes) -> None:
        """Write commands of the dialog, now or at the end of this turn."""
        if self._writes_at_end:
            self._write_soon()
            self._unsent += octets
        elif self._tls is None:
            self._transport.write(octets)
        else:
            self._put(octets)

    def _put(self, octets: bytes) -> int:
        """Write at once; return the number of octets sent, after encryption."""
        tls = self._tls
        if tls is None:
            self._transport.write(octets)
            return len(octets)
        sealed = tls.encrypt(octets)
        if sealed:
            self._transport.write(sealed)
        if tls.error is not None:
            # Not at once: the caller is still writing.
            self._loop.call_soon(guard.call, self, self.tls_broke, tls.error)
        elif tls.is_holding and self._writer is not None:
            self._writer.is_paused = True
        return len(sealed)

    def write_own(self) -> None:
        """Write TLS's own output, such as the reply to a key update.

        Not while the end of mail data is in the transport's buffer: with more output after it, it
        would be unknown when that end has been sent.
        """
        tls = self._tls
        if tls is None or self._dot_written:
            return
        sealed = tls.take()
        if sealed and not self._transport.is_closing():
            self._transport.write(sealed)

    @property
    def _is_all_out(self) -> bool:
        """Whether the operating system has all output, and the connection is not lost."""
        tls, transport = self._tls, self._transport
        if tls is not None and (tls.is_holding or tls.error is not None):
            return False
        # If the write failed, the buffer is empty as well.
        return not (transport.get_write_buffer_size() or transport.is_closing())

    def _write_soon(self) -> None:
        if not (self._unsent or self._deferred_write):
            event_loop().write_soon(self)

    def write_now(self) -> None:
        """Called at the end of the turn: write the pending output."""
        self.flush()
        put, self._deferred_write = self._deferred_write, None
        if put is not None:
            put()

    def flush(self) -> None:
        """Write the pending commands now."""
        unsent, self._unsent = self._unsent, b""
        if unsent and not self._transport.is_closing():
            self._put(unsent)

    def begin_body(self, body: SendMailData) -> None:
        """Begin to write the mail data."""
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
        # The common case, optimized: all of it in one piece.
        is_plain = rendition.facts is not None and rendition.facts.is_plain
        if not (is_plain or rendition.is_binary):
            data = encode_whole(data, transparent=not body.is_chunk)
        self._last = body.head + data if body.is_chunk else data + b".\r\n"
        if self._writes_at_end or self._has_looked:
            self._write_last_in_turn()
        else:
            self._write_last()

    def write_held(self, group: CommandGroup) -> None:
        """Write commands once no input is pending."""
        self._last = group.octets
        self._write_last_in_turn()

    def _write_last_in_turn(self) -> None:
        """Write the last octets in this turn, after its pending output."""
        if not self._writes_at_end:
            if not self._has_looked:
                self._write_last()
            elif not (self._transport.is_closing() or self._dialog.is_over):
                self._write_end()
            return
        self._write_soon()
        self._deferred_write = self._write_last

    def write_part(self, octets: bytes) -> None:
        """Write a part of the mail data, not the last."""
        self._written += self._put(octets)

    def end_body(self, last: bytes) -> None:
        """Write the last part of the mail data, with the final dot if there is one."""
        # The writer is done: its `pump` must not run again, or it would end the mail data twice.
        self._writer = None
        self._last = last
        self._write_last()

    @property
    def is_open(self) -> bool:
        """Whether mail data can be written."""
        # If the transport is closing, the connection was lost, and `connection_lost` follows.
        return not (self._dialog.is_over or self._transport.is_closing())

    def _write_last(self) -> None:
        """Write the end of mail data, unless input is pending.

        A reply counts as the final one only if it arrives after the end of mail data was sent. So
        when that is sent, no input may be pending, and no output may be buffered before it. A
        speculative transfer, which is one write, waits for the same: pending input would be taken
        for the replies to it.
        """
        transport = self._transport
        if self._last is None or transport.is_closing():
            return  # it is written already, or the connection was lost
        if not self._dialog.may_end_mail_data:
            return  # part of a reply or of a TLS record is pending; this is called again after it
        if self.has_something_to_read():
            self._loop.call_soon(guard.call, self, self._write_last)
            return
        if not self._is_all_out if self._tls is not None else transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # calls resume_writing() when all is sent
            return
        self._write_end()

    def _write_end(self) -> None:
        if self.gate is not None and not self._passes(self.gate):
            return
        transport = self._transport
        last, self._last = self._last, None
        held = self._dialog.held
        if held is not None:
            self._dialog.begin_held()
            if isinstance(held, CommandGroup):
                self._put(last or b"")
                return
        if last and self._tls is None:
            transport.write(last)
            self._written += len(last)
        elif last:
            self._written += self._put(last)
        self._dot_written = True
        if self._is_all_out:
            self._dot_is_out()
        else:
            transport.set_write_buffer_limits(high=0)

    def _passes(self, gate: Gate) -> bool:
        """Whether what is to be written may be: commands always, the end of mail data if it may."""
        if isinstance(self._dialog.held, CommandGroup):
            return True
        may_pass = gate.ask(functools.partial(guard.call, self, self._go_on_after_gate, gate))
        if may_pass:
            self.gate = None
        elif may_pass is False:
            # Not at once: the caller is still in the middle of its own actions.
            self._loop.call_soon(guard.call, self, self._turn_back, gate)
        return bool(may_pass)

    def _go_on_after_gate(self, gate: Gate) -> None:
        # Everything is looked at again: the server may have spoken, or the connection be lost.
        if gate is self.gate and self._deferred_write is None:
            self.flush()
            self._write_last()

    def _turn_back(self, gate: Gate) -> None:
        if gate is self.gate and not self._dialog.is_over:
            self.source_failed(gate.why_not)

    def _dot_is_out(self) -> None:
        self._dot_written = False
        if not self._dialog.is_over:
            self._flushed = self._written
            self._dialog.mail_data_sent()
            if self._tls is not None:
                self.write_own()

    def _go_on_writing(self, *, was_holding: bool) -> None:
        """Continue with the mail data after TLS records were received.

        Its end may have waited for the rest of a record without text, such as a session ticket
        (RFC 8446 §4.6.1).
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
        """Whether the server reads the mail data, and fast enough.

        Args:
            since: when progress was last checked, or the step began.
            now: the time. Both are of the loop's clock.
        """
        if not self._written:
            return False
        flushed = self._written - self._transport.get_write_buffer_size()
        if flushed - self._flushed < MIN_DATA_RATE * (now - since):
            return False
        self._flushed = flushed
        return True


def _make_poll(number: int) -> Callable[[int], list[tuple[int, int]]]:
    """Return a function that checks, without waiting, whether a socket has something to read."""
    if not hasattr(select, "poll"):  # Windows
        return lambda _timeout: [(n, 0) for n in select.select([number], [], [], 0)[0]]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return poll.poll
