"""``pykka-smtp outbox list``: emails, a line each; or how many there are by domain and age."""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ...actors.outbox.store.outside.visit import UNLIMITED, Visit
from ...actors.outbox.store.records import StoredMail
from ..output.printable import print_lines
from .arguments import STATES
from .sealing import seals_of
from .shape import Shape
from .words import duration, mail_as_dict, plural, print_json, recipients, size

_LIMIT = 100
_WIDTHS = "{:<7}  {:>4}  {:>5}  {:>6}  {}"


def run(options: argparse.Namespace, out: TextIO, _err: TextIO) -> int:
    """Print what is in the file.

    Args:
        options: what `arguments` has parsed.
        out: gets it.

    Returns:
        The exit status.

    Raises:
        OutboxError: the file cannot be read.
        BrokenPipeError: the reader of `out` has gone.
    """
    now = time.time()
    with Visit(Path(options.path), seals=seals_of(options)) as visit:
        if options.shape:
            _print_shape(options, visit, now, out)
        elif options.keys:
            for mail in filtered(options, visit, now, options.limit or UNLIMITED):
                print_lines(out, mail.key)
        elif options.json:
            _print_json(filtered(options, visit, now, options.limit or UNLIMITED), out)
        else:
            _print_mails(options, visit, now, out)
    return 0


def filtered(
    options: argparse.Namespace, visit: Visit, now: float, limit: int = UNLIMITED
) -> Iterator[StoredMail]:
    """Yield the emails that the options mean.

    Args:
        options: what `arguments` has parsed.
        visit: the file.
        now: the time, in seconds of UTC.
        limit: how many at most.
    """
    states = {"states": options.state} if options.state else {}
    return visit.mails(
        **states,
        alias=options.alias,
        before=None if options.older is None else now - options.older,
        domain=options.domain,
        recipient=options.to,
        limit=limit,
    )


def _print_shape(options: argparse.Namespace, visit: Visit, now: float, out: TextIO) -> None:
    shape = Shape(now)
    for mail in filtered(options, visit, now):
        shape.add(mail)
    if options.json:
        print_json(out, shape.as_dict())
    else:
        print_lines(out, *shape.lines(options.limit or _LIMIT))


def _print_json(mails: Iterator[StoredMail], out: TextIO) -> None:
    """Print an array, an email a line, as they come: there may be a million."""
    is_first = True
    for mail in mails:
        text = json.dumps(mail_as_dict(mail))
        print_lines(out, f"{'[' if is_first else ','}{text}", most=len(text) + 1)
        is_first = False
    print_lines(out, "[]" if is_first else "]")


def _print_mails(options: argparse.Namespace, visit: Visit, now: float, out: TextIO) -> None:
    limit = options.limit or _LIMIT
    mails = list(filtered(options, visit, now, limit + 1))
    if mails:
        print_lines(
            out, _WIDTHS.format("STATE", "AGE", "TRIES", "SIZE", "KEY, SENDER > RECIPIENTS")
        )
    for mail in mails[:limit]:
        print_lines(out, *_lines(mail, now))
    if len(mails) > limit:
        print_lines(out, f"... and more than these {limit}; --limit N shows others")
    counts = visit.counts()
    in_states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    total = plural(sum(counts.values()), "email")
    print_lines(out, f"{total} in the file{': ' if in_states else ''}{in_states}")


def _lines(mail: StoredMail, now: float) -> Iterator[str]:
    who = f"{mail.key}  {mail.sender} > {recipients(mail)}"
    age = duration(now - mail.put_at)
    yield _WIDTHS.format(mail.state, age, mail.attempts, size(mail.size), who)
    notes: list[str] = []
    if mail.state == "ready" and mail.due > now:
        notes.append(f"next in {duration(mail.due - now)}")
    if mail.doubts:
        notes.append(f"{plural(mail.doubts, 'attempt')} may have been accepted")
    if mail.crashes:
        notes.append(f"{plural(mail.crashes, 'process', 'processes')} died with it")
    if mail.detail:
        notes.append(mail.detail)
    if notes:
        yield f"         {'; '.join(notes)}"
