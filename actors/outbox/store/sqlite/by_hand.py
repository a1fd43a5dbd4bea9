"""What people do to emails in an outbox, and what time does."""

from typing import Any

from .looks import Looks
from .statements import json_of

_RETRIABLE = (
    "AND coalesce(is_sent, 0) = 0"
    " AND EXISTS (SELECT 1 FROM pykka_smtp_body b WHERE b.seq = pykka_smtp_mail.seq)"
)


class ByHand(Looks):
    """The part of a `SqliteStore` that is for people, and the retention."""

    def cancel(self, alias: str | None, name: str, outcome: str, now: float) -> bool:  # noqa: ARG002
        """See `Store`."""
        set_ = "state = 'told', owner = NULL, outcome = :outcome, is_sent = 0"
        return self._by_hand(alias, name, set_, "('ready', 'claimed', 'held')", outcome=outcome)

    def hold(self, alias: str | None, name: str) -> bool:
        """See `Store`."""
        return self._by_hand(alias, name, "state = 'held', owner = NULL", "('ready', 'claimed')")

    def release(self, alias: str | None, name: str, now: float) -> bool:
        """See `Store`."""
        # Not alone any more: whoever releases it has looked at it.
        set_ = "state = 'ready', owner = NULL, crashes = 0, due = max(due, :now)"
        return self._by_hand(alias, name, set_, "('held')", now=now)

    def retry(self, alias: str | None, name: str, now: float) -> bool:
        """See `Store`."""
        set_ = (
            # Its attempts stay: they say who has it already, and must not get it again. Of an email
            # that has failed, nobody has it, and none are there.
            "state = 'ready', owner = NULL, crashes = 0, due = :now, put_at = :now, put_off = 0,"
            " doubts = max(doubts, coalesce(json_extract(outcome, '$.maybe'), 0)), outcome = NULL,"
            " attempts = coalesce(json_extract(past, '$.count'), 0), expires = NULL,"
            " is_sent = NULL, ended_at = NULL"
        )
        which = "('ready', 'held', 'heard')"
        return self._by_hand(alias, name, set_, which, more=_RETRIABLE, now=now)

    def _by_hand(
        self, alias: str | None, name: str, set_: str, states: str, *, more: str = "", **args: Any
    ) -> bool:
        whose = "" if alias is None else " AND alias = :alias"
        done = self._db.execute(
            f"UPDATE pykka_smtp_mail SET {set_} WHERE seq IN ("
            f"SELECT seq FROM pykka_smtp_mail WHERE key = :name{whose}"
            " UNION SELECT seq FROM pykka_smtp_mail WHERE id = :name AND id <> key"
            f"{whose}) AND state IN {states} {more}",
            {"name": name, "alias": alias} | args,
        )
        return done.rowcount > 0

    def sweep(self, sent_before: float, failed_before: float, most: int) -> int:
        """See `Store`."""
        found = self._db.execute(
            "SELECT json_group_array(seq) FROM (SELECT seq FROM pykka_smtp_mail"
            " WHERE state = 'heard' AND is_sent = 1 AND ended_at < ? UNION ALL"
            " SELECT seq FROM pykka_smtp_mail"
            " WHERE state = 'heard' AND is_sent = 0 AND ended_at < ? LIMIT ?)",
            (sent_before, failed_before, most),
        ).fetchone()
        seqs: list[int] = json_of(found[0])
        for table in ("body", "mail") if seqs else ():
            self._db.execute(
                f"DELETE FROM pykka_smtp_{table} WHERE seq IN (SELECT value FROM json_each(?))",
                (str(seqs),),
            )
        self.bodies.is_to_collect = True
        return len(seqs)
