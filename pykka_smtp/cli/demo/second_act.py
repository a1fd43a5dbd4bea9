"""The second act of the demo: five emails in an outbox, ``kill -9``, and all of them are told.

A process puts them, and begins to send. It is killed at the worst moment: the end of an email went
out, and no reply came. This process then does what the next start of a program would.
"""

import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from pykka_smtp import (
    Outbox,
    Outcome,
    SendSuccess,
    smtp_send_failure,
    smtp_send_success,
    wait_until_done,
)

from ...testing import Server
from ...testing.moods import Moment
from ...testing.talk.acts import Deed
from .first_life import ALIAS, KEYS
from .servers import NAME

LIMIT = 5.0
"""Seconds that each step may take."""
_TITLE_WIDTH = 7


class _SilentOnce:
    """A mood: no reply to the first email.

    Attributes:
        reached: set once its end has come.
    """

    stages = (".",)

    def __init__(self) -> None:
        self.reached = threading.Event()

    def __call__(self, moment: Moment) -> list[Deed] | None:
        if moment.stage != "." or self.reached.is_set():
            return None
        self.reached.set()
        return [Deed.SILENCE]


def run(out: TextIO, err: TextIO) -> bool:
    """Run the second act.

    Args:
        out: gets a line for each thing that happens, and a closing one.
        err: gets a line for what should have happened and did not.

    Returns:
        Whether each email had a receipt and exactly one outcome, a success, and the one in doubt
        says so.

    Raises:
        OSError: the server cannot be started, the file cannot be made, or the output is a closed
            pipe.
    """
    begun = time.monotonic()

    def show(title: str, what: str) -> None:
        out.write(f"{time.monotonic() - begun:.2f} s  {title:{_TITLE_WIDTH}}  {what}\n")
        out.flush()

    out.write("\nThe Outbox: five emails in a file, kill -9, and the next start\n")
    mood = _SilentOnce()
    told: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Server(mood, name=NAME) as server,
    ):
        path = Path(folder) / "mail.db"
        with _first_life(path, server) as process:
            receipts = _receipts(process)
            show("put", f"{len(receipts)} receipts: so many emails are on disk")
            reached = mood.reached.wait(LIMIT)
            process.kill()
            process.wait()
            show("kill -9", f"the end of {KEYS[0]} was out, and no reply had come")
        for outcome in _second_life(path, server):
            told.append(outcome)
            show(str(outcome.context), _said(outcome))
    sent = sum(isinstance(outcome, SendSuccess) for outcome in told)
    doubts = sum(outcome.doubts for outcome in told)
    seconds = time.monotonic() - begun
    out.write(
        f"{len(receipts)} put, 1 process killed, {sent} sent, {doubts} perhaps twice,"
        f" {seconds:.1f} s\n"
    )
    out.flush()
    in_doubt = [str(outcome.context) for outcome in told if outcome.doubts]
    keys = sorted(str(outcome.context) for outcome in told)
    done = reached and receipts == list(KEYS) and keys == list(KEYS) and sent == len(KEYS)
    if done and in_doubt == [KEYS[0]]:
        return True
    err.write(
        f"pykka-smtp demo: of {len(KEYS)} emails {len(receipts)} had a receipt, and {sent} were"
        f" sent; in doubt: {', '.join(in_doubt) or 'none'}\n"
    )
    return False


@contextmanager
def _first_life(path: Path, server: Server) -> Generator["subprocess.Popen[str]"]:
    """Start the process that is to be killed; it is gone at the end of the block."""
    module = f"{__package__}.first_life"
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", module, str(path), server.host, str(server.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _receipts(process: "subprocess.Popen[str]") -> list[str]:
    """Return the keys of the receipts that the process has printed."""
    assert process.stdout is not None
    timer = threading.Timer(LIMIT, process.kill)  # so that no line is waited for without end
    timer.start()
    try:
        lines = [process.stdout.readline().strip() for _ in KEYS]
    finally:
        timer.cancel()
        timer.join()
    return [line for line in lines if line]


def _second_life(path: Path, server: Server) -> Iterator[Outcome]:
    """Start an outbox on the file; give the outcomes as they come."""
    signals: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def receive(_alias: str, outcome: Outcome, **_extra: object) -> None:
        signals.put(outcome)

    with ExitStack() as exits:
        exits.enter_context(smtp_send_success.connected_to(receive, sender=ALIAS))
        exits.enter_context(smtp_send_failure.connected_to(receive, sender=ALIAS))
        outbox = Outbox.start(path, server=server.host, port=server.port, alias=ALIAS, tls="off")
        exits.callback(wait_until_done, LIMIT)
        exits.callback(outbox.stop)
        end = time.monotonic() + LIMIT
        for _ in KEYS:
            try:
                yield signals.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return


def _said(outcome: Outcome) -> str:
    said = f"accepted: {outcome.reply}" if isinstance(outcome, SendSuccess) else str(outcome)
    return f"{said}; doubts=1: it may have come twice" if outcome.doubts else said
