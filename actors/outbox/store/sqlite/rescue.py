"""Lives that have died, and the emails that they left."""

import contextlib
import os
import re
from collections.abc import Collection, Sequence

from ...rules.states import ALONE_AFTER
from ..clock import boot
from ..locks import is_locked
from ..notes import read_notes
from ..records import Ending, Later, Rescue, Row
from ..wake import remove_wake_socket
from .file import life_file
from .looks import Looks
from .statements import OWNED, json_of

_TRACE = re.compile(r"-(?:life-([0-9]{1,18})|wake-([0-9]{1,18})-[a-z]+)", re.ASCII)


class Rescues(Looks):
    """The part of a `SqliteStore` that looks after the dead."""

    life: int

    def dead_lives(self) -> list[int]:
        """See `Store`."""
        others = self._db.execute("SELECT id FROM pykka_smtp_life WHERE id <> ?", (self.life,))
        lives = [i for (i,) in others.fetchall()]
        # Also of lives that nobody knows any more: somebody has removed their locks, perhaps.
        lives += self._owners().difference(lives, (self.life,))
        return [life for life in lives if not is_locked(life_file(self.path, life))]

    def _owners(self) -> set[int]:
        """Return the lives that own emails, with one step for each and not for each email."""
        owners: set[int] = set()
        for state in ("claimed", "dot", "told"):
            last: int | None = 0
            while last is not None:
                [last] = self._db.execute(
                    "SELECT min(owner) FROM pykka_smtp_mail"
                    f" WHERE {OWNED} AND state = ? AND owner > ?",
                    (state, last),
                ).fetchone()
                owners.update(() if last is None else (last,))
        return owners

    def owned(self) -> list[int]:
        """See `Store`."""
        found = self._db.execute(
            f"SELECT json_group_array(seq) FROM pykka_smtp_mail WHERE {OWNED} AND owner = ?",
            (self.life,),
        ).fetchone()
        owned: list[int] = json_of(found[0])
        return owned

    def reconcile(self, claimed: Collection[int], published: Collection[int]) -> list[Row]:
        """See `Store`."""
        its = f"{OWNED} AND owner = ? AND seq NOT IN (SELECT value FROM json_each(?))"
        doubtful = self._db.execute(
            "SELECT json_group_array(seq) FROM pykka_smtp_mail"
            f" WHERE state = 'dot' AND NOT at_least_once AND {its}",
            (self.life, str(list(claimed))),
        ).fetchone()
        for states, left, known in (
            ("'claimed'", "state = 'ready', owner = NULL", claimed),
            ("'dot'", "state = 'ready', owner = NULL, doubts = doubts + 1", claimed),
            ("'told'", "owner = NULL", published),
        ):
            more = " AND at_least_once" if states == "'dot'" else ""
            self._db.execute(
                f"UPDATE pykka_smtp_mail SET {left} WHERE state IN ({states}) AND {its}{more}",
                (self.life, str(list(known))),
            )
        return self._rows(json_of(doubtful[0]))

    def rescue(self, lives: Sequence[int], most: int) -> Rescue:
        """See `Store`."""
        db, dead = self._db, str(list(lives))
        for life in lives:
            for note in read_notes(life_file(self.path, life), boot()):
                self._write_noted(life, note)
        found = db.execute(
            "SELECT json_group_array(seq) FROM (SELECT seq FROM pykka_smtp_mail"
            f" WHERE {OWNED} AND owner IN (SELECT value FROM json_each(?)) LIMIT ?)",
            (dead, most),
        ).fetchone()
        its, left = "seq IN (SELECT value FROM json_each(?))", found[0]
        rescue = Rescue(list(lives), is_over=len(json_of(left)) < most)
        db.execute(
            "UPDATE pykka_smtp_mail SET owner = NULL, replays = replays + 1"
            f" WHERE state = 'told' AND {its}",
            (left,),
        )
        doubtful = db.execute(
            "SELECT json_group_array(seq) FROM pykka_smtp_mail"
            f" WHERE state = 'dot' AND NOT at_least_once AND {its}",
            (left,),
        ).fetchone()
        seqs: list[int] = json_of(doubtful[0])
        if seqs:
            db.execute(
                "UPDATE pykka_smtp_mail SET owner = ?, crashes = crashes + 1"
                " WHERE seq IN (SELECT value FROM json_each(?))",
                (self.life, str(seqs)),
            )
            rescue.in_doubt = self._rows(seqs)
        its = f"{its} AND owner <> {self.life}"
        rescue.held = db.execute(
            "UPDATE pykka_smtp_mail SET state = 'held', owner = NULL, crashes = crashes + 1,"
            f" doubts = doubts + 1 WHERE state = 'dot' AND crashes >= {ALONE_AFTER} AND {its}",
            (left,),
        ).rowcount
        rescue.ready = db.execute(
            "UPDATE pykka_smtp_mail SET owner = NULL,"
            " doubts = doubts + (state = 'dot'),"
            f" crashes = CASE WHEN state = 'dot' OR crashes < {ALONE_AFTER} THEN crashes + 1"
            " ELSE crashes END, state = 'ready'"
            f" WHERE state IN ('claimed', 'dot') AND {its}",
            (left,),
        ).rowcount
        # Even if there are more: owned by nobody, these are still found. And outcomes for it are
        # published elsewhere from now on.
        self._forget_lives(lives)
        return rescue

    def _forget_lives(self, lives: Sequence[int]) -> None:
        self._db.execute(
            "DELETE FROM pykka_smtp_life WHERE id IN (SELECT value FROM json_each(?))",
            (str(list(lives)),),
        )

    def remove_traces(self, lives: Sequence[int]) -> None:
        """See `Store`."""
        for life in lives:
            with contextlib.suppress(OSError):
                life_file(self.path, life).unlink()
            remove_wake_socket(self.path, life)

    def remove_strays(self) -> None:
        """Remove traces of lives that the file does not know any more. While no life can begin.

        Whoever forgot them died before it had removed these; or the file was another one then.
        """
        lives: set[int] = set()
        with os.scandir(self.path.parent) as entries:
            for entry in entries:
                if entry.name.startswith(self.path.name):
                    found = _TRACE.fullmatch(entry.name, len(self.path.name))
                    lives.update(int(life) for life in (found.groups() if found else ()) if life)
        lives.discard(self.life)
        if not lives:
            return
        known = {life for (life,) in self._db.execute("SELECT id FROM pykka_smtp_life").fetchall()}
        for life in lives - known - self._owners():
            with contextlib.suppress(OSError):  # another user's: nobody can tell
                if not is_locked(life_file(self.path, life)):
                    self.remove_traces([life])

    def _write_noted(self, life: int, note: Ending | Later) -> None:
        """Write an outcome that a dead life had noted, unless it has written it itself."""
        where = "WHERE seq = ? AND owner = ? AND state IN ('claimed', 'dot')"
        if isinstance(note, Ending):
            self._db.execute(
                "UPDATE pykka_smtp_mail SET state = 'told', outcome = ?, is_sent = ?, past = NULL,"
                f" owner = NULL {where}",
                (note.outcome, note.is_sent, note.seq, life),
            )
        else:
            self._db.execute(
                "UPDATE pykka_smtp_mail SET state = 'ready', owner = NULL, put_off = 1, due = ?1,"
                " past = ?2, doubts = ?3, attempts = coalesce(json_extract(?2, '$.count'), 0)"
                " WHERE seq = ?4 AND owner = ?5 AND state IN ('claimed', 'dot')",
                (note.due, note.past, note.doubts, note.seq, life),
            )
