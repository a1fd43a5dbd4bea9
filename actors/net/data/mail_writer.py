"""Writes an email that is too large for one write, piece by piece."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

from ....smtp.session.step import SendMailData
from ...loop import guard
from ...loop.event_loop import event_loop
from .mail_source import FileSource, SourceError, pieces_of


class MailDataSink(Protocol):
    """The methods of a connection that a `MailWriter` uses."""

    @property
    def is_open(self) -> bool:
        """Whether mail data can be written at all."""
        ...

    def has_something_to_read(self) -> bool:
        """Whether the server has sent something that was not read yet."""
        ...

    def write_part(self, octets: bytes) -> None:
        """Write mail data, but not the last piece."""
        ...

    def end_body(self, last: bytes) -> None:
        """Write the last piece, with the end of mail data."""
        ...

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run a coroutine as a task, which is cancelled when the connection is closed."""
        ...

    def source_failed(self, detail: str) -> None:
        """Fail the email, because its source can't be read."""
        ...

    def crashed(self, error: BaseException) -> None:
        """Fail the email after an internal error."""
        ...


class MailWriter:
    """Writes one email as fast as the server reads it, at most one piece ahead.

    Attributes:
        is_paused: whether the transport has buffered data that the system did not accept yet.
    """

    def __init__(self, wire: MailDataSink, body: SendMailData, source: FileSource | None) -> None:
        """Prepare the pieces; `pump` writes them.

        Args:
            wire: the connection.
            body: the action of the dialog.
            source: the mail data, if the rendition has none.
        """
        self.is_paused = False
        self._wire = wire
        self._source = source
        self._is_reading = False
        self._held = b""  # the last piece read, not written yet
        self._final = b"" if body.is_chunk else b".\r\n"
        self._pieces: Iterator[bytes] | None = None
        rendition, transparent = body.rendition, not body.is_chunk
        facts = rendition.facts
        if rendition.data is not None:
            self._pieces = pieces_of(
                rendition.data,
                transparent=transparent,
                binary=rendition.is_binary or (facts is not None and facts.is_plain),
            )
        elif source is not None:
            source.begin(transparent=transparent, may_be_eight_bit=rendition.may_be_eight_bit)

    def pump(self) -> None:
        """Write mail data as long as the transport accepts it.

        The last piece is held back, and written together with the end of mail data.
        """
        if self._pieces is None:
            if not (self._is_reading or self.is_paused):
                self._is_reading = True
                self._wire.spawn(self._read_on)
            return
        while not self.is_paused and self._wire.is_open:
            if self._held and self._wire.has_something_to_read():
                # Read first: it may be a rejection. Writing to a server that has closed the
                # connection causes a reset, and with TLS, unread replies are lost then.
                event_loop().loop.call_soon(guard.call, self._wire, self.pump)
                return
            piece = next(self._pieces, None)
            if piece is None:
                self._end()
                return
            self._write_held(piece)

    async def _read_on(self) -> None:
        """Read the next piece in a worker thread, and write the previous one."""
        assert self._source is not None
        try:
            piece = await event_loop().file_pool.run(self._source.read)
        except (SourceError, BlockingIOError) as error:
            # Without the dot: with it, the server would accept a part as the complete email
            # (RFC 5321 §4.1.1.4).
            self._wire.source_failed(str(error))
            return
        finally:
            self._is_reading = False
        if not self._wire.is_open:
            return
        if piece is None:
            self._end()
        else:
            self._write_held(piece)
            self.pump()

    def _write_held(self, piece: bytes) -> None:
        if self._held:
            self._wire.write_part(self._held)
        self._held = piece

    def _end(self) -> None:
        last, self._held = self._held + self._final, b""
        self._wire.end_body(last)
