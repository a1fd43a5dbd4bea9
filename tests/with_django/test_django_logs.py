"""Error emails of a Django project: they go out, nobody waits for them, and there is no loop."""

import logging
import logging.handlers
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    AsyncioActor,
    Outcome,
    smtp_send_failure,
    smtp_send_success,
    smtp_server_reply,
    wait_until_done,
)
from pykka_smtp.logging import MailHandler
from pykka_smtp.signals.send_mail import new_id
from pykka_smtp.testing import Server, hold, refuse
from with_django.rig import DJANGO, HAS_MAILERS, Backend, given, message, stop_mailers

ADMINS: list[Any] = ["ops@b.test"] if DJANGO >= (6, 0) else [("Ops", "ops@b.test")]
pytestmark = pytest.mark.filterwarnings(
    "ignore:The EMAIL_", "ignore:.*MAILERS", "ignore:.*get_connection"
)

Attach = Callable[..., logging.Logger]


@pytest.fixture
def attach() -> Iterator[Attach]:
    """Attach an AdminEmailHandler to a logger, for warnings, too, and give a logger below it."""
    from django.utils.log import AdminEmailHandler

    undo: list[Callable[[], object]] = []

    def make(server: Any, name: str | None = None, *, queued: bool = False, **more: Any) -> Any:
        where = {"EMAIL_HOST": server.host, "EMAIL_PORT": server.port, "ADMINS": ADMINS}
        context = given(EMAIL_BACKEND="pykka_smtp.django.EmailBackend", **where | more)
        context.__enter__()
        undo.append(lambda: context.__exit__(None, None, None))
        handler: Any = AdminEmailHandler()
        if queued:
            waiting: queue.Queue[Any] = queue.Queue()
            listener = logging.handlers.QueueListener(waiting, handler)
            listener.start()
            undo.append(listener.stop)
            handler = logging.handlers.QueueHandler(waiting)
        logger = logging.getLogger(name)
        before = logger.level
        logger.setLevel(logging.WARNING)
        logger.addHandler(handler)
        undo.append(lambda: logger.setLevel(before))
        undo.append(lambda: logger.removeHandler(handler))
        return logging.getLogger("shop")

    yield make
    assert wait_until_done(PATIENCE)
    while undo:
        undo.pop()()
    assert stop_mailers(PATIENCE)


def tried(server: Any) -> list[str]:
    """Return the subjects of the emails whose text was sent, whatever became of them."""
    assert wait_until_done(PATIENCE)
    found = [mail for session in server.sessions for mail in session.mails]
    lines = [line for mail in found for line in mail.data.split(b"\r\n")]
    return [line.decode() for line in lines if line.startswith(b"Subject: ")]


def test_an_error_is_mailed_to_the_admins_and_nobody_waits(attach: Attach) -> None:
    go = threading.Event()
    with Server(hold(".", go)) as server:
        attach(server, "shop").error("Boom %d", 1)  # returns, though the server is silent
        go.set()

        assert tried(server) == ["Subject: [Django] ERROR: Boom 1"]
        assert server.mails[0].recipients == ("ops@b.test",)


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("wait", [True, False])
def test_an_error_email_that_fails_is_not_the_cause_of_another(
    attach: Attach, wait: bool, queued: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(refuse(".")) as server:
        attach(server, queued=queued, SMTP_WAIT=wait).error("Boom")  # by the root logger's handler

        failed = "pykka_smtp.outcomes"
        assert wait_until(lambda: any(r.name == failed for r in caplog.records), PATIENCE)
        assert tried(server).count("Subject: [Django] ERROR: Boom") == 1
        assert len(tried(server)) == 1


@pytest.mark.parametrize("queued", [False, True])
def test_an_email_that_fails_is_told_to_the_admins_once(
    attach: Attach, backend: Backend, queued: bool
) -> None:
    with Server(refuse(".")) as server:
        attach(server, "pykka_smtp.outcomes", queued=queued)

        assert backend(server, fail_silently=True).send_messages([message()]) == 0

        assert wait_until(lambda: len(tried(server)) == 2, PATIENCE)
        first, second = tried(server)
        assert first == "Subject: Hello"
        assert second.startswith("Subject: [Django] WARNING: django: mail ")


def test_a_receiver_that_raises_is_told_once_for_each_email(
    attach: Attach, backend: Backend
) -> None:
    def broken(_sender: str, outcome: Outcome, **_: object) -> None:
        raise LookupError(outcome.mail.id)

    with Server() as server, smtp_send_success.connected_to(broken):
        attach(server)

        backend(server).send_messages([message()])

        assert wait_until(lambda: len(tried(server)) >= 2, PATIENCE)
        subjects = [one for one in tried(server) if "receiver" in one]
        assert len(subjects) == 1
        assert len(tried(server)) == 2


def test_a_receiver_that_logs_an_error_hears_of_no_error_email(
    attach: Attach, backend: Backend
) -> None:
    heard: list[str] = []
    logger = logging.getLogger("shop")

    def log(_sender: str, *, outcome: Outcome, **_: object) -> None:
        heard.append(outcome.context.subject)
        logger.error("not sent: %s", outcome)

    def log_reply(_sender: str, *, mail: Any, reply: Any, **_: object) -> None:
        heard.append(mail.context.subject)
        if reply.code >= 400:
            logger.error("reply: %s", reply)

    with (
        Server(refuse(".")) as server,
        smtp_send_failure.connected_to(log),
        smtp_server_reply.connected_to(log_reply),
    ):
        attach(server, "shop")

        backend(server, fail_silently=True).send_messages([message()])

        assert wait_until(lambda: len(tried(server)) == 3, PATIENCE)
        assert set(heard) == {"Hello"}


def test_a_relay_that_is_not_there_ends_in_no_loop(attach: Attach, backend: Backend) -> None:
    with Server() as gone:
        pass
    outcomes: list[logging.LogRecord] = []
    handler: Any = logging.Handler()
    handler.emit = outcomes.append
    logging.getLogger("pykka_smtp").addHandler(handler)
    attach(gone)

    for _ in range(6):  # and it is dead, then
        assert backend(gone, fail_silently=True).send_messages([message()]) == 0

    assert wait_until_done(PATIENCE)
    logging.getLogger("pykka_smtp").removeHandler(handler)
    failed = [one for one in outcomes if one.name == "pykka_smtp.outcomes"]
    assert 12 <= len(failed) <= 20  # each failure was mailed, once


def test_an_error_that_is_logged_while_messages_are_made_is_mailed(
    attach: Attach, backend: Backend
) -> None:
    with Server() as server:
        logger = attach(server, "shop")

        def messages() -> Iterator[Any]:
            logger.error("A text is missing")
            yield message()

        assert backend(server).send_messages(messages()) == 1

        assert sorted(tried(server)) == [
            "Subject: Hello",
            "Subject: [Django] ERROR: A text is missing",
        ]


@pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")
def test_an_error_email_by_a_mailer_of_mailers_that_fails_raises_nothing() -> None:
    from django.utils.log import AdminEmailHandler

    with Server(refuse(".")) as server:
        options = {"host": server.host, "port": server.port}
        mailers = {"ops": {"BACKEND": "pykka_smtp.django.EmailBackend", "OPTIONS": options}}
        with given(MAILERS=mailers, ADMINS=ADMINS):
            handler: Any = AdminEmailHandler(using="ops")
            record = {"name": "shop", "msg": "Boom", "levelname": "ERROR"}
            handler.handle(logging.makeLogRecord(record))

            assert tried(server) == ["Subject: [Django] ERROR: Boom"]
            assert stop_mailers(PATIENCE)


def test_no_error_email_is_about_one_of_another_process_or_of_a_mail_handler(
    attach: Attach,
) -> None:
    bundles = MailHandler(sender="app@a.test", recipients="ops@b.test")
    ids = [bundles._mail("", 0, logging.ERROR).id, f"log-{new_id()}-1", "log-of-mine-1"]
    bundles.close()
    with Server() as server:
        attach(server, "pykka_smtp.outcomes")
        logger = logging.getLogger("pykka_smtp.outcomes")

        for id_ in ids:
            logger.warning("not sent: %s", id_, extra={"mail": id_})

        assert tried(server) == ["Subject: [Django] WARNING: not sent: log-of-mine-1"]


class Failing(AsyncioActor):
    """Logs an error on the thread of all such actors, and raises another."""

    def on_receive(self, message: Any) -> Any:
        logging.getLogger("shop").error("from an actor")
        raise LookupError(message)


def test_an_error_on_the_loop_thread_is_mailed_without_stopping_it(attach: Attach) -> None:
    with Server() as server:
        attach(server)

        Failing.start().tell("no such thing")

        assert wait_until(lambda: len(tried(server)) >= 1, PATIENCE)
        assert "Subject: [Django] ERROR: from an actor" in tried(server)
        assert not [subject for subject in tried(server) if "Unhandled" in subject]


class Everything(logging.Handler):
    """Sends each record by a backend, those of DEBUG as well."""

    def __init__(self, backend: Any) -> None:
        super().__init__()
        self._backend = backend

    def emit(self, record: logging.LogRecord) -> None:
        self._backend.send_messages([message(subject=record.getMessage()[:40])])


def test_what_is_logged_while_an_error_email_is_handed_over_becomes_no_email(
    backend: Backend,
) -> None:
    root = logging.getLogger()
    before = root.level
    with Server() as server:
        handler = Everything(backend(server))
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            logging.getLogger("shop").debug("Boom")  # starts threads and actors, which log

            assert tried(server) == ["Subject: Boom"]
        finally:
            root.setLevel(before)
            root.removeHandler(handler)
