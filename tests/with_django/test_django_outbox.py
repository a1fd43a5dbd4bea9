"""Messages that are handed over in a project's transaction, with the real Django."""

import hashlib
import socket
import sqlite3
from pathlib import Path

import pytest
from servers.outboxes import Outboxes
from servers.python import python
from servers.scripted import ScriptedServer

from with_django.rig import HAS_MAILERS, OF_THE_PROJECT

SETTINGS = """
SECRET_KEY = "none"
INSTALLED_APPS = ["pykka_smtp.django"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "mail.db"},
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": "other.db"},
}
USE_TZ = True
DEFAULT_FROM_EMAIL = "me@a.test"
"""
BY_SETTINGS = """
EMAIL_BACKEND = "pykka_smtp.django.EmailBackend"
SMTP_OUTBOX = "default"
"""
BY_MAILERS = """
MAILERS = {
    "default": {
        "BACKEND": "pykka_smtp.django.EmailBackend",
        "OPTIONS": {"outbox": "default", "host": "relay.test"},
    }
}
"""
START = """
import django
django.setup()
from django.core.mail import EmailMessage, mail_admins, send_mail
from django.db import connection, transaction
"""


def project(folder: Path, settings: str, *command: str) -> str:
    # Each has a name of its own: one that was compiled in the same second would count instead.
    name = f"settings_{hashlib.sha256(settings.encode()).hexdigest()}"
    (folder / f"{name}.py").write_text(SETTINGS + settings)
    env = {"DJANGO_SETTINGS_MODULE": name, "PYTHONPATH": str(folder)}
    done = python("-W", "error", *OF_THE_PROJECT, *command, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("way", ["settings", "MAILERS"])
def test_what_atomic_commits_is_sent_and_what_it_rolls_back_is_not(
    outboxes: Outboxes, server: ScriptedServer, way: str
) -> None:
    if way == "MAILERS" and not HAS_MAILERS:
        pytest.skip("MAILERS are new in Django 6.1")
    settings = BY_SETTINGS if way == "settings" else BY_MAILERS
    folder = outboxes.path.parent
    project(folder, settings, "-m", "django", "migrate")
    code = START + (
        "with transaction.atomic():\n"
        "    print('handed over', send_mail('kept', 'Text', None, ['kept@b.test']))\n"
        "try:\n"
        "    with transaction.atomic():\n"
        "        send_mail('gone', 'Text', None, ['gone@b.test'])\n"
        "        raise ZeroDivisionError\n"
        "except ZeroDivisionError: pass\n"
        "with transaction.atomic():\n"
        "    try:\n"
        "        with transaction.atomic():\n"
        "            send_mail('inner', 'Text', None, ['inner@b.test'])\n"
        "            raise ZeroDivisionError\n"
        "    except ZeroDivisionError: pass\n"
        "send_mail('alone', 'Text', None, ['alone@b.test'])\n"  # autocommit
        "message = EmailMessage('many', 'Text', None, ['many@b.test'], bcc=['bcc@b.test'])\n"
        "print(message.send(), message.smtp_outcome)\n"
    )

    said = project(folder, settings, "-c", code)

    assert said == "handed over 1\n1 None\n"
    outboxes.start(server, alias="django" if way == "settings" else "default")
    outcomes = outboxes.wait_for(3)
    sent = {address for outcome in outcomes for address in outcome.mail.all_recipients}
    assert sent == {"kept@b.test", "alone@b.test", "many@b.test", "bcc@b.test"}
    assert server.accepted == 3
    assert {mail.data.count(b"\r\nMessage-ID: ") for mail in server.mails} == {1}


@pytest.mark.long
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_a_commit_wakes_who_sends_and_a_rollback_does_not(tmp_path: Path) -> None:
    project(tmp_path, BY_SETTINGS, "-m", "django", "migrate")
    code = START + (
        "import pathlib, select\n"
        "from pykka_smtp.actors.outbox.store.wake import SENDERS, WakeSocket\n"
        "life = WakeSocket(pathlib.Path('mail.db').resolve(), 1, SENDERS)\n"
        "def is_woken(): return bool(select.select([life], [], [], 0)[0]) and life.drain()\n"
        "try:\n"
        "    with transaction.atomic():\n"
        "        send_mail('gone', 'Text', None, ['gone@b.test'])\n"
        "        raise ZeroDivisionError\n"
        "except ZeroDivisionError: print(is_woken())\n"
        "with transaction.atomic():\n"
        "    send_mail('kept', 'Text', None, ['kept@b.test'])\n"
        "    print(is_woken())\n"
        "print(is_woken())\n"
        "send_mail('alone', 'Text', None, ['alone@b.test'])\n"
        "print(is_woken())\n"
        "life.close()\n"
    )

    assert project(tmp_path, BY_SETTINGS, "-c", code) == "False\nFalse\n1\n1\n"


@pytest.mark.long
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    wrong = BY_SETTINGS.replace('"default"', '"nowhere"')
    code = START + "try: send_mail('a', 'b', None, ['c@b.test'])\nexcept {} as e: print(e)\n"

    assert "one of default, other; not 'nowhere'" in project(
        tmp_path, wrong, "-c", code.format("ValueError")
    )
    said = project(tmp_path, BY_SETTINGS, "-c", code.format("OSError"))
    assert "has no tables of an outbox" in said
    broken = START + (
        "from django.db.transaction import TransactionManagementError\n"
        "try:\n"
        "  with transaction.atomic():\n"
        "    transaction.set_rollback(True)\n"
        "    send_mail('a', 'b', None, ['c@b.test'])\n"
        "except TransactionManagementError as e: print('refused')\n"
    )
    project(tmp_path, BY_SETTINGS, "-m", "django", "migrate")
    assert project(tmp_path, BY_SETTINGS, "-c", broken) == "refused\n"


@pytest.mark.long
def test_an_error_email_is_sent_though_its_transaction_is_rolled_back(
    tmp_path: Path, server: ScriptedServer
) -> None:
    settings = BY_SETTINGS + (
        f"EMAIL_HOST, EMAIL_PORT = {server.host!r}, {server.port}\n"
        "ADMINS = [('Ann', 'ann@a.test')]\n"
        "LOGGING = {'version': 1, 'handlers': {'admins': {'class':"
        " 'django.utils.log.AdminEmailHandler'}}, 'loggers': {'shop': {'handlers': ['admins']}}}\n"
    )
    if HAS_MAILERS:
        settings = settings.replace("[('Ann', 'ann@a.test')]", "['ann@a.test']")
    project(tmp_path, settings, "-m", "django", "migrate")
    code = START + (
        "import logging\n"
        "try:\n"
        "    with transaction.atomic():\n"
        "        logging.getLogger('shop').error('broken')\n"
        "        raise ZeroDivisionError\n"
        "except ZeroDivisionError: pass\n"
    )

    project(tmp_path, settings, "-c", code)

    assert [mail.recipients for mail in server.mails] == [("ann@a.test",)]
    db = sqlite3.connect(tmp_path / "mail.db")
    assert db.execute("SELECT count(*) FROM pykka_smtp_mail").fetchone() == (0,)
    db.close()
