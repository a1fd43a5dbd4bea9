"""The least that a Python client can do: no mail is made or checked, no reply is understood.

It shows what the event loop, the interpreter's callbacks and the kernel cost. Whatever a client
does besides (knowing what became of each mail, above all) comes on top of it.

Arguments: as for `client_aiosmtplib`; ``limit`` is the number of connections.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from .mail import CLIENT_NAME, RECIPIENT, SENDER, mail_of
from .measure import Stopwatch, arguments, report
from .processes import HOST

_GREETING = f"EHLO {CLIENT_NAME}\r\n".encode()
_GROUP = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode()
_DATA = mail_of() + b".\r\n"
_QUIT = b"QUIT\r\n"


class LeastClient(asyncio.Protocol):
    """Writes the next thing whenever something came, until there are no more turns."""

    transport: asyncio.Transport

    def __init__(self, turns: Iterator[int], *, reuse: bool, ended: Callable[[], None]) -> None:
        self._turns = turns
        self._reuse = reuse
        self._ended = ended
        self._next: Callable[[bytes], None] = self._greet

    def connection_made(self, transport: Any) -> None:
        """Wait for the greeting."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take it for granted that it is what was expected, once it looks complete."""
        self._next(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell whoever wants to go on."""
        self._ended()

    def _greet(self, _data: bytes) -> None:
        self.transport.write(_GREETING)
        self._next = self._begin

    def _begin(self, _data: bytes) -> None:
        if next(self._turns, None) is None:
            self._leave()
            return
        self.transport.write(_GROUP)
        self._next = self._send

    def _send(self, data: bytes) -> None:
        if b"354" in data:
            self.transport.write(_DATA)
            self._next = self._begin if self._reuse else self._finish

    def _finish(self, _data: bytes) -> None:
        self._leave()

    def _leave(self) -> None:
        self.transport.write(_QUIT)
        self._next = self._close

    def _close(self, _data: bytes) -> None:
        self.transport.close()


async def send_many(port: int, count: int, limit: int, *, reuse: bool) -> dict[str, float]:
    """Send mails on so many connections at a time."""
    loop = asyncio.get_running_loop()
    turns = iter(range(count))
    connections = iter(range(limit if reuse else count))

    async def work() -> None:
        for _ in connections:
            ended = loop.create_future()
            client = LeastClient(turns, reuse=reuse, ended=lambda e=ended: e.set_result(None))  # type: ignore[misc]
            await loop.create_connection(lambda c=client: c, HOST, port)  # type: ignore[misc]
            await ended

    watch = Stopwatch()
    await asyncio.gather(*[work() for _ in range(limit)])
    return {"seconds": watch.seconds(), "cpu": watch.cpu(), "sent": count}


async def main(told: dict[str, Any]) -> None:
    """Do as told."""
    port, limit, reuse = told["port"], told["limit"], told["reuse"]
    await send_many(port, told["warm_up"], limit, reuse=reuse)
    report(**await send_many(port, told["count"], limit, reuse=reuse))


def run() -> None:
    """Run on uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(arguments()))


if __name__ == "__main__":
    run()
