"""The work of ``pykka-smtp send``, with a Mailer that does what no real one should."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

from pykka_smtp import Reply, SendMail, SendSuccess
from pykka_smtp.cli.input.mail_file import MailFile
from pykka_smtp.cli.input.recipients import Recipients
from pykka_smtp.cli.output.printable import printable
from pykka_smtp.cli.output.progress import PlainOutput
from pykka_smtp.cli.send import run as send_run
from pykka_smtp.cli.send.interrupts import Interrupts
from pykka_smtp.cli.send.run import BulkPlan, BulkSend
from pykka_smtp.smtp.words.verdict import RecipientResult


class FakeMailer:
    """Takes mails, and does with them what it is told to."""

    def __init__(self, take: Callable[[SendMail], None]) -> None:
        self.actor_stopped = threading.Event()
        self.stops = 0
        self.tell = take

    def is_alive(self) -> bool:
        return True

    def stop(self, *, block: bool) -> None:
        assert not block
        self.stops += 1
        self.actor_stopped.set()


@pytest.fixture
def run() -> Iterator[Callable[[Callable[[SendMail], None]], BulkSend]]:
    with Recipients() as recipients:
        for name in "abc":
            recipients.add(f"{name}@x.test")
        mail = MailFile(data=b"A: b\n\nc", size=8)
        order = BulkPlan(sender="<>", mail=mail, recipients=recipients, together=False)

        def send_by(take: Callable[[SendMail], None]) -> BulkSend:
            mailer: Any = FakeMailer(take)
            run = BulkSend(
                order, mailer, alias="x", report=None, progress=PlainOutput(io.StringIO())
            )
            run.send(Interrupts())
            assert mailer.stops
            return run

        yield send_by


def accepted(mail: SendMail) -> SendSuccess:
    [address] = mail.all_recipients
    return SendSuccess(
        mail=mail,
        alias="x",
        recipients=(RecipientResult(address=address, accepted=True),),
        reply=Reply(250, ("taken",)),
    )


def test_an_outcome_that_comes_twice_counts_once(run: Any) -> None:
    def take(mail: SendMail) -> None:
        for _ in range(2):
            assert mail.outcome_to is not None
            mail.outcome_to.tell(accepted(mail))

    assert run(take).tally.counts == {"accepted": 3}


def test_a_mailer_that_dies_under_ones_hands_has_not_tried_the_mail(run: Any) -> None:
    def take(_mail: SendMail) -> None:
        raise pykka.ActorDeadError

    tally = run(take).tally

    assert tally.counts == {"not sent": 3}
    assert tally.status() == 75


def test_what_was_not_sent_does_not_count_as_speed(run: Any) -> None:
    def take(_mail: SendMail) -> None:
        raise pykka.ActorDeadError

    assert run(take)._throughput.per_second(time.monotonic()) == 0


def test_a_mail_without_an_outcome_is_in_doubt_and_not_waited_for_for_ever(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send_run, "GRACE", 0.05)
    monkeypatch.setattr(send_run, "FAREWELL", 0.05)

    # The first goes alone, so the others are not even told.
    def take(_mail: SendMail) -> None:
        monkeypatch.setattr(FakeMailer, "is_alive", lambda _mailer: False)

    finished = run(take)

    assert finished.tally.counts == {"maybe": 1, "not sent": 2}
    assert finished.stopped_because == "the Mailer has died; please report it"


def test_recipients_that_do_not_fit_into_memory_come_back_from_the_disk_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pykka_smtp.cli.input.recipients._IN_MEMORY", 100)
    addresses = [f"ü{number}@x.test" for number in range(1000)]
    with Recipients() as recipients:
        recipients.add_lines(io.BytesIO("\n".join(addresses).encode()), "x")

        assert len(recipients) == 1000
        assert list(recipients) == addresses
        assert list(recipients) == addresses


def test_what_is_shown_is_short_and_harms_no_terminal() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    assert printable("a\x1b[2J\u202eb", io.StringIO()) == "a\\x1b[2J\\u202eb"
    assert printable("ü", Ascii()) == "\\xfc"
    shown = printable("x" * 1000, io.StringIO())
    assert (len(shown), shown[-4:]) == (500, "x...")
