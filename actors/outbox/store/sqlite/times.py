"""What time does to emails in an outbox: they expire, and clocks are set."""

import dataclasses
import json

from ...rules.clocks import SLACK, ClockNote, step_between
from ..records import Row
from .statements import json_of
from .steps import Steps

_WAITS = "state IN ('ready', 'held') AND expires IS NOT NULL AND expires <= ?"
_CLOCK = "clock"


class Times(Steps):
    """The part of a `SqliteStore` that looks at the clock."""

    def has_expired(self, now: float) -> bool:
        """See `Store`."""
        sql = f"SELECT EXISTS (SELECT 1 FROM pykka_smtp_mail WHERE {_WAITS})"
        [is_any] = self._db.execute(sql, (now,)).fetchone()
        return bool(is_any)

    def take_expired(self, now: float, most: int) -> list[Row]:
        """See `Store`."""
        found = self._db.execute(
            "SELECT json_group_array(seq) FROM (SELECT seq FROM pykka_smtp_mail"
            f" WHERE {_WAITS} ORDER BY expires LIMIT ?)",
            (now, most),
        ).fetchone()
        seqs: list[int] = json_of(found[0])
        self._db.execute(
            "UPDATE pykka_smtp_mail SET state = 'claimed', owner = ?"
            " WHERE seq IN (SELECT value FROM json_each(?))",
            (self.life, str(seqs)),
        )
        return self._rows(seqs)

    def follow_clock(
        self, seen: ClockNote | None, is_now: ClockNote, now: float, longest: float
    ) -> float:
        """See `Store`."""
        noted = self._noted_clock()
        step = step_between(noted, seen, is_now)
        if step:
            self._shift(step, now)
        self._clamp(now, longest)
        if step or noted is None or noted.boot != is_now.boot:
            self._db.execute(
                "INSERT OR REPLACE INTO pykka_smtp_meta VALUES (?, ?)",
                (_CLOCK, json.dumps(dataclasses.asdict(is_now))),
            )
        return step

    def _noted_clock(self) -> ClockNote | None:
        row = self._db.execute(
            "SELECT value FROM pykka_smtp_meta WHERE key = ?", (_CLOCK,)
        ).fetchone()
        return None if row is None else ClockNote(**json.loads(row[0]))

    def _shift(self, step: float, now: float) -> None:
        """Move with the clock what was counted from it, but no time that somebody has chosen."""
        # Not emails that were put after it was set forward. When it was set back, these cannot be
        # told from older ones; they are due then, at worst a moment too early.
        before = now - step + SLACK if step > 0 else float("inf")
        self._db.execute(
            "UPDATE pykka_smtp_mail SET put_at = put_at + :step,"
            " due = due + :step * (put_off OR due = put_at)"
            " WHERE state IN ('ready', 'claimed', 'dot', 'held') AND put_at <= :before",
            {"step": step, "before": before},
        )

    def _clamp(self, now: float, longest: float) -> None:
        """Let nothing wait longer than it can have to: a clock that was wrong is right now."""
        for priority in self._priorities():
            its = "state = 'ready' AND priority = :priority AND due > :now"
            values = {"now": now, "priority": priority, "last": now + longest}
            self._db.execute(
                "UPDATE pykka_smtp_mail SET due = :now, put_at = :now"
                f" WHERE {its} AND NOT put_off AND due = put_at",
                values,
            )
            self._db.execute(
                "UPDATE pykka_smtp_mail SET due = :last WHERE state = 'ready'"
                " AND priority = :priority AND due > :last AND put_off",
                values,
            )
