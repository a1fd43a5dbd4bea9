"""Nothing of the end of an email goes out before the file says so: on every way it may take."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    Cancel,
    Drain,
    FailureKind,
    Find,
    Hold,
    Put,
    Release,
    SendFailure,
    SendSuccess,
)
from pykka_smtp.actors.outbox.store.sqlite.sqlite_store import SqliteStore
from pykka_smtp.testing import Server, hold

OFFERS = {
    "DATA": ("8BITMIME",),
    "DATA, pipelined": ("PIPELINING", "8BITMIME"),
    "BDAT": ("CHUNKING", "8BITMIME"),
    "BDAT, in one write": ("PIPELINING", "CHUNKING", "8BITMIME"),
}
LARGE = "1 2 3 4 5 6\r\n" * 30_000


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> Iterator["Marks"]:
    """Stand between the outbox and its file when it marks emails."""
    made = Marks(SqliteStore.mark)
    monkeypatch.setattr(SqliteStore, "mark", lambda store, seqs: made(store, seqs))  # noqa: PLW0108 - a function is bound
    yield made
    made.may_go_on.set()


class Marks:
    """Marks, once it may."""

    def __init__(self, mark: Callable[..., set[int]]) -> None:
        self.may_go_on = threading.Event()
        self.asked = threading.Event()
        self._mark = mark

    def __call__(self, store: SqliteStore, seqs: Any) -> set[int]:
        self.asked.set()
        assert self.may_go_on.wait(PATIENCE)
        return self._mark(store, seqs)


@pytest.mark.parametrize("offers", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("under_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("body", ["short", LARGE], ids=["short", "large"])
def test_no_email_is_complete_before_the_file_says_that_it_may_be(
    outboxes: Outboxes,
    marks: Marks,
    certificates: Certificates,
    offers: tuple[str, ...],
    under_tls: bool,
    body: str,
) -> None:
    tls = server_context(Tls(certificate=certificates.good)) if under_tls else None
    options = {"tls_context": certificates.trusting()} if under_tls else {"tls": "off"}
    with Server(offers=offers, tls=tls) as server:
        ref = outboxes.start(server, max_connections=1, **options)
        for number in range(2):  # the first on a new connection, the second on the same
            marks.asked.clear()
            marks.may_go_on.clear()
            future = ref.ask(mail(number, body=body), block=False)
            assert marks.asked.wait(PATIENCE)
            # All that may go out has time to: the server's replies are waited for, too.
            threading.Event().wait(0.1)
            assert len(server.mails) == number
            marks.may_go_on.set()
            assert isinstance(future.get(timeout=PATIENCE), SendSuccess)
            assert len(server.mails) == number + 1


def test_a_cancelled_mail_does_not_go_out_although_it_was_in_line(outboxes: Outboxes) -> None:
    verdict = threading.Event()
    with Server(hold(".", verdict)) as server:
        ref = outboxes.start(server, max_connections=1)
        ref.ask(Put(mail(1)))
        ref.ask(Put(mail(2)))  # claimed, and waits for the connection
        assert wait_until(lambda: ref.ask(Find(name="mail-1"))[0].state == "dot", PATIENCE)
        assert ref.ask(Find(name="mail-2"))[0].state == "claimed"

        assert ref.ask(Cancel("mail-2"))
        verdict.set()

        outcomes = {one.mail.id: one for one in outboxes.wait_for(2)}
        cancelled = outcomes["mail-2"]
        assert isinstance(cancelled, SendFailure)
        assert cancelled.kind is FailureKind.CANCELLED
        assert ref.ask(Drain(timeout=PATIENCE))  # when its turn has come, too
        assert (server.accepted, len(outboxes.heard)) == (1, 2)


def test_a_mail_that_another_process_took_over_is_not_completed(outboxes: Outboxes) -> None:
    verdict = threading.Event()
    with Server(hold(".", verdict)) as server:
        ref = outboxes.start(server, max_connections=1)
        other = SqliteStore(outboxes.path, "other")
        ref.ask(Put(mail(1)))
        ref.ask(Put(mail(2)))  # waits for the connection
        assert wait_until(lambda: ref.ask(Find(name="mail-1"))[0].state == "dot", PATIENCE)
        with other.turn(is_durable=True):
            taken = "UPDATE pykka_smtp_mail SET owner = ? WHERE id = 'mail-2' AND state = 'claimed'"
            assert other._db.execute(taken, (other.life,)).rowcount == 1
        verdict.set()

        assert not ref.ask(Drain(timeout=1.0))  # for the other has it, as far as anybody knows

        assert (server.accepted, len(outboxes.heard)) == (1, 1)
        assert ref.ask(Find(name="mail-2"))[0].state == "claimed"
        other.close()


def test_a_mail_that_was_held_and_released_in_line_goes_out_once(outboxes: Outboxes) -> None:
    first, then = threading.Event(), threading.Event()
    with Server(hold(".", first, times=2), hold(".", then)) as server:
        ref = outboxes.start(server, max_connections=2)

        def has_state(name: str, state: str) -> bool:
            return ref.ask(Find(name=name))[0].state == state

        for number in (1, 2, 3):
            ref.ask(Put(mail(number)))
        assert wait_until(
            lambda: has_state("mail-1", "dot") and has_state("mail-2", "dot"), PATIENCE
        )
        assert ref.ask(Hold("mail-3"))
        assert ref.ask(Release("mail-3"))
        # Anew, by the same process.
        assert wait_until(lambda: has_state("mail-3", "claimed"), PATIENCE)
        ref.ask(Put(mail(4)))
        first.set()

        # Both connections would be taken by two copies of the third.
        assert wait_until(
            lambda: has_state("mail-3", "dot") and has_state("mail-4", "dot"), PATIENCE
        )
        then.set()
        assert ref.ask(Drain(timeout=PATIENCE))

        assert len(server.mails) == 4
    assert sorted(one.mail.id for one in outboxes.wait_for(4)) == [f"mail-{n}" for n in range(1, 5)]
