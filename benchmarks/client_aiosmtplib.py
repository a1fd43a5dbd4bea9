"""aiosmtplib as a client.

Arguments: as for `client_pykka`; ``limit`` is the number of tasks, and ``uvloop`` says whether
to run on uvloop instead of the standard library's event loop.
"""

import asyncio
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib

from .client_compose import make_email_message
from .mail import CLIENT_NAME, RECIPIENT, SENDER, mail_of
from .measure import PeakMemory, Stopwatch, arguments, report
from .processes import HOST

_MAIL = mail_of()


def _ready() -> bytes:
    return _MAIL


async def send_one(port: int, message: bytes | EmailMessage = _MAIL) -> None:
    """Send a mail on a connection of its own."""
    await aiosmtplib.send(
        message,
        sender=SENDER,
        recipients=[RECIPIENT],
        hostname=HOST,
        port=port,
        local_hostname=CLIENT_NAME,
        timeout=30,
    )


async def send_many(
    port: int, count: int, limit: int, mail: Callable[[], bytes | EmailMessage] = _ready
) -> dict[str, float]:
    """Send mails in so many tasks."""
    turns = iter(range(count))
    sent: list[int] = []

    async def work(turns: Iterator[int]) -> None:
        for turn in turns:
            await send_one(port, mail())
            sent.append(turn)

    watch = Stopwatch()
    await asyncio.gather(*[work(turns) for _ in range(limit)])
    return {"seconds": watch.seconds(), "cpu": watch.cpu(), "sent": len(sent)}


async def main(told: dict[str, Any]) -> None:
    """Do as told."""
    port = told["port"]
    if told["mode"] == "many":
        mail = make_email_message if told["composed"] else _ready
        await send_many(port, told["warm_up"], told["limit"], mail)
        report(**await send_many(port, told["count"], told["limit"], mail))
        return
    for _ in range(told["warm_up"]):
        await send_one(port)
    peak = PeakMemory()
    watch = Stopwatch()
    for _ in range(told["count"]):
        # It takes bytes only: a file has to be in memory as a whole.
        whole = told["mode"] == "file"
        await send_one(port, Path(told["path"]).read_bytes() if whole else _MAIL)  # noqa: ASYNC240
    report(seconds=watch.seconds(), cpu=watch.cpu(), sent=told["count"], peak=peak.extra())


def run() -> None:
    """Run on the loop that was asked for."""
    told = arguments()
    loop_factory = None
    if told.get("uvloop"):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main(told))


if __name__ == "__main__":
    run()
