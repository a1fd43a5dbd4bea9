"""After many sends with random faults nothing is left; the long run is a benchmark's."""

import gc
import random
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorRegistry
from servers.effort import times
from servers.scripted import ClientGone, Conn, ScriptedServer
from servers.waiting import wait_until

from pykka_smtp import FailureKind, SendMail, SendSuccess, SmtpActor
from pykka_smtp.actors.net.connection_limit import connection_limit
from pykka_smtp.signals.dispatcher import dispatcher

PATIENCE = 30.0  # seconds; reached only by a test that fails

SENDS = times(200, thoroughly=1000)

REPLIES = ["220 mx.test", "250 mx.test", "250 ok", "250 ok", "354 go ahead", "250 taken", "221 bye"]
BODY = 5
"""The reply before which the mail data is read."""

FAULTS: dict[str, Callable[[Conn], object]] = {
    "close": Conn.close,
    "reset": Conn.reset,
    "refuse": lambda conn: conn.send("550 5.0.0 no"),
    "later": lambda conn: conn.send("421 4.3.2 later"),
    "nonsense": lambda conn: conn.raw(b"\xff\x00 nonsense\r\n"),
    "silence": Conn.hang,
    "flood": lambda conn: conn.raw(b"250-x\r\n" * 400),
}


class Chaos:
    """Breaks each session in another way at another stage; takes every third mail."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._lock = threading.Lock()

    def __call__(self, conn: Conn) -> None:
        with self._lock:
            fault = self._random.choice(["none", *FAULTS, *FAULTS])
            stage = self._random.randrange(len(REPLIES))
        for number, reply in enumerate(REPLIES):
            if number == BODY:
                conn.body()
            elif number:
                conn.line()
            if number == stage and fault != "none":
                FAULTS[fault](conn)
                break
            conn.send(reply)
        try:
            while True:
                conn.line()
        except ClientGone:
            pass


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def quiet() -> bool:
    """Whether the last send has ended, with all that it had."""
    return not any(thread.name.startswith("pykka-smtp") for thread in threading.enumerate())


def messages(path: Path) -> list[Any]:
    """Give a letter, a complete mail, a path, a file that is missing."""
    path.write_bytes(b"Subject: x\r\n\r\n" + b"from a file\r\n" * 20_000)
    return [None, b"Subject: x\r\n\r\n.\r\nfrom memory\r\n", path, path.with_name("missing")]


def mail(message: Any) -> SendMail:
    if message is None:
        return SendMail(sender="a@b.test", recipients="c@d.test", body="hello " * 100)
    return SendMail(sender="a@b.test", recipients=["c@d.test"], message=message)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_after_hundreds_of_sends_with_random_faults_nothing_is_left_and_each_had_one_outcome(
    loop_kind: str, tmp_path: Path, outcomes: Any
) -> None:
    with ScriptedServer(Chaos(5321)) as server:
        choices = messages(tmp_path / "mail")
        chooser = random.Random(821)  # noqa: S311 - no secret
        sent: list[SendMail] = []

        def send(count: int) -> None:
            for _ in range(count):
                sent.append(mail(chooser.choice(choices)))
                ref = SmtpActor.start(server.host, server.port, timeout=0.3, deadline=2)
                ref.tell(sent[-1])
                if chooser.random() < 0.1:
                    ref.stop(block=False)
            outcomes.wait_for(len(sent), PATIENCE)
            assert wait_until(quiet, PATIENCE)

        def held() -> Counter[str]:
            gc.collect()
            return Counter(descriptors=descriptors(), threads=threading.active_count())

        send(50)
        server.wait_until_ended(1, PATIENCE)
        before = held()
        send(SENDS)
        # The server may yet have to accept a connection that the client gave up long ago.
        assert wait_until(lambda: held() <= before, PATIENCE), (before, held())

    assert ActorRegistry.get_all() == []
    assert connection_limit._in_use == 0
    assert not connection_limit._waiting
    ids = Counter(outcome.mail.id for outcome in outcomes.all)
    assert set(ids) == {one.id for one in sent}
    assert set(ids.values()) == {1}
    kinds = Counter(getattr(outcome, "kind", "success") for outcome in outcomes.all)
    assert FailureKind.INTERNAL not in kinds
    # The faults took place: many kinds of end were seen.
    assert len(kinds) >= 6
    wrong = [
        outcome
        for outcome in outcomes.all
        if isinstance(outcome, SendSuccess) and outcome.code != 250
    ]
    assert wrong == []


def test_what_a_send_had_is_freed_with_it(loop_kind: str, server: ScriptedServer) -> None:
    """Memory stays flat: sixty sends more add nothing. A leak would show in every round."""

    def send() -> None:
        for _ in range(60):
            ref = SmtpActor.start(server.host, server.port)
            outcome: Any = ref.ask(mail(b"x" * 70 + b"\r\n" + b"y" * 500), timeout=PATIENCE)
            assert isinstance(outcome, SendSuccess)

    def ours() -> int:
        assert dispatcher.wait_idle(PATIENCE)  # `ask` is answered before receivers have run
        gc.collect()
        snapshot = tracemalloc.take_snapshot()
        folders = {"actors", "signals", "smtp"}
        return sum(
            statistic.size
            for statistic in snapshot.statistics("filename")
            if folders & set(Path(statistic.traceback[0].filename).parts[-3:-1])
        )

    send()
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(4):
            send()
            sizes.append(ours())
    finally:
        tracemalloc.stop()

    # Sixty mails are 34 kB, and their outcomes more.
    assert min(after - before for before, after in pairwise(sizes)) < 12_000, sizes
