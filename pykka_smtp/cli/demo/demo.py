"""The demo: seven mails to servers good and bad, and what the signals say of each.

Everything happens on this machine, in this process, on the loopback interface. The mails are
sent all at once; the rows are written in the order in which the signals come.
"""

import os
import queue
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
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

SILENCE = 1.5
"""Seconds after which the demo gives the silent server up."""
PATIENCE = 5.0
"""Seconds that the other servers have for each step."""
LIMIT = 8.0
"""Seconds after which the demo waits for no more signals."""
FAREWELL = 1.0
"""Seconds that the actors have for QUIT, once all is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One mail of the demo.

    Attributes:
        title: what happens to it.
        port: where it is sent to.
        expected: what `verdict` should say of its outcome.
        recipients: whom it is for.
        timeout: the actor's, in seconds.
    """

    title: str
    port: int
    expected: str
    recipients: tuple[str, ...] = ("you@example.org",)
    timeout: float = PATIENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A signal that has come.

    Attributes:
        case: the case that the outcome is of.
        outcome: what the signal brought.
        seconds: how long after the start of the demo.
    """

    case: Case
    outcome: Outcome
    seconds: float


def cases(ports: Ports) -> tuple[Case, ...]:
    """Return the mails of the demo."""
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
            timeout=SILENCE,
            expected="TIMEOUT at greeting, try again later",
        ),
        Case(
            title="dropped after the final dot",
            port=ports.dropping,
            expected="CONNECTION at dot, maybe_accepted",
        ),
    )


def verdict(outcome: Outcome) -> str:
    """Say in a few words what became of a mail, and what follows for its sender."""
    if isinstance(outcome, SendFailure):
        advice = "try again later" if outcome.retryable else "do not try again"
        if outcome.maybe_accepted:
            advice = "maybe_accepted"
        return f"{outcome.kind.name} at {outcome.stage}, {advice}"
    accepted = sum(result.accepted for result in outcome.recipients)
    return f"success for {accepted} of {len(outcome.recipients)}"


def details(outcome: Outcome) -> str:
    """Return the server's own words, or ours where it had none."""
    if isinstance(outcome, SendFailure):
        return outcome.detail if outcome.reply is None else str(outcome.reply)
    refused = [f"{r.address} {r.reply}" for r in outcome.recipients if not r.accepted]
    return "; refused: ".join([str(outcome.reply), *refused])


class View(AbstractContextManager["View", None], Protocol):
    """Shows the signals as they come."""

    def show(self, heard: Heard) -> None:
        """Show one more signal."""
        ...


class PlainLines:
    """One line for each signal: for pipes, files and logs."""

    def __init__(self, out: TextIO, todo: Sequence[Case]) -> None:
        self._out = out
        self._title_width = max(len(case.title) for case in todo)
        self._verdict_width = max(len(case.expected) for case in todo)

    def __enter__(self) -> Self:
        self._write("time", "mail", "outcome", "details")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def show(self, heard: Heard) -> None:
        """Write a line, at once."""
        self._write(
            f"{heard.seconds:.2f} s",
            heard.case.title,
            verdict(heard.outcome),
            details(heard.outcome),
        )

    def _write(self, seconds: str, title: str, what: str, more: str) -> None:
        self._out.write(
            f"{seconds:>6}  {title:{self._title_width}}  {what:{self._verdict_width}}  {more}\n"
        )
        # A pipe is buffered; live means now.
        self._out.flush()


class LiveTable:
    """A table that fills while one looks at it: for terminals."""

    def __init__(self, console: Console, todo: Sequence[Case]) -> None:
        self._todo = todo
        self._heard: dict[str, Heard] = {}
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        self._live.update(self._table(), refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
        # rich ends with an escape sequence; what comes next has a line of its own.
        self._live.console.line()

    def show(self, heard: Heard) -> None:
        """Fill in a row, at once."""
        self._heard[heard.case.title] = heard
        self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        # A terminal of 80 columns and 24 lines has to hold all of it.
        narrow = self._live.console.width < 110
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        table.add_column("time", width=6, justify="right")
        table.add_column("mail", width=18 if narrow else None)
        table.add_column("outcome", width=19)
        table.add_column("details")
        for case in self._todo:
            heard = self._heard.get(case.title)
            if heard is None:
                table.add_row("", case.title, Text("sending", style="dim"), "")
                continue
            # As Text, not str: rich would take an address literal for markup.
            table.add_row(
                f"{heard.seconds:.2f} s",
                case.title,
                Text(verdict(heard.outcome).replace(", ", "\n"), style=_style(heard.outcome)),
                Text(details(heard.outcome)),
            )
        return table


def _style(outcome: Outcome) -> str:
    if isinstance(outcome, SendSuccess):
        return "yellow" if outcome.refused else "green"
    return "bold magenta" if isinstance(outcome, SendFailure) and outcome.maybe_accepted else "red"


def run(out: TextIO, err: TextIO) -> bool:
    """Run the demo.

    Args:
        out: where the table and the closing line go.
        err: where it is told if something was not as it should be.

    Returns:
        Whether each mail had exactly one outcome, and the right one.

    Raises:
        OSError: the servers cannot be started, or nobody reads the output any more.
    """
    with running() as ports:
        todo = cases(ports)
        begun = time.monotonic()
        with _view(out, todo) as view:
            heard = _send_and_listen(todo, view, begun)
    success = sum(isinstance(each.outcome, SendSuccess) for each in heard)
    failure = sum(isinstance(each.outcome, SendFailure) for each in heard)
    out.write(
        f"{len(todo)} sends, {success} success, {failure} failure,"
        f" {len(heard)} signals, {time.monotonic() - begun:.1f} s\n"
    )
    out.flush()
    complaints = _complaints(todo, heard)
    err.writelines(f"pykka-smtp demo: {complaint}\n" for complaint in complaints)
    return not complaints


def _view(out: TextIO, todo: Sequence[Case]) -> View:
    if out.isatty() and os.environ.get("TERM") != "dumb":
        return LiveTable(Console(file=out), todo)
    return PlainLines(out, todo)


def _send_and_listen(todo: Sequence[Case], view: View, begun: float) -> list[Heard]:
    """Send all the mails at once, and show what is heard of them."""
    signals: queue.SimpleQueue[Heard] = queue.SimpleQueue()
    all_heard: list[Heard] = []
    actors: list[pykka.ActorRef[SmtpActor]] = []

    def hear(_alias: str, outcome: Outcome, **_extra: object) -> None:
        # Runs on the thread for receivers. The view belongs to this one.
        seconds = time.monotonic() - begun
        signals.put(Heard(case=outcome.context, outcome=outcome, seconds=seconds))

    with ExitStack() as exits:
        exits.enter_context(smtp_send_success.connected_to(hear, sender="demo"))
        exits.enter_context(smtp_send_failure.connected_to(hear, sender="demo"))
        # Also when Ctrl-C comes: who stops an actor ends its send.
        exits.callback(_stop, actors)
        for case in todo:
            actor = SmtpActor.start(HOST, case.port, alias="demo", timeout=case.timeout, tls="off")
            actors.append(actor)
            actor.tell(_mail(case))
        while len(all_heard) < len(todo):
            try:
                heard = signals.get(timeout=max(0.0, begun + LIMIT - time.monotonic()))
            except queue.Empty:
                break
            all_heard.append(heard)
            view.show(heard)
        # Until all is over: a signal too many would be counted.
        _wait_for(actors)
        while not signals.empty():
            all_heard.append(signals.get())
    return all_heard


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
    """Wait until the actors have taken their leave of the servers, but not for long."""
    end = time.monotonic() + FAREWELL
    for actor in actors:
        actor.actor_stopped.wait(max(0.0, end - time.monotonic()))
    dispatcher.wait_idle(FAREWELL)


def _complaints(todo: Sequence[Case], heard: Sequence[Heard]) -> list[str]:
    """Return a line for each thing that was not as it should be."""
    lines: list[str] = []
    for case in todo:
        verdicts = [verdict(each.outcome) for each in heard if each.case is case]
        if verdicts != [case.expected]:
            came = ", ".join(verdicts) or "nothing"
            lines.append(f"{case.title}: expected {case.expected!r}, heard {came!r}")
    return lines
