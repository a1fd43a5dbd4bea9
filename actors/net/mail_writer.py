"""A mail that is too large for one write, on its way to the wire: piece by piece."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

from ...smtp.session.step import SendMailData
from ..loop import guard
from ..loop.event_loop import event_loop
from .mail_source import FileSource, SourceError, pieces_of


class MailDataSink(Protocol):
    """What the writer needs of the connection."""

    @property
    def is_open(self) -> bool:
        """Whether mail data can be written at all."""
        ...

    def has_something_to_read(self) -> bool:
        """Whether the server has said something that nobody has heard yet."""
        ...

    def write_part(self, octets: bytes) -> None:
        """Write mail data that is not the last of it."""
        ...

    def end_body(self, last: bytes) -> None:
        """Write what completes the mail."""
        ...

    def spawn(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run something that takes its time, until the connection is gone."""
        ...

    def source_failed(self, detail: str) -> None:
        """Give the mail up: its source can't be read."""
        ...

    def crashed(self, error: BaseException) -> None:
        """Give the mail up on an error of ours."""
        ...


class MailWriter:
    """Writes one mail as fast as the server takes it, and never more than a piece ahead.

    Attributes:
        is_paused: whether the operating system has taken less than was written.
    """

    def __init__(self, wire: MailDataSink, body: SendMailData, source: FileSource | None) -> None:
        """Prepare to write.

        Args:
            wire: the connection.
            body: what the dialog asked for.
            source: the mail data, when the rendition has none.
        """
        self.is_paused = False
        self._wire = wire
        self._source = source
        self._is_reading = False
        self._held = b""  # the last piece so far, not yet written
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
        """Write mail data for as long as the server takes it.

        The last piece is held back: it goes out together with the dot.
        """
        if self._pieces is None:
            if not (self._is_reading or self.is_paused):
                self._is_reading = True
                self._wire.spawn(self._read_on)
            return
        while not self.is_paused and self._wire.is_open:
            if self._held and self._wire.has_something_to_read():
                # First of all: it may be a refusal. To write on may break the connection, and
                # under TLS what was not read by then is lost.
                event_loop().loop.call_soon(guard.call, self._wire, self.pump)
                return
            piece = next(self._pieces, None)
            if piece is None:
                self._end()
                return
            self._write_held(piece)

    async def _read_on(self) -> None:
        """Read the next piece in a worker thread, and write the one before."""
        assert self._source is not None
        try:
            piece = await event_loop().file_pool.run(self._source.read)
        except (SourceError, BlockingIOError) as error:
            # RFC 5321 §4.1.1.4: with the dot, the server would take a part for the whole.
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
