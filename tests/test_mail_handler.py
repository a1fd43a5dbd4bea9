"""Log records by email: bundled, bounded, and never about themselves."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from typing import Any

import pytest
from servers.python import printed
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Mailer, Outcome, smtp_send_failure, wait_until_done
from pykka_smtp.logging import MAX_TEXT, MailHandler

Attach = Callable[..., tuple[logging.Logger, MailHandler]]


@pytest.fixture
def attach() -> Iterator[Attach]:
    """Attach a handler to a logger of its own, or to another; detach it in the end."""
    attached: list[tuple[logging.Logger, MailHandler]] = []

    def make(
        server: Any = None, name: str = "tests.mail_handler", **given: Any
    ) -> tuple[logging.Logger, MailHandler]:
        where: dict[str, Any] = {} if server is None else {"server": server.host}
        where |= {} if server is None else {"port": server.port}
        handler = MailHandler(sender="app@a.test", recipients="ops@b.test", **where | given)
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        attached.append((logger, handler))
        return logger, handler

    yield make
    for logger, handler in attached:
        logger.removeHandler(handler)
        handler.close()
    assert wait_until_done(PATIENCE)


def mails(server: ScriptedServer) -> list[Any]:
    return [message_from_bytes(mail.data) for session in server.sessions for mail in session.mails]


def sent(server: ScriptedServer, count: int = 1) -> list[Any]:
    assert wait_until(lambda: len(mails(server)) >= count, PATIENCE)
    assert wait_until_done(PATIENCE)
    return mails(server)


def test_records_of_one_interval_are_one_email(server: ScriptedServer, attach: Attach) -> None:
    logger, _ = attach(server, interval=0.05, subject="Shop")

    logger.error("first %d", 1)
    logger.critical("second")

    [mail] = sent(server)
    assert mail["Subject"] == "Shop: 2 records, CRITICAL"
    assert mail["To"] == "ops@b.test"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_payload() == "first 1\r\nsecond\r\n"


def test_the_next_interval_has_an_email_of_its_own(server: ScriptedServer, attach: Attach) -> None:
    logger, _ = attach(server, interval=0.05)

    for number in range(3):
        logger.error("number %d", number)
        assert len(sent(server, number + 1)) == number + 1


def test_more_records_than_it_takes_are_counted(server: ScriptedServer, attach: Attach) -> None:
    logger, handler = attach(server, interval=PATIENCE, max_records=3)

    for number in range(10):
        logger.error("number %d", number)
    handler.flush()

    [mail] = sent(server)
    assert mail.get_payload().splitlines() == [
        *("number 0", "number 1", "number 2"),
        "(7 more records came in this time, and were dropped.)",
    ]
    logger.error("again")
    handler.flush()
    assert sent(server, 2)[1].get_payload() == "again\r\n"


def test_a_long_record_is_cut_off(server: ScriptedServer, attach: Attach) -> None:
    logger, _ = attach(server, interval=0.01)

    logger.error("x" * (2 * MAX_TEXT))

    [mail] = sent(server)
    text = "".join(mail.get_payload(decode=True).decode().split())
    assert text.endswith("x...(cutoff)")
    assert len(text) <= MAX_TEXT


def test_logging_does_not_wait_for_a_server_that_hangs(
    scripted_server: Callable[..., ScriptedServer], attach: Attach
) -> None:
    logger, _ = attach(scripted_server("S! silence"), interval=0.001, timeout=0.3)

    began = time.monotonic()
    for number in range(1000):
        logger.error("number %d", number)

    assert time.monotonic() - began < 3


def test_its_own_failure_is_logged_and_not_mailed(
    dead: Callable[[], str], attach: Attach, caplog: pytest.LogCaptureFixture
) -> None:
    root, handler = attach(None, name="", url=dead(), interval=0.01, level=logging.WARNING)
    heard: list[Outcome] = []
    smtp_send_failure.connect(lambda _, outcome, **more: heard.append(outcome), weak=False)

    root.error("the first")
    assert wait_until(lambda: "not sent (CONNECT" in caplog.text, PATIENCE)
    assert wait_until_done(PATIENCE)

    assert not handler._is_scheduled
    assert heard == []
    assert caplog.text.count("not sent (CONNECT") == 1


def test_at_debug_level_an_email_causes_no_other(server: ScriptedServer, attach: Attach) -> None:
    _, handler = attach(server, name="", interval=0.01, debug=True)
    names = ("", "pykka", "pykka_smtp", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        logging.getLogger("tests.other").debug("the only one")
        [mail] = sent(server)
        assert wait_until_done(PATIENCE)
        assert not handler._is_scheduled
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert mail.get_payload() == "the only one\r\n"


def test_the_failure_of_another_email_is_mailed(
    server: ScriptedServer, dead: Callable[[], str], attach: Attach
) -> None:
    from pykka_smtp import SendMail, SmtpActor

    attach(server, name="pykka_smtp.outcomes", interval=0.01)
    SmtpActor.start(url=dead()).tell(SendMail(sender="me@a.test", recipients="you@b.test"))

    [mail] = sent(server)
    assert " not sent (CONNECT at connect): " in " ".join(mail.get_payload().split())


def test_it_can_send_by_a_mailer(server: ScriptedServer, attach: Attach) -> None:
    mailer = Mailer.start(server.host, server.port)
    logger, _ = attach(None, mailer=mailer, interval=0.01)

    logger.error("by the mailer")

    [mail] = sent(server)
    assert mail.get_payload() == "by the mailer\r\n"
    mailer.stop()


def test_many_threads_lose_no_record(server: ScriptedServer, attach: Attach) -> None:
    logger, handler = attach(server, interval=0.005, max_records=10_000)

    def log(who: int) -> None:
        for number in range(200):
            logger.error("%d/%d", who, number)

    threads = [threading.Thread(target=log, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wait_until(lambda: not (handler._is_scheduled or handler._texts), PATIENCE)
    assert wait_until_done(PATIENCE)

    lines = [line for mail in mails(server) for line in mail.get_payload().splitlines()]
    assert sorted(lines) == sorted(f"{who}/{number}" for who in range(3) for number in range(200))


@pytest.mark.parametrize(
    "wrong",
    [{"interval": "1"}, {"max_records": 0}, {"timeout": -1}, {"sender": "nobody"}, {"prot": 25}],
)
def test_a_wrong_argument_is_refused_at_once(wrong: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"sender": "app@a.test", "recipients": "ops@b.test"}
    with pytest.raises((ValueError, TypeError)):
        MailHandler(**usual | wrong)


def test_a_record_that_cannot_be_formatted_is_reported_as_logging_does(
    server: ScriptedServer, attach: Attach, capsys: pytest.CaptureFixture[str]
) -> None:
    logger, _ = attach(server, interval=0.01)
    logger.propagate = False  # pytest's own handler raises

    logger.error("%d", "no number")
    logger.error("the next")

    assert "--- Logging error ---" in capsys.readouterr().err
    assert sent(server)[0].get_payload() == "the next\r\n"
    logger.propagate = True


PROGRAM = """
import logging, os, sys, warnings
warnings.simplefilter("ignore")
from pykka_smtp.logging import MailHandler
handler = MailHandler({host!r}, {port}, sender="app@a.test", recipients="ops@b.test", interval=60)
logging.getLogger().addHandler(handler)
"""


def test_the_end_of_the_program_sends_what_waits(server: ScriptedServer) -> None:
    program = PROGRAM.format(host=server.host, port=server.port)

    printed("-c", program + "logging.error('last words')")

    assert [mail.get_payload() for mail in mails(server)] == ["last words\r\n"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_sends_its_own_records_only(server: ScriptedServer) -> None:
    program = PROGRAM.format(host=server.host, port=server.port)
    script = """
logging.error("parent")
child = os.fork()
if child == 0:
    logging.error("child")
    sys.exit()
os.waitpid(child, 0)
"""
    printed("-c", program + script)

    assert sorted(mail.get_payload() for mail in mails(server)) == ["child\r\n", "parent\r\n"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_emails_of_a_forked_child_are_no_copies_of_its_parents(server: ScriptedServer) -> None:
    program = PROGRAM.format(host=server.host, port=server.port)
    script = """
children = []
for number in range(2):
    if not (child := os.fork()):
        logging.error("child")
        sys.exit()
    children.append(child)
logging.error("parent")
for child in children:
    os.waitpid(child, 0)
"""
    printed("-c", program + script)

    assert len({mail["Message-ID"] for mail in mails(server)}) == 3


def test_two_handlers_do_not_mail_about_each_others_emails_in_turn() -> None:
    script = """
import logging
from pykka_smtp.logging import MailHandler
for name in ("app", "audit"):
    handler = MailHandler(url="refuse:", sender=f"{name}@a.test", recipients="ops@b.test")
    logging.getLogger().addHandler(handler)
class Count(logging.Handler):
    def emit(self, record):
        print(record.name, flush=True)
logging.getLogger().addHandler(Count())
logging.error("once")
"""
    assert printed("-c", script).split() == ["root", *2 * ["pykka_smtp.outcomes"]]


def test_last_words_go_out_by_a_mailer_too(server: ScriptedServer) -> None:
    script = f"""
import logging, warnings
warnings.simplefilter("ignore")
from pykka_smtp import Mailer
from pykka_smtp.logging import MailHandler
for number in range(5):
    mailer = Mailer.start({server.host!r}, {server.port})
    handler = MailHandler(
        mailer=mailer, sender="app@a.test", recipients="ops@b.test", interval=60
    )
    logging.getLogger().addHandler(handler)
logging.error("last words")
"""
    printed("-c", script)

    assert [mail.get_payload() for mail in mails(server)] == 5 * ["last words\r\n"]


def test_records_for_a_mailer_that_has_stopped_are_missed_in_one_line(
    server: ScriptedServer, attach: Attach, caplog: pytest.LogCaptureFixture
) -> None:
    mailer = Mailer.start(server.host, server.port)
    logger, handler = attach(None, mailer=mailer, interval=60)
    mailer.stop()

    logger.error("for nobody")
    handler.flush()

    assert wait_until(lambda: "1 records are not mailed" in caplog.text, PATIENCE)
    assert "Traceback" not in caplog.text
