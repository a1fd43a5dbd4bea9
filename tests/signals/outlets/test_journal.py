"""The log of outcomes and Mailers: each failure has a line, and where nobody hears, it is shown."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.mailing import SOON, Mailing
from servers.python import python
from servers.scripted import ScriptedServer, polite
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import NO_RETRY, Outcome, SendMail, SmtpActor, smtp_send_success, wait_until_done
from pykka_smtp.signals.outlets import journal

pytestmark = pytest.mark.usefixtures("levels")


@pytest.fixture
def levels(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    debug = logging.DEBUG
    with caplog.at_level(debug, journal.OUTCOMES), caplog.at_level(debug, journal.MAILER):
        yield


def records(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    return [record for record in caplog.records if record.name == name]


def mail(**given: Any) -> SendMail:
    return SendMail(sender="me@a.test", recipients="you@b.test", **given)


def test_a_success_is_logged_as_info_with_its_fields(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = SmtpActor.start(server.host, server.port, alias="news").ask(mail(id="one"))
    assert wait_until_done(PATIENCE)

    [record] = records(caplog, journal.OUTCOMES)
    assert (record.levelno, record.getMessage()) == (logging.INFO, str(outcome))
    assert (record.mail, record.alias, record.code) == ("one", "news", 250)
    assert record.recipients[0]["accepted"] is True
    assert record.is_heard is True


def test_a_failure_is_logged_as_a_warning_whether_or_not_anybody_hears(
    dead: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    url = dead()
    SmtpActor.start(url=url).tell(mail(id="unheard"))
    assert wait_until_done(PATIENCE)
    asked = SmtpActor.start(url=url).ask(mail(id="asked"))

    assert wait_until_done(PATIENCE)
    first, second = records(caplog, journal.OUTCOMES)
    assert (first.levelno, first.mail, first.is_heard) == (logging.WARNING, "unheard", False)
    assert (second.mail, second.kind, second.is_heard) == ("asked", "CONNECT", True)
    assert second.getMessage() == str(asked)


@pytest.mark.parametrize("how", ["told", "signal", "outcome_to", "asked", "configured", "off"])
def test_a_failure_that_nobody_hears_is_shown_without_any_configuration(
    dead: Callable[[], str], how: str
) -> None:
    script = f"""
import logging
from pykka_smtp import *
class Inbox:
    def tell(self, outcome): pass
if "{how}" == "signal":
    smtp_send_failure.connect(lambda *_, **__: None, weak=False)
if "{how}" == "configured":
    logging.basicConfig(format="CONFIGURED %(message)s")
if "{how}" == "off":
    logging.getLogger("pykka_smtp").setLevel(logging.ERROR)
mail = SendMail(sender="me@a.test", recipients="you@b.test", id="one",
                outcome_to=Inbox() if "{how}" == "outcome_to" else None)
ref = SmtpActor.start(url="{dead()}")
ref.ask(mail) if "{how}" == "asked" else ref.tell(mail)
"""
    errors = python("-c", script).stderr

    if how == "told":
        assert errors.startswith("smtp_client: mail one not sent (CONNECT at connect): ")
        assert errors.count("\n") == 1
    elif how == "configured":
        assert errors.startswith("CONFIGURED smtp_client: mail one not sent (CONNECT")
        assert errors.count("\n") == 1
    else:
        assert errors == ""


def test_where_the_level_is_off_nothing_is_made(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def made(*_: object) -> Any:
        raise AssertionError("its fields were made")

    monkeypatch.setattr(journal, "_fields_of", made)
    heard: list[Outcome] = []
    smtp_send_success.connect(lambda _, outcome, **more: heard.append(outcome), weak=False)
    with caplog.at_level(logging.WARNING, journal.OUTCOMES):
        SmtpActor.start(server.host, server.port).tell(mail())
        assert wait_until_done(PATIENCE)

    assert len(heard) == 1
    assert records(caplog, journal.OUTCOMES) == []


def test_a_filter_that_raises_costs_a_line_and_no_outcome(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(journal.OUTCOMES)

    def broken(record: logging.LogRecord) -> bool:
        raise SystemExit

    logger.addFilter(broken)
    heard: list[Outcome] = []
    smtp_send_success.connect(lambda _, outcome, **more: heard.append(outcome), weak=False)
    try:
        SmtpActor.start(server.host, server.port).tell(mail())
        assert wait_until_done(PATIENCE)
    finally:
        logger.removeFilter(broken)

    assert len(heard) == 1


def test_a_mailer_logs_retries(mailing: Mailing, caplog: pytest.LogCaptureFixture) -> None:
    ref = mailing.start(
        mailing.serve(polite(replies={"RCPT": "450 later"}), polite()),
        retry=SOON,
        alias="news",
        max_mails_per_connection=1,
    )
    mailing.ask(ref)
    assert wait_until_done(PATIENCE)

    info = [r for r in records(caplog, journal.MAILER) if r.levelno == logging.INFO]
    assert [(record.alias, record.attempt) for record in info] == [("news", 1)]
    assert "450 later" in info[0].getMessage()


PROBES = (0.02, 0.05)


@pytest.mark.usefixtures("quick_probes")
def test_a_mailer_logs_when_a_relay_is_down_and_when_it_works_again(
    mailing: Mailing, caplog: pytest.LogCaptureFixture
) -> None:
    down = "S: 421 not now\nS! close"
    server = mailing.serve(*[down] * 4, polite())
    ref = mailing.start(server, initial_connections=1, max_connections=1, retry=SOON)
    mailing.tell(ref)
    assert wait_until_done(PATIENCE)

    shown = [(record.levelno, record.getMessage()) for record in records(caplog, journal.MAILER)]
    relays = [(level, text) for level, text in shown if text.startswith("mailer: relay ")]
    assert [level for level, _ in relays] == [logging.WARNING, logging.INFO]
    assert " is down; its last error: " in relays[0][1]
    assert relays[1][1].endswith(" works again")


def test_a_full_queue_is_logged_once_and_then_how_many_were_refused(
    mailing: Mailing, caplog: pytest.LogCaptureFixture
) -> None:
    ref = mailing.start(mailing.serve("S! silence"), max_connections=1, max_queued=2)
    ref_of_tests = mailing.tell(ref, 20)
    assert len(ref_of_tests) == 20
    assert wait_until(lambda: mailing.statistics(ref).failed == 17, PATIENCE)
    ref.stop(timeout=PATIENCE)
    assert wait_until_done(PATIENCE)

    lines = [r.getMessage() for r in records(caplog, journal.MAILER) if "refused" in r.getMessage()]
    assert lines == [
        "mailer: 2 emails are queued (max_queued), and more are refused",
        "mailer: 17 emails were refused while the queue was full",
    ]


def test_a_narrower_window_is_logged_for_who_wants_details(
    mailing: Mailing, caplog: pytest.LogCaptureFixture
) -> None:
    server = mailing.serve(polite(replies={"MAIL": "451 later"}))
    ref = mailing.start(server, initial_connections=5, retry=NO_RETRY)
    mailing.ask(ref)
    assert wait_until_done(PATIENCE)

    [record] = records(caplog, journal.MAILER)
    assert record.levelno == logging.DEBUG
    assert record.getMessage().endswith(" gets 4 emails at a time, no more")
