"""The extension for Flask, with the real Flask and the real Flask-Mail."""

import email.charset
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import traceback
import urllib.request
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykka
import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.ports import reserved_port
from servers.python import printed
from servers.require import require_module
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Outcome, SendFailure, SendMail, SendSuccess, Statistics, wait_until_done
from pykka_smtp.testing import Server, logins, record_mails
from pykka_smtp.testing.moods import hold, refuse

require_module("flask")
import flask  # noqa: E402 - only where it is installed

from pykka_smtp.flask import Mail  # noqa: E402

ME = "me@example.com"
YOU = "you@example.org"


@pytest.fixture(autouse=True)
def actors_are_stopped() -> Iterator[None]:
    yield
    wait_until_done(PATIENCE)
    pykka.ActorRegistry.stop_all()


@pytest.fixture
def mailing() -> Iterator[Server]:
    with Server() as server:
        yield server


def application(server: Server | None = None, **config: Any) -> flask.Flask:
    app = flask.Flask("shop")
    if server is not None:
        app.config.update(MAIL_SERVER=server.host, MAIL_PORT=server.port)
    app.config.update({"MAIL_DEFAULT_SENDER": ME} | config)
    return app


def send(app: flask.Flask, mail: Mail, *given: Any, **fields: Any) -> Outcome:
    with app.app_context():
        return mail.ask(
            *given, timeout=PATIENCE, **fields or {} if given else {"body": "1"} | fields
        )


# Sending


def test_a_request_does_not_wait_for_the_server() -> None:
    go = threading.Event()
    with Server(hold("greeting", go)) as server:
        app = application(server)
        mail = Mail()
        mail.init_app(app)

        @app.post("/signup")
        def signup() -> str:
            mail.send(recipients=YOU, subject="Welcome", body="Hello")
            return "done"

        assert app.test_client().post("/signup").text == "done"
        assert not server.mails
        go.set()
        server.wait_for(lambda: server.mails)

    [one] = server.mails
    assert (one.sender, one.recipients) == (ME, (YOU,))
    assert b"Subject: Welcome\r\n" in one.data


def test_ask_returns_the_outcome() -> None:
    with Server(refuse("RCPT", "550 5.1.1 who?", to="no@example.org")) as server:
        app = application(server)
        mail = Mail(app)

        outcomes = [send(app, mail, recipients=who) for who in (YOU, "no@example.org")]

    assert isinstance(outcomes[0], SendSuccess)
    assert isinstance(outcomes[1], SendFailure)
    assert outcomes[1].code == 550
    assert outcomes[0].alias == "flask:shop"


def test_a_send_mail_is_sent_as_it_is(mailing: Server) -> None:
    app = application(mailing)
    mail = Mail(app)
    letter = SendMail(sender="other@example.com", recipients=YOU)

    assert send(app, mail, letter).mail is letter
    with pytest.raises(TypeError, match="subject: belongs into the email"), app.app_context():
        mail.send(letter, subject="x")


def test_one_mailer_keeps_its_connection_for_all_requests(mailing: Server) -> None:
    app = application(mailing)
    mail = Mail(app)

    for _ in range(5):
        send(app, mail, recipients=YOU)

    assert len(mailing.sessions) == 1
    with app.app_context():
        assert mail.mailer.ask(Statistics()).sent == 5


@pytest.mark.parametrize(
    "sender", [("My App", ME), ["My App", ME], f"My App <{ME}>", f'"My App" <{ME}>']
)
def test_the_default_sender_may_have_a_name(mailing: Server, sender: Any) -> None:
    app = application(mailing, MAIL_DEFAULT_SENDER=sender)

    send(app, Mail(app), recipients=YOU)

    assert mailing.mails[0].sender == ME
    assert b"From: My App <me@example.com>\r\n" in mailing.mails[0].data


def test_an_email_may_name_another_sender(mailing: Server) -> None:
    app = application(mailing)
    mail = Mail(app)

    send(app, mail, sender=("You", "other@example.com"), recipients=YOU)
    send(app, mail, sender="You <o@example.com>", recipients=YOU, message=b"A: b\r\n\r\n", body="")

    assert [one.sender for one in mailing.mails] == ["other@example.com", "o@example.com"]


def test_what_is_missing_is_said_in_one_line(mailing: Server) -> None:
    mail, app = Mail(), application(mailing, MAIL_DEFAULT_SENDER=None)

    with pytest.raises(RuntimeError, match="Working outside of application context"):
        mail.send(recipients=YOU)
    with app.app_context():
        with pytest.raises(RuntimeError, match=r"init_app\(\) was not called .* 'shop'"):
            mail.send(recipients=YOU)
        mail.init_app(app)
        with pytest.raises(TypeError, match="sender is missing; give it, or set MAIL_DEFAULT"):
            mail.send(recipients=YOU)
        with pytest.raises(TypeError, match="needs a SendMail, a Message of Flask-Mail, or fields"):
            mail.send("hello")  # type: ignore[arg-type]


# Settings


def test_a_relay_url_takes_the_place_of_the_settings_about_the_server(mailing: Server) -> None:
    url = f"smtp://{mailing.host}:{mailing.port}"
    elsewhere: dict[str, Any] = {
        "MAIL_SERVER": "mail.invalid",
        "MAIL_USERNAME": "u",
        "MAIL_PASSWORD": "p",
    }
    by_setting = application(SMTP_URL=url, **elsewhere)
    by_option = application(**elsewhere)

    assert isinstance(send(by_setting, Mail(by_setting), recipients=YOU), SendSuccess)
    assert isinstance(send(by_option, Mail(by_option, url=url), recipients=YOU), SendSuccess)


def test_it_logs_in(certificates: Certificates) -> None:
    tls, trusting = server_context(Tls(certificate=certificates.good)), certificates.trusting()
    with Server(logins({"me": "secret"}), tls=tls) as server:
        app = application(server, MAIL_USE_TLS=True, MAIL_USERNAME="me", MAIL_PASSWORD="secret")

        outcome = send(app, Mail(app, tls_context=trusting), recipients=YOU)

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.peer
    assert outcome.peer.tls_verified


def test_implicit_tls(certificates: Certificates) -> None:
    tls, trusting = server_context(Tls(certificate=certificates.good)), certificates.trusting()
    with Server(tls=tls, implicit_tls=True) as server:
        app = application(server, MAIL_USE_SSL=True)

        outcome = send(app, Mail(app, tls_context=trusting), recipients=YOU)

    assert isinstance(outcome, SendSuccess), outcome


def test_tls_that_is_wanted_is_never_done_without(mailing: Server) -> None:
    app = application(mailing, MAIL_USE_TLS=True)

    outcome = send(app, Mail(app), recipients=YOU)

    assert isinstance(outcome, SendFailure)
    assert outcome.kind.name == "SECURITY"


def test_the_number_of_emails_on_a_connection(mailing: Server) -> None:
    app = application(mailing, MAIL_MAX_EMAILS=2)
    mail = Mail(app)

    for _ in range(4):
        send(app, mail, recipients=YOU)

    assert len(mailing.sessions) == 2


def test_a_transcript_where_it_is_wanted(mailing: Server) -> None:
    app = application(mailing, MAIL_DEBUG=True)

    assert send(app, Mail(app), recipients=YOU).transcript


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"MAIL_USE_TLS": True, "MAIL_USE_SSL": True}, "MAIL_USE_TLS and MAIL_USE_SSL: set one"),
        ({"MAIL_PORT": 99_999}, "port"),
        ({"MAIL_DEFAULT_SENDER": "nobody"}, "nobody"),
        ({"MAIL_DEFAULT_SENDER": "Me <me@>"}, "me@"),
        ({"SMTP_URL": "smtp://me:hush@mail.example.org:x"}, "relay URL"),
    ],
)
def test_a_wrong_setting_is_an_error_of_init_app_that_shows_no_password(
    config: dict[str, Any], words: str
) -> None:
    app = application(**{"MAIL_USERNAME": "me", "MAIL_PASSWORD": "hush"} | config)

    with pytest.raises(ValueError, match=words) as raised:
        Mail(app)

    told = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    told.stack[:] = told.stack[1:]  # without this test's own, which has the settings
    assert "hush" not in "".join(told.format())


def test_an_option_with_a_password_is_shown_in_no_frame() -> None:
    app = application()

    with pytest.raises(TypeError, match="passwort is not an option") as raised:
        Mail(app, passwort="hush")  # type: ignore[call-arg]

    told = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    told.stack[:] = told.stack[1:]  # without this test's own line
    assert "hush" not in "".join(told.format())


# Tests of the application


def test_an_application_in_a_test_sends_nothing(mailing: Server) -> None:
    app = application(mailing)
    mail = Mail(app)
    app.config["TESTING"] = True  # after the factory has returned, as in Flask's own tutorial

    outcome = send(app, mail, recipients=YOU)

    assert isinstance(outcome, SendSuccess)
    assert (outcome.alias, outcome.text) == ("flask:shop", "2.0.0 recorded")
    assert not mailing.sessions


@pytest.mark.parametrize(("testing", "suppress", "is_sent"), [(True, False, 1), (False, True, 0)])
def test_the_setting_that_suppresses_sends_counts_more(
    mailing: Server, testing: bool, suppress: bool, is_sent: int
) -> None:
    app = application(mailing, TESTING=testing, MAIL_SUPPRESS_SEND=suppress)

    send(app, Mail(app), recipients=YOU)

    assert len(mailing.mails) == is_sent


def test_a_test_looks_at_what_was_sent() -> None:
    app = application(TESTING=True)
    mail = Mail(app)

    with app.app_context(), mail.record_messages() as outbox:
        mail.send(recipients=YOU, subject="Hello", body="1 2 3")

        assert [one.subject for one in outbox] == ["Hello"]
    with app.app_context(), record_mails() as outbox:
        mail.send(recipients=YOU, subject="Again")

        assert outbox[0].recipients == (YOU,)


# Receivers


def test_receivers_run_in_the_context_of_their_application(mailing: Server) -> None:
    app = application(mailing, COLOUR="blue")
    mail = Mail(app)
    heard: list[str] = []
    ended: list[object] = []
    app.teardown_appcontext(ended.append)

    @mail.on_success
    def sent(sender: str, outcome: SendSuccess, **extra: object) -> None:
        heard.append(f"{sender} {flask.current_app.config['COLOUR']} {outcome.mail.id}")

    outcome = send(app, mail, recipients=YOU)
    assert wait_until_done(PATIENCE)

    assert heard == [f"flask:shop blue {outcome.mail.id}"]
    assert len(ended) == 2  # as a database's session, which an application closes there, needs it


def test_a_receiver_within_a_factory_is_not_lost() -> None:
    heard: list[Outcome] = []
    mail = Mail()

    def create_app(server: Server) -> flask.Flask:
        app = application(server)
        mail.init_app(app)

        @mail.on_failure(app)
        def failed(sender: str, outcome: SendFailure, **extra: object) -> None:
            heard.append(outcome)

        return app

    with Server(refuse("RCPT")) as server:
        app = create_app(server)
        gc.collect()
        outcome = send(app, mail, recipients=YOU)
        assert wait_until_done(PATIENCE)

    assert heard == [outcome]


def test_applications_of_one_name_hear_of_their_own_emails_only(mailing: Server) -> None:
    mail = Mail()
    apps = [application(mailing) for _ in range(2)]
    heard: list[tuple[int, Outcome]] = []
    everything: list[Outcome] = []
    mail.on_success(lambda sender, outcome, **extra: everything.append(outcome))
    for number, app in enumerate(apps):
        mail.init_app(app)
        mail.on_success(app)(
            lambda sender, outcome, number=number, **extra: heard.append((number, outcome))
        )

    outcomes = [send(app, mail, recipients=YOU) for app in apps]
    assert wait_until_done(PATIENCE)

    assert heard == list(enumerate(outcomes))
    assert everything == outcomes


def test_a_receiver_that_raises_is_logged_by_its_name(
    mailing: Server, caplog: pytest.LogCaptureFixture
) -> None:
    app = application(mailing)
    mail = Mail(app)

    @mail.on_success
    def broken(sender: str, outcome: SendSuccess, **extra: object) -> None:
        raise LookupError

    send(app, mail, recipients=YOU)
    assert wait_until_done(PATIENCE)

    assert f"receiver {__name__}.{broken.__qualname__} raised" in caplog.text


def test_a_receiver_may_send_and_wait(mailing: Server) -> None:
    app = application(mailing)
    mail = Mail(app)
    again: list[Outcome] = []

    @mail.on_success
    def answer(sender: str, outcome: SendSuccess, **extra: object) -> None:
        if outcome.mail.context is None:
            again.append(mail.ask(recipients=YOU, context="second"))

    send(app, mail, recipients=YOU)
    assert wait_until_done(PATIENCE)

    assert len(again) == 1


def test_a_receiver_must_be_callable() -> None:
    with pytest.raises(TypeError, match="a receiver must be callable, not str"):
        Mail().on_failure("failed")  # type: ignore[call-overload]


def test_an_application_that_is_gone_takes_its_mailer_along(mailing: Server) -> None:
    app = application(mailing)
    mail = Mail()
    mail.init_app(app)
    mail.on_success(app)(lambda sender, outcome, app=app, **extra: None)
    send(app, mail, recipients=YOU)
    with app.app_context():
        mailer = mail.mailer
    gone = weakref.ref(app)
    assert wait_until_done(PATIENCE)
    del app

    assert wait_until(lambda: (gc.collect(), gone() is None)[1], PATIENCE)
    assert mailer.actor_stopped.wait(PATIENCE)


# Flask-Mail's Message


@pytest.fixture
def flask_mail() -> Iterator[Any]:
    require_module("flask_mail")
    before = dict(email.charset.CHARSETS)
    module = importlib.import_module("flask_mail")
    # What importing it does to the whole process.
    email.charset.add_charset("utf-8", email.charset.SHORTEST, None, "utf-8")
    yield module
    email.charset.CHARSETS.clear()
    email.charset.CHARSETS.update(before)


@pytest.mark.parametrize("offers", [("8BITMIME",), ()], ids=["8bit", "7bit"])
def test_a_message_of_flask_mail_is_sent(flask_mail: Any, offers: tuple[str, ...]) -> None:
    with Server(offers=offers) as server:
        app = application(server, MAIL_DEFAULT_SENDER=("Mein Lädchen", ME))
        mail = Mail(app)
        with app.app_context():
            message = flask_mail.Message(
                "Grüße", recipients=[("Du", YOU)], cc=["cc@example.org"], bcc=["b@example.org"]
            )
            message.body, message.html = "Schön", "<b>Schön</b>"
            message.attach("zahlen.csv", "text/csv", "1;2")
            outcome = mail.ask(message, timeout=PATIENCE)

    assert isinstance(outcome, SendSuccess), outcome
    assert outcome.message_id == message.msgId
    [one] = server.mails
    assert one.sender == ME
    assert set(one.recipients) == {YOU, "cc@example.org", "b@example.org"}
    assert one.data.isascii() == (not offers)
    parsed = email.message_from_bytes(one.data, policy=email.policy.default)
    text, html, attached = [part for part in parsed.walk() if not part.is_multipart()]
    assert (text.get_content().strip(), html.get_content().strip()) == ("Schön", "<b>Schön</b>")
    assert attached.get_filename() == "zahlen.csv"
    assert (parsed["subject"], parsed["bcc"]) == ("Grüße", None)
    assert parsed["from"] == f"Mein Lädchen <{ME}>"


def test_a_text_with_letters_outside_ascii_is_sent_after_flask_mail_was_imported(
    flask_mail: Any,
) -> None:
    from email.mime.text import MIMEText

    with Server(offers=()) as server:
        app = application(server)
        message = MIMEText("Schön", "plain", "utf-8")
        outcome = send(app, Mail(app), recipients=YOU, message=message, body="")

    assert isinstance(outcome, SendSuccess), outcome
    assert server.mails[0].data.isascii()


def test_a_message_of_flask_mail_needs_no_other_recipient_than_a_blind_one(
    flask_mail: Any, mailing: Server
) -> None:
    app = application(mailing)
    mail = Mail(app)
    with app.app_context():
        mail.ask(flask_mail.Message("x", bcc=[YOU, YOU], body="1"), timeout=PATIENCE)

    assert mailing.mails[0].recipients == (YOU,)


def test_what_is_wrong_with_a_message_of_flask_mail_is_said(
    flask_mail: Any, mailing: Server
) -> None:
    app = application(mailing)
    mail = Mail(app)
    with app.app_context():
        new = flask_mail.Message
        with pytest.raises(ValueError, match="a line break in its subject"):
            mail.send(new("a\r\nBcc: x@example.org", recipients=[YOU]))
        with pytest.raises(ValueError, match="the option 'NOTIFY=NEVER': use SendMail"):
            mail.send(new("a", recipients=[YOU], rcpt_options=["NOTIFY=NEVER"]))
        with pytest.raises(ValueError, match="recipients: empty"):
            mail.send(new("a"))
        app.extensions["mail"].default_sender = None
        with pytest.raises(TypeError, match="the message has no sender"):
            mail.send(new("a", recipients=[YOU]))
        mail.send(new("a", sender=ME, recipients=[YOU], mail_options=["BODY=8BITMIME"]))
    mailing.wait_for(lambda: mailing.mails)


def test_both_extensions_may_be_used_side_by_side(flask_mail: Any, mailing: Server) -> None:
    app = application(mailing)
    theirs, ours = flask_mail.Mail(app), Mail(app)

    with app.app_context():
        ours.ask(flask_mail.Message("x", recipients=[YOU], body="1"), timeout=PATIENCE)
        theirs.send(flask_mail.Message("y", recipients=[YOU], body="1"))

    assert len(mailing.mails) == 2


# Processes


APPLICATION = """
import os, flask
from pykka_smtp.flask import Mail

mail = Mail()

def create_app():
    app = flask.Flask("shop")
    app.config.update(
        MAIL_SERVER="127.0.0.1", MAIL_PORT=int(os.environ["SMTP_PORT"]),
        MAIL_DEFAULT_SENDER="me@example.com",
    )
    mail.init_app(app)

    @mail.on_success(app)
    def sent(sender, outcome, **extra):
        with open(os.environ["HEARD"], "a") as file:
            file.write(f"{flask.current_app.name} {os.getpid()}\\n")

    @app.get("/")
    def index():
        mail.send(recipients="you@example.org", body="1 2 3")
        return str(os.getpid())

    return app

app = create_app()
"""


def test_what_was_told_is_out_and_heard_when_the_process_ends(
    mailing: Server, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(APPLICATION)
    heard = tmp_path / "heard"
    program = "from shop import app; c = app.test_client(); [c.get('/') for _ in range(20)]"

    printed(
        "-c",
        program,
        cwd=tmp_path,
        env=os.environ | {"SMTP_PORT": str(mailing.port), "HEARD": str(heard)},
    )

    assert mailing.accepted == len(heard.read_text().splitlines()) == 20


@pytest.mark.long
@pytest.mark.timeout(120)
def test_the_workers_of_gunicorn_end_when_their_emails_are_out(tmp_path: Path) -> None:
    require_module("gunicorn")
    (tmp_path / "shop.py").write_text(
        APPLICATION + "app.test_client().get('/')  # before the fork\n"
    )
    heard, go = tmp_path / "heard", threading.Event()
    with Server(hold(".", go)) as server, reserved_port("127.0.0.1") as port:
        url = f"http://127.0.0.1:{port}/"
        worker = [sys.executable, "-m", "gunicorn", "--workers", "2", "--preload", "shop:app"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [*worker, "--bind", f"127.0.0.1:{port}"],
                cwd=tmp_path,
                stdout=log,
                stderr=log,
                env=os.environ | {"SMTP_PORT": str(server.port), "HEARD": str(heard)},
            )
        try:
            assert wait_until(lambda: _get(url), PATIENCE * 2), (tmp_path / "log").read_text()
            count = 1 + sum(bool(_get(url)) for _ in range(6))
            server.wait_for(lambda: len(server.mails) >= 2)
            process.send_signal(signal.SIGTERM)
            go.set()
            assert process.wait(PATIENCE * 3) == 0
        finally:
            process.kill()
            process.wait()

    assert server.accepted >= count + 1
    assert len(heard.read_text().splitlines()) == server.accepted


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as reply:  # noqa: S310 - it is ours
            return str(reply.read().decode())
    except OSError:
        return ""
