"""The demo: seven emails to servers good and bad, and the signal with the outcome of each.

Everything happens in this process, on the loopback interface. The emails are sent all at once, and
the rows are written in the order of the signals.
"""

import os
import queue
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol, Self, TextIO

import pykka
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pykka_smtp import (
    Outcome,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    smtp_send_failure,
    smtp_send_success,
)

from ...signals.dispatcher import dispatcher
from .servers import GREYLISTED, HOST, NOBODY, Ports, running

SILENT_TIMEOUT = 1.5
"""Seconds of the timeout for the silent server."""
TIMEOUT = 5.0
"""Seconds of the timeout for the other servers."""
LIMIT = 8.0
"""Seconds after which the demo waits for no more signals."""
QUIT_TIMEOUT = 1.0
"""Seconds that the actors have for QUIT, after all outcomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One email of the demo.

    Attributes:
        title: what happens to it.
        port: the port of its server.
        expected: what `verdict` should return for its outcome.
        recipients: its recipients.
        timeout: the timeout of its actor, in seconds.
    """

    title: str
    port: int
    expected: str
    recipients: tuple[str, ...] = ("you@example.org",)
    timeout: float = TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A received signal.

    Attributes:
        case: the email.
        outcome: its outcome.
        seconds: the time since the start of the demo.
    """

    case: Case
    outcome: Outcome
    seconds: float


def cases(ports: Ports) -> tuple[Case, ...]:
    """Return the emails of the demo."""
    return (
        Case(title="accepted", port=ports.good, expected="success for 1 of 1"),
        Case(
            title="one of three recipients refused",
            port=ports.good,
            recipients=("you@example.org", NOBODY, "her@example.org"),
            expected="success for 2 of 3",
        ),
        Case(
            title="refused (550)",
            port=ports.good,
            recipients=(NOBODY,),
            expected="SMTP at rcpt, do not try again",
        ),
        Case(
            title="greylisted (450)",
            port=ports.good,
            recipients=(GREYLISTED,),
            expected="SMTP at rcpt, try again later",
        ),
        Case(
            title="connection refused",
            port=ports.nobody,
            expected="CONNECT at connect, try again later",
        ),
        Case(
            title="silent server",
            port=ports.silent,
            timeout=SILENT_TIMEOUT,
            expected="TIMEOUT at greeting, try again later",
        ),
        Case(
            title="dropped after the final dot",
            port=ports.dropping,
            expected="CONNECTION at dot, maybe_accepted",
        ),
    )


def verdict(outcome: Outcome) -> str:
    """Return an outcome in a few words, with the advice that follows from it."""
    if isinstance(outcome, SendFailure):
        advice = "try again later" if outcome.retryable else "do not try again"
        if outcome.maybe_accepted:
            advice = "maybe_accepted"
        return f"{outcome.kind.name} at {outcome.stage}, {advice}"
    accepted = sum(result.accepted for result in outcome.recipients)
    return f"success for {accepted} of {len(outcome.recipients)}"


def details(outcome: Outcome) -> str:
    """Return the server's replies, or the outcome's detail if there is none."""
    if isinstance(outcome, SendFailure):
        return outcome.detail if outcome.reply is None else str(outcome.reply)
    refused = [f"{r.address} {r.reply}" for r in outcome.recipients if not r.accepted]
    return "; refused: ".join([str(outcome.reply), *refused])


class View(AbstractContextManager["View", None], Protocol):
    """Shows the signals as they arrive."""

    def show(self, received: Received) -> None:
        """Show one more signal."""
        ...


class PlainLines:
    """One line for each signal: for pipes, files and logs."""

    def __init__(self, out: TextIO, todo: Sequence[Case]) -> None:
        self._out = out
        self._title_width = max(len(case.title) for case in todo)
        self._verdict_width = max(len(case.expected) for case in todo)

    def __enter__(self) -> Self:
        self._write("time", "email", "outcome", "details")
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def show(self, received: Received) -> None:
        """Write a line, at once."""
        self._write(
            f"{received.seconds:.2f} s",
            received.case.title,
            verdict(received.outcome),
            details(received.outcome),
        )

    def _write(self, seconds: str, title: str, what: str, more: str) -> None:
        self._out.write(
            f"{seconds:>6}  {title:{self._title_width}}  {what:{self._verdict_width}}  {more}\n"
        )
        # A pipe is buffered, and the demo is live.
        self._out.flush()


class LiveTable:
    """A table that fills as the signals arrive: for terminals."""

    def __init__(self, console: Console, todo: Sequence[Case]) -> None:
        self._todo = todo
        self._received: dict[str, Received] = {}
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        self._live.update(self._table(), refresh=True)
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()
        # rich ends with an escape sequence; the next output needs a line of its own.
        self._live.console.line()

    def show(self, received: Received) -> None:
        """Fill in a row, at once."""
        self._received[received.case.title] = received
        self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        # It must fit into a terminal of 80 columns and 24 lines.
        narrow = self._live.console.width < 110
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        table.add_column("time", width=6, justify="right")
        table.add_column("email", width=18 if narrow else None)
        table.add_column("outcome", width=19)
        table.add_column("details")
        for case in self._todo:
            received = self._received.get(case.title)
            if received is None:
                table.add_row("", case.title, Text("sending", style="dim"), "")
                continue
            # As Text, because rich would take an address literal in a str for markup.
            table.add_row(
                f"{received.seconds:.2f} s",
                case.title,
                Text(verdict(received.outcome).replace(", ", "\n"), style=_style(received.outcome)),
                Text(details(received.outcome)),
            )
        return table


def _style(outcome: Outcome) -> str:
    if isinstance(outcome, SendSuccess):
        return "yellow" if outcome.refused else "green"
    return "bold magenta" if isinstance(outcome, SendFailure) and outcome.maybe_accepted else "red"


def run(out: TextIO, err: TextIO) -> bool:
    """Run the demo.

    Args:
        out: gets the table and the closing line.
        err: gets a line for each unexpected outcome.

    Returns:
        Whether each email had exactly one outcome, and the expected one.

    Raises:
        OSError: the servers cannot be started, or the output is a closed pipe.
    """
    with running() as ports:
        todo = cases(ports)
        begun = time.monotonic()
        with _view(out, todo) as view:
            received = _send_and_listen(todo, view, begun)
    success = sum(isinstance(each.outcome, SendSuccess) for each in received)
    failure = sum(isinstance(each.outcome, SendFailure) for each in received)
    out.write(
        f"{len(todo)} sends, {success} success, {failure} failure,"
        f" {len(received)} signals, {time.monotonic() - begun:.1f} s\n"
    )
    out.flush()
    complaints = _complaints(todo, received)
    err.writelines(f"pykka-smtp demo: {complaint}\n" for complaint in complaints)
    return not complaints


def _view(out: TextIO, todo: Sequence[Case]) -> View:
    if out.isatty() and os.environ.get("TERM") != "dumb":
        return LiveTable(Console(file=out), todo)
    return PlainLines(out, todo)


def _send_and_listen(todo: Sequence[Case], view: View, begun: float) -> list[Received]:
    """Send all emails at once, and show their outcomes."""
    signals: queue.SimpleQueue[Received] = queue.SimpleQueue()
    all_received: list[Received] = []
    actors: list[pykka.ActorRef[SmtpActor]] = []

    def receive(_alias: str, outcome: Outcome, **_extra: object) -> None:
        # Runs on the thread for receivers; the view belongs to the main thread.
        seconds = time.monotonic() - begun
        signals.put(Received(case=outcome.context, outcome=outcome, seconds=seconds))

    with ExitStack() as exits:
        exits.enter_context(smtp_send_success.connected_to(receive, sender="demo"))
        exits.enter_context(smtp_send_failure.connected_to(receive, sender="demo"))
        # Also after Ctrl-C: stopping an actor cancels its send.
        exits.callback(_stop, actors)
        for case in todo:
            actor = SmtpActor.start(HOST, case.port, alias="demo", timeout=case.timeout, tls="off")
            actors.append(actor)
            actor.tell(_mail(case))
        while len(all_received) < len(todo):
            try:
                received = signals.get(timeout=max(0.0, begun + LIMIT - time.monotonic()))
            except queue.Empty:
                break
            all_received.append(received)
            view.show(received)
        # Until all actors have stopped, so that a surplus signal would be counted.
        _wait_for(actors)
        while not signals.empty():
            all_received.append(signals.get())
    return all_received


def _mail(case: Case) -> SendMail:
    return SendMail(
        sender="me@example.com",
        recipients=case.recipients,
        subject=case.title,
        body="1 2 3 4 5 6",
        context=case,
    )


def _stop(actors: Sequence[pykka.ActorRef[SmtpActor]]) -> None:
    for actor in actors:
        actor.stop(block=False)
    _wait_for(actors)


def _wait_for(actors: Sequence[pykka.ActorRef[SmtpActor]]) -> None:
    """Wait until the actors have sent QUIT and stopped, but not for long."""
    end = time.monotonic() + QUIT_TIMEOUT
    for actor in actors:
        actor.actor_stopped.wait(max(0.0, end - time.monotonic()))
    dispatcher.wait_idle(QUIT_TIMEOUT)


def _complaints(todo: Sequence[Case], received: Sequence[Received]) -> list[str]:
    """Return a line for each email whose outcome is not the expected one."""
    lines: list[str] = []
    for case in todo:
        verdicts = [verdict(each.outcome) for each in received if each.case is case]
        if verdicts != [case.expected]:
            came = ", ".join(verdicts) or "nothing"
            lines.append(f"{case.title}: expected {case.expected!r}, received {came!r}")
    return lines
