"""A table of emails by domain and age, as Postfix's qshape prints it."""

from collections import Counter
from typing import Any

from ...actors.outbox.store.outside.visit import domains_of
from ...actors.outbox.store.records import StoredMail
from .words import plural

_FIRST, _COUNT = 5, 9
LIMITS = tuple(_FIRST * 2**n for n in range(_COUNT))
"""Minutes: up to 5, 10, 20, … 1280; and a last column for what is older."""
_HEADS = ("T", *map(str, LIMITS), f"{LIMITS[-1]}+")
_WIDTH = 6
_MOST_DOMAINS = 100_000


class Shape:
    """Counts emails. One with recipients in several domains counts in each of these.

    Args:
        now: the time, in seconds of UTC.
    """

    def __init__(self, now: float) -> None:
        self._now = now
        self._total: Counter[int] = Counter()
        self._by_domain: dict[str, Counter[int]] = {}

    def add(self, mail: StoredMail) -> None:
        """Count an email."""
        minutes = (self._now - mail.put_at) / 60
        column = next((i for i, limit in enumerate(LIMITS) if minutes <= limit), len(LIMITS))
        self._total[column] += 1
        for domain in domains_of(mail):
            if domain not in self._by_domain and len(self._by_domain) >= _MOST_DOMAINS:
                domain = "(others)"  # noqa: PLW2901
            self._by_domain.setdefault(domain, Counter())[column] += 1

    def lines(self, most: int) -> list[str]:
        """Return the table.

        Args:
            most: domains at most.
        """
        rows = self._sorted()
        width = max([len("TOTAL"), *[min(len(domain), 60) for domain, _ in rows[:most]]])
        lines = [" " * width + "".join(f"{head:>{_WIDTH}}" for head in _HEADS)]
        lines += [
            _row(name, counts, width) for name, counts in [("TOTAL", self._total), *rows[:most]]
        ]
        if len(rows) > most:
            lines.append(f"... and {plural(len(rows) - most, 'domain')} more")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return the table as plain values: minutes, and counts up to each of these."""
        return {
            "minutes": [*LIMITS, None],
            "total": _cells(self._total),
            "domains": {domain: _cells(counts) for domain, counts in self._sorted()},
        }

    def _sorted(self) -> list[tuple[str, Counter[int]]]:
        return sorted(self._by_domain.items(), key=lambda row: (-row[1].total(), row[0]))


def _cells(counts: Counter[int]) -> list[int]:
    return [counts[column] for column in range(len(LIMITS) + 1)]


def _row(name: str, counts: Counter[int], width: int) -> str:
    cells = [counts.total(), *_cells(counts)]
    return f"{name[:width]:>{width}}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells)
