"""One error at any function of an outlet: each email has one outcome, and a true one."""

import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorDeadError, ActorRegistry
from servers.effort import IS_THOROUGH, times
from servers.injection import Injection, Place, places_in, quiet
from servers.nothing_left import descriptors, nothing_left
from servers.waiting import wait_until

from pykka_smtp import Mailer, Outcome, RetryPolicy, SendFailure, SendMail, SendSuccess, SmtpActor
from pykka_smtp.actors.net.outlets.record import recorded

PATIENCE = times(5, thoroughly=2)
NTH = (1, 3)
PLACES = [
    place
    for place in places_in("pykka_smtp.actors", without="loop.guard")
    if place.name.startswith("net.outlets.")
]
SOON = RetryPolicy(max_attempts=3, initial_delay=0.01, multiplier=1.0, max_delay=0.01)
MESSAGE = b"Subject: x\r\n\r\n" + b"some line of an email\r\n" * 12_000


class Heard:
    """The outcomes, and a count to wait for."""

    def __init__(self) -> None:
        self.all: list[Outcome] = []
        self.changed = threading.Condition()

    def tell(self, outcome: Outcome) -> None:
        with self.changed:
            self.all.append(outcome)
            self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: len(self.all) >= count, PATIENCE)


class Scene:
    """One run: three emails by a Mailer or by actors of their own."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.folder = folder
        self.url = {"record": "record:", "file": f"file://{folder}"}.get(kind, "")
        if not self.url:
            program = folder / "program"
            if not program.exists():
                program.write_text(f"#!/bin/sh\nfor x; do :; done; cat >'{folder}/got-'$x\n")
                program.chmod(0o755)
            self.url = f"sendmail://{program}"
        for path in folder.glob("got-*"):
            path.unlink()
        recorded.clear()

    def play(self, places: list[Place], nth: int, where: str, *, by_mailer: bool) -> Counter[str]:
        heard = Heard()
        mails = [
            SendMail(sender="a@b.test", recipients=f"{n}@d.test", message=MESSAGE, outcome_to=heard)
            for n in range(3)
        ]
        mailer: Any = Mailer.start(url=self.url, retry=SOON, grace=1.0) if by_mailer else None
        with Injection(places, nth) as injection:
            for mail in list(mails):
                try:
                    (mailer or SmtpActor.start(url=self.url)).tell(mail)
                except ActorDeadError:
                    mails.remove(mail)
            heard.wait_for(len(mails))
            injection.disarm()
        if mailer is not None:
            mailer.stop(block=False)
        assert wait_until(nothing_left, PATIENCE), f"{where}: left behind"
        self.judge(heard.all, mails, where)
        return injection.calls

    def judge(self, outcomes: list[Outcome], mails: list[SendMail], where: str) -> None:
        counts = Counter(outcome.mail.id for outcome in outcomes)
        assert counts == Counter(mail.id for mail in mails), f"{where}: {sum(counts.values())}"
        taken = self.taken()
        for outcome in outcomes:
            has_it = outcome.mail.recipients[0] in taken
            if isinstance(outcome, SendSuccess):
                assert has_it, f"{where}: a false success"
            elif isinstance(outcome, SendFailure) and not outcome.maybe_accepted:
                assert not has_it, f"{where}: a false failure: {outcome}"
        failed = [outcome for outcome in outcomes if isinstance(outcome, SendFailure)]
        assert len(failed) <= 1, f"{where}: others were harmed: {failed}"

    def taken(self) -> set[str]:
        """Return who has got a complete email."""
        if self.url == "record:":
            return {path for kept in recorded.all() for path in kept.recipients}
        if self.url.startswith("file:"):
            whole = self.folder.glob("[!.]*.eml")
            texts = [path.with_suffix(".json").read_text() for path in whole]
            return {f"{n}@d.test" for n in range(3) if any(f'"{n}@' in text for text in texts)}
        size = len(MESSAGE.replace(b"\r\n", b"\n"))
        found = self.folder.glob("got-*")
        return {path.name[4:] for path in found if path.stat().st_size == size}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[[str], Scene]]:
    def make(kind: str) -> Scene:
        for path in (*tmp_path.glob("*.eml"), *tmp_path.glob("*.json")):
            path.unlink(missing_ok=True)
        return Scene(kind, tmp_path)

    yield make
    recorded.clear()


@pytest.mark.parametrize("kind", ["record", "file", "sendmail"])
@pytest.mark.parametrize("by_mailer", [False, True], ids=["actors", "mailer"])
@pytest.mark.timeout(300)
def test_one_error_in_an_outlet_costs_one_mail_at_most_and_never_its_outcome(
    kind: str,
    by_mailer: bool,
    loop_kind: str,
    scene: Callable[[str], Scene],
) -> None:
    with quiet("pykka_smtp", "pykka", "asyncio"):
        calls = scene(kind).play(PLACES, 0, "without an error", by_mailer=by_mailer)
        before = descriptors()
        problems: list[str] = []
        places = [place for place in PLACES if calls[place.name]]
        assert len(places) > 15
        for place in places if IS_THOROUGH else places[:: 1 if kind == "record" else 2]:
            for nth in [nth for nth in NTH if nth <= calls[place.name]]:
                where = f"{place.name}, call {nth}, {kind}, {loop_kind}"
                try:
                    scene(kind).play([place], nth, where, by_mailer=by_mailer)
                except AssertionError as problem:
                    problems.append(str(problem).splitlines()[0])
                    ActorRegistry.stop_all(block=False)
        assert not problems, "\n".join(problems)
        gc.collect()
        assert wait_until(lambda: descriptors() <= before + 2, PATIENCE), "descriptors leak"
        assert not list(scene(kind).folder.glob(".*.eml"))
