"""What docs/django.md shows runs, and so does the project in examples/django_app."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.outboxes import Outboxes
from servers.python import python
from servers.require import require_module

from pykka_smtp.testing import Server, logins, refuse
from with_django.rig import DJANGO, HAS_MAILERS, OF_THE_PROJECT, ROOT, Backend, given

PAGE = (ROOT / "docs" / "django.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(
    SETTINGS,
    MAILERS,
    URL,
    OUTCOMES,
    RECEIVER,
    COMMIT,
    HAND_OVER,
    ATOMIC,
    TESTS,
    CELERY,
    LOGGING,
) = BLOCKS

PLAIN = """
SECRET_KEY = "none"
EMAIL_BACKEND = "pykka_smtp.django.EmailBackend"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}
USE_TZ = True
"""
SETUP = "import django\ndjango.setup()\n"

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Python in a project with such settings; give what it printed."""
    numbers = itertools.count()

    def run_it(settings: str, *command: str, env: dict[str, str] | None = None) -> str:
        # Each has a name of its own: one that was compiled in the same second would count instead.
        name = f"settings_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(settings)
        more = {"DJANGO_SETTINGS_MODULE": name, "PYTHONPATH": str(tmp_path)} | (env or {})
        done = python("-W", "error", *OF_THE_PROJECT, *command, cwd=tmp_path, env=more)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run_it


def at(server: Any, more: str = "") -> str:
    return f"{PLAIN}EMAIL_HOST, EMAIL_PORT = {server.host!r}, {server.port}\n{more}"


def test_the_settings_and_the_command_send_an_email(run: Run, certificates: Certificates) -> None:
    context = server_context(Tls(certificate=certificates.good))
    with Server(logins({"me": "secret"}), tls=context) as server:
        settings = SETTINGS.replace("mail.example.org", server.host)
        settings = f"{settings}\nEMAIL_PORT, SECRET_KEY = {server.port}, 'none'\n"
        env = {"EMAIL_HOST_PASSWORD": "secret", "SSL_CERT_FILE": str(certificates.ca)}

        run(
            f"{settings}\nSECRET_KEY = 'none'", "-m", "django", "sendtestemail", "a@b.test", env=env
        )

        [mail] = server.mails
    assert (mail.sender, mail.recipients) == ("me@example.com", ("a@b.test",))


@pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")
def test_the_mailers_are_valid() -> None:
    from django.core.mail import mailers  # type: ignore[attr-defined,unused-ignore]

    named: dict[str, Any] = {}
    exec(MAILERS, named)  # noqa: S102
    with given(MAILERS=named["MAILERS"]):
        default, newsletter = mailers["default"], mailers["newsletter"]

    assert (default.host, default.port, default.wait) == ("mail.example.org", 587, True)
    assert (newsletter.host, newsletter.wait) == ("bulk.example.org", False)
    assert newsletter._more == {"rate": "20/s"}


def test_a_function_gives_the_relays_url(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    named: dict[str, Any] = {}
    exec(URL, named)  # noqa: S102
    monkeypatch.setenv("SMTP_URL", "smtps://relay.test")

    with given(SMTP_URL=named["SMTP_URL"]):
        assert (backend().host, backend().port) == ("relay.test", 465)


def test_what_became_of_each_recipient_is_printed(run: Run) -> None:
    with Server(refuse("RCPT", "550 5.1.1 who?", to="no@example.org")) as server:
        printed = run(at(server), "-c", SETUP + OUTCOMES)
    assert printed == "not for no@example.org - 550 5.1.1 who?\n"

    with Server(refuse("RCPT", "550 5.1.1 who?")) as server:
        printed = run(at(server), "-c", SETUP + OUTCOMES)
    assert printed.startswith("nobody gets it: SMTP ")


def test_a_receiver_hears_of_what_nobody_waited_for(run: Run) -> None:
    send = """
from django.core.mail import send_mail
print(send_mail("Party", "Do come", "me@example.com", ["you@example.org"]))
"""
    with Server(refuse("RCPT")) as server:
        printed = run(at(server, "SMTP_WAIT = False"), "-c", SETUP + RECEIVER + send)

    # Two threads print: their line ends may be mixed up.
    assert "not sent: Party SMTP" in printed
    assert printed.replace("not sent: Party SMTP", "").split() == ["1"]


def test_an_invitation_is_sent_at_the_commit(run: Run) -> None:
    with Server() as server:
        run(at(server), "-c", f"{SETUP}{COMMIT}\ninvite('you@example.org')")

        assert [mail.recipients for mail in server.mails] == [("you@example.org",)]


@pytest.mark.long
def test_emails_in_the_transaction_are_handed_over_and_sent(run: Run, tmp_path: Path) -> None:
    settings = PLAIN + HAND_OVER
    run(settings, "-m", "django", "migrate")
    run(settings, "-c", f"{SETUP}{ATOMIC}\norder('you@example.org')")

    with Server() as server, Outboxes(tmp_path) as outboxes:
        outboxes.path = tmp_path / "db"
        outboxes.start(server, alias="django")
        [outcome] = outboxes.wait_for(1)

    assert outcome.mail.recipients == ("you@example.org",)


def test_the_tests_of_a_project_pass(run: Run, tmp_path: Path) -> None:
    (tmp_path / "test_invitations.py").write_text(TESTS)

    printed = run(PLAIN, "-W", "ignore", "-m", "django", "test")

    assert "Ran 2 tests" in printed
    assert printed.rstrip().endswith("OK")


@pytest.mark.long
def test_a_worker_of_celery_waits_for_what_is_left(run: Run) -> None:
    require_module("celery")
    send = """
from django.core.mail import send_mail
send_mail("Party", "Do come", "me@example.com", ["you@example.org"])
worker_process_shutdown.send(None)
import os; os._exit(0)
"""
    with Server() as server:
        program = SETUP + CELERY + send
        run(at(server, "SMTP_WAIT = False"), "-W", "ignore", "-c", program)

        assert len(server.mails) == 1


def test_the_admins_hear_of_an_email_that_failed(run: Run) -> None:
    admins = '["ops@example.com"]' if DJANGO >= (6, 0) else '[("Ops", "ops@example.com")]'
    send = """
from django.core.mail import EmailMessage
try:
    EmailMessage("Party", "Do come", "me@example.com", ["no@example.org"]).send()
except OSError as error:
    print(error)
"""
    with Server(refuse("RCPT", "550 5.1.1 who?", to="no@example.org")) as server:
        run(at(server, f"{LOGGING}\nADMINS = {admins}\n"), "-c", SETUP + send)

        [mail] = server.mails
    assert mail.recipients == ("ops@example.com",)
    assert b"Subject: [Django] WARNING: django: mail " in mail.data


EXAMPLE = """
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from django.test import Client
from pykka_smtp import wait_until_done
client = Client()
for name in ("you", "no"):
    reply = client.post("/", {"address": f"{name}@example.org"})
    print(reply.status_code, reply.content.decode(), end="")
assert wait_until_done(20)
print(client.get("/").content.decode(), end="")
"""


def test_the_example_stores_what_became_of_each_invitation(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "django_app"
    with Server(refuse("RCPT", "550 5.1.1 who?", to="no@example.org")) as server:
        env = {
            "PYTHONPATH": str(folder),
            "DJANGO_SETTINGS_MODULE": "settings",
            "DATABASE": str(tmp_path / "db"),
            "SMTP_URL": f"smtp://{server.host}:{server.port}",
        }
        done = python("-W", "error", *OF_THE_PROJECT, "-c", SETUP + EXAMPLE, env=env, cwd=tmp_path)

        assert b"multipart/alternative" in server.mails[0].data
    lines = done.stdout.splitlines()
    assert (lines[:2], done.stderr) == (["202 invited"] * 2, "")
    assert lines[2] == "you@example.org: accepted: 250 2.0.0 taken"
    assert lines[3].startswith("no@example.org: not sent: django: mail ")


def test_the_example_is_run_as_it_says() -> None:
    manage = ROOT / "examples" / "django_app" / "manage.py"

    done = python("-W", "error", *OF_THE_PROJECT, manage, "check")

    assert (done.returncode, done.stdout) == (
        *(0, "System check identified no issues (0 silenced).\n"),
    )


def test_all_the_code_of_the_page_is_run_here() -> None:
    assert len(BLOCKS) == 11
