"""Flask's extension with an Outbox: emails on disk before the response, sent by anybody."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykka
import pytest
from servers.python import python
from servers.require import require_module
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    Drain,
    Find,
    Outbox,
    OutboxError,
    OutboxRef,
    SendFailure,
    SendSuccess,
    Statistics,
)
from pykka_smtp.testing import Server, record_mails, refuse

require_module("flask")
import flask  # noqa: E402 - only where it is installed

from pykka_smtp.flask import Mail  # noqa: E402

ME, YOU = "me@example.com", "you@example.org"


@pytest.fixture(autouse=True)
def outboxes_are_stopped() -> Iterator[None]:
    yield
    actors = [ref._actor_weakref() for ref in pykka.ActorRegistry.get_all()]
    pykka.ActorRegistry.stop_all()
    for actor in actors:
        if isinstance(actor, Outbox):
            assert actor._thread.join(PATIENCE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mail.db"


def application(path: Path, server: Server | None = None, **config: Any) -> flask.Flask:
    app = flask.Flask("shop")
    if server is not None:
        app.config.update(MAIL_SERVER=server.host, MAIL_PORT=server.port)
    app.config.update({"MAIL_DEFAULT_SENDER": ME, "SMTP_OUTBOX": str(path)} | config)
    return app


def test_an_email_is_on_disk_when_send_returns_and_sent_later(path: Path) -> None:
    app = application(path, SMTP_OUTBOX_SEND=False)
    mail = Mail(app)

    with app.app_context():
        mail.send(recipients=YOU, body="1")
        [found] = mail.mailer.ask(Find(state="ready"))

    assert (found.alias, found.recipients) == ("flask:shop", (YOU,))
    with Server() as server:
        worker = Outbox.start(path, server.host, server.port, alias="worker")
        server.wait_for(lambda: server.mails)
        worker.stop()


def test_receivers_of_the_application_hear_in_its_context(path: Path) -> None:
    heard: list[tuple[str, object]] = []
    done = threading.Event()
    with Server(refuse("RCPT", to="no@example.org")) as server:
        app = application(path, server)
        mail = Mail(app)

        @mail.on_success
        def sent(_alias: str, outcome: SendSuccess, **_extra: object) -> None:
            heard.append((flask.current_app.name, type(outcome)))

        @mail.on_failure(app)
        def failed(_alias: str, outcome: SendFailure, **_extra: object) -> None:
            heard.append((flask.current_app.name, type(outcome)))
            done.set()

        with app.app_context():
            outcome = mail.ask(recipients=YOU, body="1", timeout=PATIENCE)
            mail.send(recipients="no@example.org", body="2")
            assert done.wait(PATIENCE)
            assert mail.mailer.ask(Drain(timeout=PATIENCE))

    assert isinstance(outcome, SendSuccess)
    assert heard == [("shop", SendSuccess), ("shop", SendFailure)]


def test_in_tests_nothing_is_written_and_receivers_hear_once(path: Path) -> None:
    app = application(path, TESTING=True)
    mail = Mail(app)
    heard: list[object] = []

    @mail.on_success
    def sent(_alias: str, outcome: SendSuccess, **_extra: object) -> None:
        heard.append(outcome)

    with record_mails() as recorded, app.app_context():
        mail.send(recipients=YOU, subject="Welcome")
        assert recorded[0].subject == "Welcome"

    assert len(heard) == 1
    assert not path.exists()


def test_a_file_that_cannot_be_used_is_an_error_of_send(path: Path) -> None:
    path.write_bytes(b"x" * 8192)
    app = application(path)
    mail = Mail(app)

    with app.app_context(), pytest.raises(OutboxError, match="is no outbox"):
        mail.send(recipients=YOU, body="1")

    with pytest.raises(TypeError, match="SMTP_OUTBOX: needs the path of a file, not int"):
        Mail(application(path, SMTP_OUTBOX=1))


def test_a_relative_path_is_that_in_the_instance_folder(path: Path) -> None:
    app = application(path, SMTP_OUTBOX="mail.db", SMTP_OUTBOX_SEND=False)
    app.instance_path = str(path.parent)
    mail = Mail(app)

    with app.app_context():
        assert isinstance(mail.mailer, OutboxRef)

    assert path.exists()


def test_what_waits_when_the_process_ends_is_sent_by_the_next(path: Path) -> None:
    code = (
        "import flask, sys\n"
        "from pykka_smtp.flask import Mail\n"
        "app = flask.Flask('shop')\n"
        "app.config.update(SMTP_OUTBOX=sys.argv[1], MAIL_DEFAULT_SENDER='me@example.com')\n"
        "app.config.update(SMTP_OUTBOX_SEND=False)\n"
        "mail = Mail(app)\n"
        "with app.app_context(): mail.send(recipients='you@example.org', body='1')\n"
    )
    done = python("-c", code, str(path))
    assert (done.returncode, done.stderr) == (0, "")

    heard: list[Any] = []
    with Server() as server:
        app = application(path, server)
        mail = Mail(app)
        mail.on_success(lambda alias, outcome: heard.append((alias, outcome)))
        with app.app_context():
            assert mail.mailer.ask(Statistics()).as_dict()
            assert wait_until(lambda: heard, PATIENCE)

    [(alias, _)] = heard
    assert alias == "flask:shop"
