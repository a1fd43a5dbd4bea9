"""aiosmtplib as a client.

Arguments: as for `client_pykka`; ``limit`` is the number of tasks; ``reuse`` and ``named`` as
`way.Way` has them; ``uvloop`` says whether to run on uvloop instead of the standard library's
event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib

from .client_compose import make_email_message
from .mail import RECIPIENT, SENDER, mail_of
from .measure import PeakMemory, Stopwatch, arguments, report
from .processes import HOST
from .way import Way

_MAIL = mail_of()


def options_of(way: Way) -> dict[str, Any]:
    """Return the options of a connection."""
    options: dict[str, Any] = {"hostname": HOST, "port": way.port, "timeout": 30}
    if way.name is not None:
        options["local_hostname"] = way.name
    if way.context is not None:
        options |= {"start_tls": True, "tls_context": way.context}
    return options


async def send_one(options: dict[str, Any], message: bytes | EmailMessage = _MAIL) -> None:
    """Send a mail on a connection of its own."""
    await aiosmtplib.send(message, sender=SENDER, recipients=[RECIPIENT], **options)


async def sender_of(way: Way) -> Callable[[], Awaitable[object]]:
    """Return what one task does for each mail; it keeps its connection, if it is to."""
    options = options_of(way)
    if not way.reuse:
        if way.composed:
            return lambda: send_one(options, make_email_message())
        return lambda: send_one(options)
    session = aiosmtplib.SMTP(**options)
    await session.connect()
    if way.composed:
        return lambda: session.send_message(make_email_message())
    return lambda: session.sendmail(SENDER, [RECIPIENT], _MAIL)


async def send_many(
    senders: Sequence[Callable[[], Awaitable[object]]], count: int
) -> dict[str, float]:
    """Send mails in a task for each sender."""
    turns = iter(range(count))
    sent: list[int] = []

    async def work(send: Callable[[], Awaitable[object]], turns: Iterator[int]) -> None:
        for turn in turns:
            await send()
            sent.append(turn)

    watch = Stopwatch()
    await asyncio.gather(*[work(send, turns) for send in senders])
    return {"seconds": watch.seconds(), "cpu": watch.cpu(), "sent": len(sent)}


async def main(told: dict[str, Any]) -> None:
    """Do as told."""
    way = Way.of(told)
    if told["mode"] == "many":
        senders = [await sender_of(way) for _ in range(told["limit"])]
        await send_many(senders, told["warm_up"])
        report(**await send_many(senders, told["count"]))
        return
    options = options_of(way)
    for _ in range(told["warm_up"]):
        await send_one(options)
    peak = PeakMemory()
    watch = Stopwatch()
    for _ in range(told["count"]):
        # It takes bytes only: a file has to be in memory as a whole.
        whole = told["mode"] == "file"
        message = Path(told["path"]).read_bytes() if whole else _MAIL  # noqa: ASYNC240
        await send_one(options, message)
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
