"""What the page is told: an outbox as plain values, for JSON."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...actors.outbox.rules.states import FROM, State, Step
from ...actors.outbox.store.outside.acting import BY_HAND
from ...actors.outbox.store.outside.page_looks import VIEWS, PageLooks
from ...smtp.words.verdict import FailureKind

MINUTES = 60
"""Minutes of the picture."""
_NEW = 3
"""Minutes that may still change: an outcome is in the file a moment after its time."""
_SHARE = 10
"""Times as long as a summary took, it is used: many pages cost a tenth of the time at most."""
_FRESH = 0.5
"""Seconds that a summary is used at least."""
_MOST_SHOWN = 20
"""Recipients of an email that are shown."""
_MAX_TEXT = 1_000
"""Characters of a text that are shown."""


class Overview:
    """Looks at an outbox for the page. From any thread: one looks at a time.

    Args:
        path: the file.
        clock: the time in seconds of UTC.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._looks = PageLooks(path)
        self._lock = threading.Lock()
        self._minutes: dict[int, tuple[int, int]] = {}
        self._counted_until = 0
        self._summary: dict[str, Any] = {}
        self._summary_until = 0.0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._looks.close()

    def look_anew(self) -> None:
        """Have the next look count again, as somebody has done something."""
        self._summary_until = 0.0

    def view(self, name: str, most: int) -> dict[str, Any]:
        """Return a summary, and the emails of a view.

        Args:
            name: one of `VIEWS`.
            most: how many emails at most.

        Raises:
            OutboxError: the file cannot be read.
        """
        with self._lock:
            with self._looks.reading():
                summary = self._summarized()
                seqs = self._looks.view(name, most + 1)
                emails = self._looks.emails(seqs[:most])
            return summary | {"emails": [_shown(e) for e in emails], "more": len(seqs) > most}

    def search(self, text: str, before: int | None, most: int) -> dict[str, Any]:
        """Return a summary, and the emails that have a text in their address, key, id or subject.

        Args:
            text: what to look for.
            before: where to go on: the ``next`` of the last search; or None.
            most: how many emails at most.

        Raises:
            OutboxError: the file cannot be read.
        """
        with self._lock:
            seqs, further = self._looks.search(text, before, most)
            with self._looks.reading():
                summary = self._summarized()
                emails = self._looks.emails(seqs)
            return summary | {"emails": [_shown(e) for e in emails], "next": further}

    def _summarized(self) -> dict[str, Any]:
        now = self._clock()
        begun = time.monotonic()
        if begun >= self._summary_until:
            self._summary = self._summarize(now)
            ended = time.monotonic()
            self._summary_until = ended + max(_FRESH, (ended - begun) * _SHARE)
            self._looks.allow()
        return self._summary | {"now": now}

    def _summarize(self, now: float) -> dict[str, Any]:
        looks = self._looks
        states = looks.counts()
        failed = looks.failed()
        alive, dead = looks.lives()
        return {
            "file": self._path.name,
            "folder": str(self._path.absolute().parent),
            "counts": {
                "waiting": states[State.READY],
                "working": states[State.CLAIMED] + states[State.DOT] + states[State.TOLD],
                "failed": failed,
                "doubts": len(looks.view("doubts", 500)),
                "held": states[State.HELD],
                "done": max(0, states[State.HEARD] - failed),
            },
            "lives": {"alive": alive, "dead": dead},
            "octets": looks.octets(),
            "oldest_due": looks.oldest_due(),
            "minutes": self._last_hour(now),
        }

    def _last_hour(self, now: float) -> dict[str, Any]:
        last = int(now // 60)
        first = last - MINUTES + 1
        begin = max(first, min(self._counted_until, last - _NEW))
        kept = {m: counts for m, counts in self._minutes.items() if first <= m < begin}
        self._minutes = kept | self._looks.minutes(begin, last + 1)
        self._counted_until = last
        counts = [self._minutes.get(minute, (0, 0)) for minute in range(first, last + 1)]
        return {
            "first": first * 60,
            "sent": [sent for sent, _ in counts],
            "failed": [failed for _, failed in counts],
        }


def _shown(email: Mapping[str, Any]) -> dict[str, Any]:
    """Return an email as the page shows it."""
    env, outcome = email["env"], email["outcome"]
    last: dict[str, Any] = outcome or email["past"].get("last") or {}
    everybody = [*(env.get("to") or ()), *(env.get("cc") or ()), *(env.get("bcc") or ())]
    results: list[Any] = outcome.get("recipients") or email["past"].get("results") or []
    plain = (
        *("seq", "id", "key", "alias", "state", "priority", "put_at", "due", "expires"),
        *("ended_at", "attempts", "doubts", "crashes", "size"),
    )
    return {name: email[name] for name in plain} | {
        "is_sent": None if email["is_sent"] is None else bool(email["is_sent"]),
        "at_least_once": bool(email["at_least_once"]),
        "maybe": bool(outcome.get("maybe")),
        "is_readable": bool(env) and "sealed" not in env,
        "sender": _text(env.get("from") or ""),
        "recipients": [_text(one) for one in everybody[:_MOST_SHOWN]],
        "recipient_count": len(everybody),
        "subject": _text(email["subject"]),
        "kind": _kind(last.get("kind")),
        "why": _text(last.get("detail") or _reply(last.get("reply"))),
        "refused": _refused(results)[:_MOST_SHOWN],
        "actions": _actions(email),
    }


def _actions(email: Mapping[str, Any]) -> list[str]:
    """Return what a person can do with an email."""
    state = State(email["state"])
    steps = [step for step in BY_HAND if state in FROM[step]]
    if not email["has_body"] or email["is_sent"]:
        steps = [step for step in steps if step is not Step.RETRY]
    return [step.value for step in steps]


def _refused(results: list[Any]) -> list[str]:
    """Return a line for each recipient that was not accepted."""
    lines: list[str] = []
    for address, accepted, reply, *rest in results:
        if not accepted:
            detail = rest[2] if len(rest) > 2 else ""
            lines.append(_text(f"{address}: {_reply(reply) or detail}"))
    return lines


def _reply(reply: list[Any] | None) -> str:
    return " ".join(map(str, reply)) if reply else ""


def _kind(number: int | None) -> str:
    if number is None:
        return ""
    return FailureKind(number).name if number in set(FailureKind) else str(number)


def _text(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def is_view(name: str) -> bool:
    """Whether there is such a view."""
    return name in VIEWS
