"""Nothing of the end of an email goes out before the file says so: on every way it may take."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.certificates import Certificates
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE

from pykka_smtp import Cancel, Drain, FailureKind, Put, SendFailure, SendSuccess
from pykka_smtp.actors.outbox.store.sqlite_store import SqliteStore
from pykka_smtp.testing import Server

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
    monkeypatch.setattr(SqliteStore, "mark", lambda store, seqs: made(store, seqs))
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
    tls = certificates.server_context() if under_tls else None
    options = {"tls_context": certificates.trusting_context()} if under_tls else {"tls": "off"}
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


def test_a_cancelled_mail_does_not_go_out_although_its_transaction_has_begun(
    outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, may_go_on = threading.Event(), threading.Event()

    class Held:
        stages = ("EHLO",)

        def __call__(self, _moment: Any) -> None:
            ready.set()
            may_go_on.wait(PATIENCE)

    with Server(Held()) as server:
        ref = outboxes.start(server)
        real = SqliteStore.mark
        monkeypatch.setattr(SqliteStore, "mark", lambda store, seqs: real(store, seqs))
        # The connection is being made, so the email is claimed, and not marked yet.
        monkeypatch.setattr(
            "pykka_smtp.actors.outbox.sending.gate.MarkGate.begin", _not_before(may_go_on)
        )
        ref.ask(Put(mail()))
        assert ready.wait(PATIENCE)
        assert ref.ask(Cancel("mail-1"))
        may_go_on.set()

        [outcome] = outboxes.wait_for(1)
        assert isinstance(outcome, SendFailure)
        assert outcome.kind is FailureKind.CANCELLED
        assert ref.ask(Drain(timeout=PATIENCE))
        assert server.mails == ()
    assert len(outboxes.heard) == 1


def _not_before(event: threading.Event) -> Callable[[Any], None]:
    from pykka_smtp.actors.outbox.sending.gate import MarkGate

    real = MarkGate.begin

    def begin(gate: MarkGate) -> None:
        if event.is_set():
            real(gate)

    return begin
