"""What the operator's page shows of an outbox: views, search, the last hour."""

import email.header
import email.parser
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..sqlite.statements import OWNED, like_in_json
from .reader import Reader

MOST = 500
"""Emails that one look returns at most."""
_NEWEST = 20_000
"""Finished emails among which doubts are looked for."""
_WINDOW = 2_000
"""Emails that one statement of a search reads: each is short, for the sake of the log."""
_SEARCH = 1.0
"""Seconds of one search; it can be continued."""
_HEAD = 8_192
"""Octets of a complete message that are read for its subject."""
_KEPT = 4_000
"""Subjects that are kept."""

_HEARD_BAD = (
    "SELECT seq, ended_at AS at FROM pykka_smtp_mail WHERE state = 'heard' AND is_sent = 0{}"
    " ORDER BY ended_at DESC LIMIT {}"
)
_TOLD = f"{OWNED} AND state = 'told'"
_MAYBE = "coalesce(json_extract(outcome, '$.maybe'), 0)"
VIEWS: dict[str, str] = {
    "waiting": (
        "SELECT seq FROM pykka_smtp_mail WHERE state = 'ready' AND priority = :priority"
        " ORDER BY due, seq LIMIT :most"
    ),
    "working": (f"SELECT seq FROM pykka_smtp_mail WHERE {OWNED} ORDER BY seq LIMIT :most"),
    "failed": (
        "SELECT seq FROM (SELECT seq, 9e99 AS at FROM pykka_smtp_mail"
        f" WHERE {_TOLD} AND is_sent = 0"
        f" UNION ALL SELECT * FROM ({_HEARD_BAD.format('', ':most')}))"
        " ORDER BY at DESC, seq DESC LIMIT :most"
    ),
    "doubts": (
        "SELECT seq FROM (SELECT seq FROM pykka_smtp_mail WHERE state = 'ready' AND doubts > 0"
        f" UNION SELECT seq FROM pykka_smtp_mail WHERE {OWNED} AND (doubts > 0 OR {_MAYBE})"
        " UNION SELECT seq FROM pykka_smtp_mail WHERE state = 'held' AND doubts > 0"
        " UNION SELECT seq FROM (SELECT seq, doubts, outcome FROM pykka_smtp_mail"
        f" WHERE state = 'heard' AND is_sent = 0 ORDER BY ended_at DESC LIMIT {_NEWEST})"
        f" WHERE doubts > 0 OR {_MAYBE}"
        " UNION SELECT seq FROM (SELECT seq, doubts FROM pykka_smtp_mail"
        f" WHERE state = 'heard' AND is_sent = 1 ORDER BY ended_at DESC LIMIT {_NEWEST})"
        " WHERE doubts > 0) ORDER BY seq DESC LIMIT :most"
    ),
    "held": "SELECT seq FROM pykka_smtp_mail WHERE state = 'held' ORDER BY seq LIMIT :most",
    "done": (
        "SELECT seq FROM pykka_smtp_mail WHERE state = 'heard' AND is_sent = 1"
        " ORDER BY ended_at DESC LIMIT :most"
    ),
}
"""A statement for each view: through an index, and no further than `most`."""

_NAMES = (
    *("seq", "id", "key", "alias", "state", "priority", "put_at", "due", "expires", "ended_at"),
    *("attempts", "doubts", "crashes", "size", "is_sent", "at_least_once"),
)
_ALIASES = (
    "WITH RECURSIVE a(v) AS (SELECT min(alias) FROM pykka_smtp_mail UNION ALL"
    " SELECT (SELECT min(alias) FROM pykka_smtp_mail WHERE alias > v) FROM a WHERE v IS NOT NULL"
    " LIMIT 1000)"
)


class PageLooks(Reader):
    """The `Reader` of the operator's page. Each method that looks is for within `reading`."""

    _subjects: dict[int, tuple[str, str]]

    def view(self, name: str, most: int) -> list[int]:
        """Return the numbers of the emails of a view.

        Args:
            name: one of `VIEWS`.
            most: how many at most.
        """
        most = min(most, MOST)
        seqs: list[int] = []
        # One statement for each priority goes through the index; one for all would sort.
        for priority in self._priorities() if name == "waiting" else (0,):
            wanted = {"most": most - len(seqs), "priority": priority}
            seqs += [seq for (seq,) in self._db.execute(VIEWS[name], wanted).fetchall()]
        return seqs

    def _priorities(self) -> list[int]:
        """Return the priorities of emails that wait, the highest first."""
        one = "SELECT max(priority) FROM pykka_smtp_mail WHERE state = 'ready'"
        found = self._db.execute(
            f"WITH RECURSIVE p(v) AS ({one} UNION ALL SELECT ({one} AND priority < v) FROM p"
            " WHERE v IS NOT NULL) SELECT v FROM p WHERE v IS NOT NULL"
        )
        return [priority for (priority,) in found.fetchall()]

    def failed(self) -> int:
        """Return how many emails have failed, and are kept."""
        [count] = self._db.execute(
            "SELECT (SELECT count(*) FROM pykka_smtp_mail WHERE state = 'heard' AND is_sent = 0)"
            f" + (SELECT count(*) FROM pykka_smtp_mail WHERE {_TOLD} AND is_sent = 0)"
        ).fetchone()
        return int(count)

    def minutes(self, begin: int, end: int) -> dict[int, tuple[int, int]]:
        """Return how many emails succeeded and failed in each minute.

        Args:
            begin: the first minute, since 1970 in UTC.
            end: the one after the last.
        """
        found: dict[int, list[int]] = {}
        for is_sent in (1, 0):
            rows = self._db.execute(
                "SELECT CAST(ended_at / 60 AS INTEGER), count(*) FROM pykka_smtp_mail"
                " WHERE state = 'heard' AND is_sent = ? AND ended_at >= ? AND ended_at < ?"
                " GROUP BY 1",
                (is_sent, begin * 60.0, end * 60.0),
            )
            for minute, count in rows.fetchall():
                found.setdefault(minute, [0, 0])[1 - is_sent] = count
        return {minute: (sent, failed) for minute, (sent, failed) in found.items()}

    def oldest_due(self) -> float | None:
        """Return since when the email is due that waits longest, in seconds of UTC; or None."""
        first = (
            "SELECT due FROM pykka_smtp_mail WHERE state = 'ready' AND priority = ?"
            " ORDER BY due, seq LIMIT 1"
        )
        return min(
            (self._db.execute(first, (one,)).fetchone()[0] for one in self._priorities()),
            default=None,
        )

    def emails(self, seqs: Sequence[int]) -> list[dict[str, Any]]:
        """Return what is known of emails, in this order; those that are gone are left out."""
        rows = self._db.execute(
            f"SELECT {', '.join(_NAMES)}, EXISTS (SELECT 1 FROM pykka_smtp_body b"
            " WHERE b.seq = pykka_smtp_mail.seq), outcome, past, env FROM pykka_smtp_mail"
            " WHERE seq IN (SELECT value FROM json_each(?))",
            (str(list(seqs)),),
        ).fetchall()
        made: dict[int, dict[str, Any]] = {}
        for *values, has_body, outcome, past, env in rows:
            row = dict(zip(_NAMES, values, strict=True))
            row |= {"has_body": bool(has_body), "outcome": _json(outcome), "past": _json(past)}
            written = _json(env)
            row |= {"env": written, "subject": self._subject(row["seq"], row["id"], written)}
            made[row["seq"]] = row
        return [made[seq] for seq in seqs if seq in made]

    def _subject(self, seq: int, name: str, env: dict[str, Any]) -> str:
        if env.get("kind") != "complete":
            return str(env.get("subject") or "")
        kept = self.__dict__.setdefault("_subjects", {})
        if seq not in kept or kept[seq][0] != name:
            while len(kept) >= _KEPT:
                del kept[next(iter(kept))]
            kept[seq] = (name, self._written_subject(seq))
        return str(kept[seq][1])

    def _written_subject(self, seq: int) -> str:
        """Return the subject of a complete message. Its body may be long: only its head is read."""
        known = self._db.execute("SELECT 1 FROM pykka_smtp_body WHERE seq = ?", (seq,)).fetchone()
        if known is None:
            return ""
        with self._db.blobopen("pykka_smtp_body", "data", seq, readonly=True) as blob:
            head = blob.read(_HEAD)
        return subject_of(head)

    def search(self, text: str, before: int | None, most: int) -> tuple[list[int], int | None]:
        """Search emails by a key, an id, a subject, or a part of an address; the newest first.

        Not within `reading`: it reads a part at a time.

        Args:
            text: what to look for.
            before: where to go on; None to begin.
            most: how many to return at most.

        Returns:
            Their numbers, and where to go on; None if that was all.
        """
        most = min(most, MOST)
        found: list[int] = []
        if before is None:
            exact = (
                f"{_ALIASES} SELECT m.seq FROM a JOIN pykka_smtp_mail m ON m.alias = a.v"
                " AND m.key = :text UNION SELECT seq FROM pykka_smtp_mail"
                " WHERE id = :text AND id <> key LIMIT :most"
            )
            with self.reading():
                rows = self._db.execute(exact, {"text": text, "most": most})
                found = [seq for (seq,) in rows.fetchall()]
        until = time.monotonic() + _SEARCH
        while True:
            with self.reading():
                window = self._window(text, before)
            if window is None:
                return found, None
            before, matches = window
            new = [seq for seq in matches if seq not in found][: most - len(found)]
            found += new
            if len(found) >= most:
                return found, new[-1] if new else before
            if time.monotonic() > until:
                return found, before

    def _window(self, text: str, before: int | None) -> tuple[int, list[int]] | None:
        end = 1 << 62 if before is None else before
        [begin] = self._db.execute(
            "SELECT min(seq) FROM (SELECT seq FROM pykka_smtp_mail WHERE seq < ?"
            " ORDER BY seq DESC LIMIT ?)",
            (end, _WINDOW),
        ).fetchone()
        if begin is None:
            return None
        # In the text of a JSON string; and there it is looked at more closely.
        pattern = like_in_json(text)
        rows = self._db.execute(
            "SELECT seq, key, id, env FROM pykka_smtp_mail WHERE seq >= ? AND seq < ? AND"
            " (env LIKE ? ESCAPE '\\' OR key LIKE ? ESCAPE '\\') ORDER BY seq DESC",
            (begin, end, pattern, pattern),
        )
        return begin, [seq for seq, *values in rows if _matches(text.lower(), *values)]


def _matches(text: str, key: str, name: str, env: str) -> bool:
    made = _json(env)
    words: Iterable[object] = (
        *(key, name, made.get("from"), made.get("subject")),
        *(made.get("to") or ()),
        *(made.get("cc") or ()),
        *(made.get("bcc") or ()),
    )
    return any(isinstance(word, str) and text in word.lower() for word in words)


def _json(text: str | bytes | None) -> dict[str, Any]:
    """Return a JSON object; an empty one for what is none, as where it is encrypted."""
    try:
        made: object = json.loads(text) if text else {}
    except ValueError:
        return {}
    return made if isinstance(made, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def subject_of(head: bytes) -> str:
    """Return the subject of the beginning of a message, decoded; empty if there is none."""
    try:
        message = email.parser.BytesHeaderParser().parsebytes(head)
        decoded = email.header.make_header(email.header.decode_header(message.get("Subject", "")))
        return " ".join(str(decoded).split())
    except (ValueError, LookupError):
        return ""
