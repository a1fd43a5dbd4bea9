"""``pykka-smtp outbox check``: whether the file is whole, and whether its emails go out in time."""

import argparse
import time
from pathlib import Path
from typing import Any, TextIO

from ...actors.outbox.store.errors import RAISED, error_of
from ...actors.outbox.store.outside.visit import Visit
from ..output.printable import print_lines
from .arguments import STATES
from .patience import Patience
from .words import duration, plural, print_json

OK, WARNING, CRITICAL = range(3)
_WORDS = ("OK", "WARNING", "CRITICAL")
_MOST = 1_000


class _Findings:
    """What was found.

    Attributes:
        status: the exit status.
        texts: a line each.
        figures: for ``--json``.
    """

    def __init__(self) -> None:
        self.status = OK
        self.texts: list[str] = []
        self.figures: dict[str, Any] = {}

    def add(self, status: int, text: str) -> None:
        """Add a flaw."""
        self.status = max(self.status, status)
        self.texts.append(f"{_WORDS[status].lower()}: {text}")


def run(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    """Check a file, and print what is wrong.

    Args:
        options: what `arguments` has parsed.
        out: gets the findings.
        err: gets a line from time to time while it takes long.

    Returns:
        0, 1 or 2, as monitors have it.

    Raises:
        BrokenPipeError: the reader of `out` has gone.
    """
    findings = _Findings()
    try:
        with Visit(Path(options.path)) as visit:
            _check_times(options, visit, findings)
            _check_lives(visit, findings)
            if not options.quick:
                visit.watch(Patience(err, "checking the whole file").look)
                _check_pages(visit, findings)
    except (*RAISED, ValueError) as error:
        findings.add(CRITICAL, str(error_of(error, options.path)))
    word = _WORDS[findings.status]
    if options.json:
        texts = {"status": word, "exit": findings.status, "findings": findings.texts}
        print_json(out, texts | findings.figures)
    else:
        print_lines(out, f"{word} {_summary(findings.figures)}", *findings.texts, most=_MOST)
    return findings.status


def _summary(figures: dict[str, Any]) -> str:
    counts = figures.get("counts")
    if counts is None:
        return "the outbox cannot be read"
    few = ", ".join(f"{counts[state]} {state}" for state in STATES)
    late = figures["late"]
    return few + (f"; the oldest is {duration(late)} late" if late else "")


def _check_times(options: argparse.Namespace, visit: Visit, findings: _Findings) -> None:
    now = time.time()
    counts = visit.counts()
    due, told = visit.oldest()
    late = 0.0 if due is None else max(0.0, now - due)
    unheard = 0.0 if told is None else max(0.0, now - told)
    findings.figures |= {"counts": counts, "octets": visit.octets()}
    findings.figures |= {"late": round(late, 3), "unheard": round(unheard, 3)}
    if late >= options.late:
        status = CRITICAL if late >= options.very_late else WARNING
        findings.add(status, f"an email was due {duration(late)} ago: does a process send?")
    if unheard >= options.late:
        text = "has an outcome that nobody has heard: does an Outbox with its alias run?"
        findings.add(WARNING, f"an email that was put {duration(unheard)} ago {text}")
    if counts["held"] > options.max_held:
        is_one = counts["held"] == 1
        text = f"{plural(counts['held'], 'email')} {'is' if is_one else 'are'} held"
        findings.add(
            WARNING, f"{text} until somebody releases or cancels {'it' if is_one else 'them'}"
        )


def _check_lives(visit: Visit, findings: _Findings) -> None:
    lives = visit.lives()
    alive = [life for life in lives if life[3]]
    dead = [life for life in lives if not life[3]]
    findings.figures |= {"lives": len(alive), "dead": len(dead)}
    if not dead:
        return
    who = ", ".join(f"{pid} ({alias})" for _, pid, alias, _ in dead[:5])
    more = f" and {len(dead) - 5} more" if len(dead) > 5 else ""
    text = f"{plural(len(dead), 'process', 'processes')} died: {who}{more};"
    if alive:  # within a second; this may be that very second
        findings.texts.append(f"note: {text} another is about to take over what they had")
    else:
        findings.add(WARNING, f"{text} the next that starts takes over what they had")


def _check_pages(visit: Visit, findings: _Findings) -> None:
    flaws = visit.flaws()
    findings.figures["flaws"] = len(flaws)
    for flaw in flaws:
        findings.add(CRITICAL, f"the file is damaged: {flaw}")
    if flaws:
        return  # more would be found that is not there
    bodies, mails = visit.strays()
    findings.figures |= {"bodies_without_email": bodies, "emails_without_body": mails}
    if bodies:
        findings.add(WARNING, f"{plural(bodies, 'body has', 'bodies have')} no email")
    if mails:
        findings.add(CRITICAL, f"{plural(mails, 'email has', 'emails have')} lost the body")
    _check_files(visit, findings)


def _check_files(visit: Visit, findings: _Findings) -> None:
    """Look at the bodies that are in files of their own."""
    extra, flaws = visit.files()
    findings.figures |= {"files_without_email": extra, "files_damaged": len(flaws)}
    for flaw in flaws:
        findings.add(CRITICAL, f"an email cannot be sent: {flaw}")
    if extra:
        text = f"{plural(extra, 'file', 'files')} in {visit.bodies.folder.name} of no email:"
        findings.texts.append(f"note: {text} a running Outbox removes what nobody needs")
