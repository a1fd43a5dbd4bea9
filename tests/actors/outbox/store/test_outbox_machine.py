"""Lives on one file that die between any two steps: a machine that Hypothesis drives.

Whatever happens, no email that was put is lost, none is told twice, no outcome is published twice
by one life, and each that may have come twice says so.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from servers.effort import times

from pykka_smtp.actors.outbox.store.records import Clash, Ending, Later, NewMail, Row
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore

ALIAS = "a"
ACTS = [
    *("start", "put", "put", "claim", "mark", "send", "tell", "put_off", "take_told", "hear"),
    *("work", "work", "kill", "die_and_be_followed", "stop", "rescue", "cancel"),
]
BITS = st.integers(0, 1000)


class Life:
    """One process, as far as its file is concerned."""

    def __init__(self, path: Path, sends: bool) -> None:
        self.store = SqliteStore(path, ALIAS)
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.sends = sends
        self.rows: dict[int, Row] = {}  # claimed
        self.marked: set[int] = set()
        self.ended: dict[int, bool] = {}  # the reply came: whether it was accepted
        self.in_doubt: set[int] = set()  # of those that ended: a dead life's, not to be sent again
        self.told: list[int] = []  # published, not marked as heard
        self.heard: Counter[int] = Counter()

    def turn(self) -> Any:
        return self.store.turn(is_durable=False)


class Machine:
    """Lives that put, claim, mark, send, tell, hear, and die."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "mail.db"
        self.alive: list[Life] = []
        self.promised: dict[int, bool] = {}  # at least once?
        self.arrived: Counter[int] = Counter()
        self.outcomes: dict[int, str] = {}
        self.published: Counter[int] = Counter()
        self.replays: Counter[int] = Counter()
        self.count = 0

    def act(self, n: int, what: str, bits: int) -> None:
        """Let one of the lives do something."""
        if what == "start" or not self.alive:
            if len(self.alive) < 3:
                self.alive.append(Life(self.path, sends=bits % 3 > 0))
            return
        odd, few = bool(bits & 1), 1 + bits // 2 % 6
        more: dict[str, dict[str, Any]] = {
            "put": {"claim": odd, "at_least_once": bits % 5 > 0, "again": bits % 7 == 0},
            "claim": {"most": few, "alone": odd},
            "send": {"accepted": bits % 4 > 0},
            "work": {"steps": few},
            "cancel": {"number": few},
        }
        getattr(self, what)(self.alive[n % len(self.alive)], **more.get(what, {}))
        self.nothing_is_lost()

    def put(self, life: Life, claim: bool, at_least_once: bool, again: bool) -> None:
        number = self.count - 1 if again and self.count else self.count
        new = NewMail(
            id=f"m{number}",
            key=f"m{number}",
            alias=ALIAS,
            digest=b"%d" % number,
            env='{"from":"a@b.test","to":["c@d.test"]}',
            body=b"x",
            priority=number % 3,
            due=0.0,
            expires=None,
            put_at=float(number),
            at_least_once=at_least_once,
            claim=claim and life.sends,
        )
        with life.turn():
            [found] = life.store.put([new])
        if number < self.count:
            assert isinstance(found, Clash)
            assert found.is_same
            return
        self.count += 1
        assert isinstance(found, int)
        self.promised[found] = at_least_once
        if new.claim:
            row = life.store.get(found)
            assert row is not None
            life.rows[found] = row

    def claim(self, life: Life, most: int, alone: bool) -> None:
        if life.sends:
            with life.turn():
                for row in life.store.claim(1.0, 1 if alone else most, alone=alone).rows:
                    life.rows[row.seq] = row

    def mark(self, life: Life) -> None:
        seqs = [seq for seq in life.rows if seq not in life.marked][:2]
        if seqs:
            with life.turn():
                lost = life.store.mark(seqs)
            for seq in lost:
                del life.rows[seq]
            life.marked.update(set(seqs) - lost)

    def send(self, life: Life, accepted: bool) -> None:
        """The end of an email goes out; the server takes it, and its reply comes."""
        for seq in [seq for seq in life.marked if seq not in life.ended][:1]:
            if accepted:
                self.arrived[seq] += 1
            life.ended[seq] = accepted

    def tell(self, life: Life) -> None:
        for seq, accepted in list(life.ended.items())[:2]:
            row = life.rows.pop(seq)
            life.marked.discard(seq)
            del life.ended[seq]
            publishes = row.home == life.store.life
            text = f'{{"sent":{int(accepted)},"doubts":{row.doubts}}}'
            with life.turn():
                lost = life.store.tell([Ending(seq, text, accepted, publishes)])
            assert not lost
            assert seq not in self.outcomes, "it has an outcome already"
            self.outcomes[seq] = text
            if publishes:
                self.publish(life, seq, 0)

    def put_off(self, life: Life) -> None:
        refused = [seq for seq, accepted in life.ended.items() if not accepted]
        for seq in [seq for seq in refused if seq not in life.in_doubt][:1]:
            row = life.rows.pop(seq)
            life.marked.discard(seq)
            del life.ended[seq]
            with life.turn():
                life.store.again([Later(seq, 0.5, None, row.doubts)])

    def take_told(self, life: Life) -> None:
        with life.turn():
            rows = life.store.take_told(ALIAS, 2)
        for row in rows:
            assert row.outcome == self.outcomes[row.seq]
            self.publish(life, row.seq, row.replays)

    def publish(self, life: Life, seq: int, replays: int) -> None:
        life.heard[seq] += 1
        assert life.heard[seq] == 1, "one life has heard it twice"
        assert bool(self.published[seq]) <= bool(replays), "heard again, and it does not say so"
        self.published[seq] += 1
        life.told.append(seq)

    def hear(self, life: Life) -> None:
        if life.told:
            with life.turn():
                life.store.hear(life.told, 1.0)
            life.told.clear()

    def kill(self, life: Life) -> None:
        self.alive.remove(life)
        life.store.close(is_clean=False)

    def work(self, life: Life, steps: int) -> None:
        """Do what comes one after the other, up to some step."""
        doing: list[Callable[[], None]] = [
            lambda: self.claim(life, 2, alone=False),
            lambda: self.mark(life),
            lambda: self.send(life, accepted=True),
            lambda: self.tell(life),
            lambda: self.take_told(life),
            lambda: self.hear(life),
        ]
        for step in doing[:steps]:
            step()

    def die_and_be_followed(self, life: Life) -> None:
        self.kill(life)
        follower = Life(self.path, sends=True)
        self.alive.append(follower)
        self.rescue(follower)

    def stop(self, life: Life) -> None:
        with life.turn():
            unsent = [seq for seq in life.rows if seq not in life.ended]
            life.store.give_back(unsent)
            life.store.hear(life.told, 1.0)
        self.alive.remove(life)
        life.store.close()

    def rescue(self, life: Life) -> None:
        dead = life.store.dead_lives()
        if dead:
            with life.turn():
                found = life.store.rescue(dead, 2)
            for row in found.in_doubt:
                life.rows[row.seq] = row
                life.marked.add(row.seq)
                life.ended[row.seq] = False
                life.in_doubt.add(row.seq)

    def cancel(self, life: Life, number: int) -> None:
        if not self.count:
            return
        with life.turn():
            done = life.store.cancel(ALIAS, f"m{number % self.count}", '{"cancelled":1}', 1.0)
        if done:
            [found] = life.store.find(name=f"m{number % self.count}")
            seq = life.store._db.execute(
                "SELECT seq FROM pykka_smtp_mail WHERE id = ?", (found.id,)
            ).fetchone()[0]
            assert seq not in self.outcomes
            self.outcomes[seq] = '{"cancelled":1}'

    def nothing_is_lost(self) -> None:
        if not self.alive:
            return
        rows = (
            self.alive[0]
            .store._db.execute(
                "SELECT seq, state, doubts, at_least_once, outcome, is_sent FROM pykka_smtp_mail"
            )
            .fetchall()
        )
        found = {seq: rest for seq, *rest in rows}
        assert set(found) == set(self.promised)
        for seq, (state, doubts, at_least_once, outcome, _) in found.items():
            if state in ("told", "heard"):
                assert outcome == self.outcomes[seq]
            copies = self.arrived[seq]
            if not at_least_once:
                assert copies <= 1, "sent twice, and it must not be"
            elif state in ("ready", "claimed", "held"):
                assert copies <= doubts, "it may have come, and does not say so"
            elif state == "dot":
                assert copies <= doubts + 1

    def teardown(self) -> None:
        for life in list(self.alive):
            life.store.close(is_clean=False)
        if self.promised:
            self.finish()
        self.folder.cleanup()

    def finish(self) -> None:
        """Let a last life do what is left: then each email has come, or its outcome says so."""
        last = Life(self.path, sends=True)
        self.alive = [last]
        for _ in range(3 * len(self.promised) + 5):
            self.rescue(last)
            self.claim(last, 3, alone=False)
            self.claim(last, 1, alone=True)
            self.mark(last)
            self.mark(last)
            self.send(last, accepted=True)
            self.send(last, accepted=True)
            self.tell(last)
            self.take_told(last)
            self.hear(last)
            self.nothing_is_lost()
        states = last.store.counts()
        held = states.pop("held")
        assert states.pop("heard") + held == len(self.promised)
        assert not any(states.values()), states
        assert len(self.outcomes) + held == len(self.promised)
        assert all(self.published[seq] for seq in self.outcomes)
        last.store.close()


@settings(max_examples=times(25, thoroughly=400), deadline=None, phases=[Phase.generate])
@given(
    acts=st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(ACTS), BITS), min_size=30, max_size=60
    )
)
def test_whichever_process_dies_between_any_two_steps_nothing_is_lost(
    acts: list[tuple[int, str, int]],
) -> None:
    machine = Machine()
    try:
        for one in acts:
            machine.act(*one)
    finally:
        machine.teardown()
