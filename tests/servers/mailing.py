"""The mails of a test of the Mailer, and what became of them: one outcome each, or the test fails.

::

    with Mailing(outcomes, scripted_server) as mailing:
        ref = mailing.start(server, max_connections=2)
        mailing.tell(ref, 10)
        assert mailing.kinds() == {"accepted": 10}
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, Self

from pykka import ActorRef, ActorRegistry

from pykka_smtp import (
    Drain,
    Mailer,
    MailerStatistics,
    Outcome,
    RetryPolicy,
    SendFailure,
    SendMail,
    Statistics,
)
from pykka_smtp.actors.net.connection_limit import connection_limit
from servers.waiting import PATIENCE, wait_until

SOON = RetryPolicy(
    max_attempts=50, initial_delay=0.02, multiplier=1.5, max_delay=0.2, give_up_after=60.0
)
"""Tries again at once, as far as servers of tests are concerned."""


class Heard(Protocol):
    """What the two signals said: the fixture ``outcomes``."""

    changed: threading.Condition
    all: list[Outcome]


class Address(Protocol):
    """A server of the tests."""

    host: str
    port: int


class Mailing:
    """Starts Mailers, tells them mails, and sees that each mail has exactly one outcome.

    Leaving the ``with`` block stops the Mailers, waits until their thread has ended, and looks:
    each mail that was told has one outcome, all permits are back, and no actor is left.

    Args:
        outcomes: what the two signals say.
        serve: starts a server.

    Attributes:
        mails: all that were told or asked, in order.
        refs: the Mailers that were started.
        serve: see above.
    """

    def __init__(self, outcomes: Heard, serve: Callable[..., Any]) -> None:
        self.serve = serve
        self.mails: list[SendMail] = []
        self.refs: list[ActorRef[Mailer]] = []
        self._heard = outcomes
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the Mailers, and judge."""
        for ref in self.refs:
            ref.stop(block=False)
        stuck = [ref for ref in self.refs if not ref.actor_stopped.wait(PATIENCE)]
        if kind is None:
            assert not stuck, f"did not stop: {stuck}"
            self.judge()

    def judge(self) -> None:
        """See that nothing is left of Mailers that have stopped, and that all has been told."""
        assert wait_until(lambda: not ours(), PATIENCE), f"threads are left: {ours()}"
        counts = self._counts()
        told = Counter(mail.id for mail in self.mails)
        assert set(told.values()) <= {1}, "the test told a mail twice"
        assert counts == told, "not exactly one outcome for each mail"
        assert ActorRegistry.get_all() == []
        assert (connection_limit._in_use, len(connection_limit._waiting)) == (0, 0)
        assert not connection_limit._reclaimable

    def start(self, server: Address, **options: Any) -> ActorRef[Mailer]:
        """Start a Mailer for a server; it is stopped at the end."""
        chosen: dict[str, Any] = {
            "server": server.host,
            "port": server.port,
            "grace": 1.0,
        } | options
        if "url" in chosen:
            del chosen["server"], chosen["port"]
        ref = Mailer.start(**chosen)
        self.refs.append(ref)
        return ref

    def begin(self, *scripts: Any, **options: Any) -> tuple[Any, ActorRef[Any]]:
        """Start a server, and a Mailer for it."""
        server = self.serve(*scripts)
        return server, self.start(server, **options)

    def mail(self, **options: Any) -> SendMail:
        """Make a mail."""
        fields = {"sender": "a@b.test", "recipients": "c@d.test", "body": "hello"} | options
        if "message" in fields:
            del fields["body"]
        return SendMail(**fields)

    def tell(self, ref: ActorRef[Any], count: int = 1, **options: Any) -> list[SendMail]:
        """Tell mails; their contexts are 0, 1, …, unless given."""
        mails = [self.mail(**{"context": number} | options) for number in range(count)]
        with self._lock:
            self.mails += mails
        for mail in mails:
            ref.tell(mail)
        return mails

    def ask(self, ref: ActorRef[Any], timeout: float = PATIENCE, **options: Any) -> Any:
        """Ask for the outcome of a mail."""
        return self.ask_later(ref, **options).get(timeout=timeout)

    def ask_later(self, ref: ActorRef[Any], **options: Any) -> Any:
        """Ask for the outcome of a mail, and return the future."""
        mail = self.mail(**options)
        with self._lock:
            self.mails.append(mail)
        return ref.ask(mail, block=False)

    def statistics(self, ref: ActorRef[Any]) -> MailerStatistics:
        """Ask a Mailer for its statistics."""
        found = ref.ask(Statistics(), timeout=PATIENCE)
        assert isinstance(found, MailerStatistics)
        return found

    def drain(self, ref: ActorRef[Any], timeout: float = PATIENCE) -> Any:
        """Ask a Mailer to answer once all mails are out, and return the answer."""
        return ref.ask(Drain(timeout=timeout), timeout=timeout + PATIENCE)

    def outcomes(self, timeout: float = PATIENCE) -> list[Any]:
        """Wait until each mail has its outcome; return them in the order of the mails."""
        ids = {mail.id for mail in self.mails}
        with self._heard.changed:
            done = self._heard.changed.wait_for(lambda: self._have(ids), timeout)
            found = {outcome.mail.id: outcome for outcome in self._heard.all}
        missing = [mail.context for mail in self.mails if mail.id not in found]
        assert done, f"{len(missing)} of {len(ids)} outcomes are missing: mails {missing[:10]}"
        return [found[mail.id] for mail in self.mails]

    def kinds(self, timeout: float = PATIENCE) -> dict[str, int]:
        """Wait until each mail has its outcome; return how many there are of each kind."""
        return dict(Counter(map(kind_of, self.outcomes(timeout))))

    def so_far(self) -> list[Any]:
        """Return the outcomes that have come, in the order in which they did."""
        with self._heard.changed:
            ids = {mail.id for mail in self.mails}
            return [outcome for outcome in self._heard.all if outcome.mail.id in ids]

    def wait_for(self, count: int, timeout: float = PATIENCE) -> list[Any]:
        """Wait for so many outcomes, and return all that came, in the order in which they did."""
        with self._heard.changed:
            assert self._heard.changed.wait_for(lambda: len(self._heard.all) >= count, timeout), (
                f"{len(self._heard.all)} of {count} outcomes came within {timeout} s"
            )
            return list(self._heard.all)

    def _have(self, ids: set[Any]) -> bool:
        return len(self._heard.all) >= len(ids) and ids <= self._counts().keys()

    def _counts(self) -> Counter[Any]:
        return Counter(outcome.mail.id for outcome in self._heard.all)


def kind_of(outcome: Outcome) -> str:
    """Give the kind of a failure, or ``"accepted"``."""
    return outcome.kind.name if isinstance(outcome, SendFailure) else "accepted"


def ours() -> list[str]:
    """Name the threads of ours that run."""
    return [t.name for t in threading.enumerate() if t.name.startswith("pykka-smtp-")]


class Clock:
    """Measures how long something took.

    Args:
        most: seconds; leaving the ``with`` block after more fails the test.
    """

    def __init__(self, most: float) -> None:
        self._most = most

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        took = time.monotonic() - self._began
        if kind is None:
            assert took < self._most, f"took {took:.2f} s instead of less than {self._most} s"
