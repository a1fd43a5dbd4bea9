"""Receivers in a Django project: what they open in the database is closed, and what came of it."""

import functools
from pathlib import Path
from typing import Any

import pytest
from servers.python import printed
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE

from pykka_smtp import Outcome, smtp_send_success, wait_until_done
from with_django.rig import OF_THE_PROJECT, Backend, message

from pykka_smtp.django import closing_connections  # isort: skip - after the rig

PROGRAM = """
import sys
from django.conf import settings

settings.configure(
    SECRET_KEY="none",
    USE_TZ=True,
    EMAIL_BACKEND="pykka_smtp.django.EmailBackend",
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(sys.argv[1]),
    SMTP_WAIT=False,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[2],
                           "CONN_MAX_AGE": None}},
)
import django

django.setup()
from django.core.mail import EmailMessage
from django.db import connection, connections, transaction
from pykka_smtp import smtp_send_success, wait_until_done
from pykka_smtp.django import closing_connections

with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE sent (subject TEXT)")

def store(sender, outcome, **extra):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO sent VALUES (%s)", [outcome.context.subject])

def send(subject):
    EmailMessage(subject, "1 2 3", "me@a.test", ["you@b.test"]).send()

def stored():
    assert wait_until_done(20)
    with connection.cursor() as cursor:
        cursor.execute("SELECT subject FROM sent ORDER BY subject")
        return [row[0] for row in cursor.fetchall()]
"""


def run(server: ScriptedServer, folder: Path, script: str) -> str:
    # A connection that nobody closes is a ResourceWarning; one test has such.
    warnings = ("-W", "error", "-W", "ignore::ResourceWarning", *OF_THE_PROJECT)
    return printed(*warnings, "-c", PROGRAM + script, server.port, folder / "db")


@pytest.mark.parametrize(
    ("receiver", "seen"),
    [("store", "[False, True]"), ("closing_connections(store)", "[False, False]")],
)
def test_a_receivers_connection_is_closed_before_the_next_one_runs(
    server: ScriptedServer, tmp_path: Path, receiver: str, seen: str
) -> None:
    script = f"""
was_open = []

@smtp_send_success.connect
def look(sender, **extra):  # on the same thread, before one receiver or after the other
    was_open.append(connection.connection is not None)
    receiver(sender, **extra)

receiver = {receiver}
mine = connection.connection
send("one"); send("two")
print(stored(), was_open, connection.connection is mine)
"""

    assert run(server, tmp_path, script) == f"['one', 'two'] {seen} True\n"


def test_an_email_told_at_the_commit_is_not_sent_after_a_rollback(
    server: ScriptedServer, tmp_path: Path
) -> None:
    script = """
receiver = closing_connections(store)
smtp_send_success.connect(receiver)
with transaction.atomic():
    transaction.on_commit(lambda: send("kept"))
    assert stored() == []
try:
    with transaction.atomic():
        transaction.on_commit(lambda: send("rolled back"))
        raise LookupError
except LookupError:
    pass
print(stored())
"""

    assert run(server, tmp_path, script) == "['kept']\n"


def test_connections_are_closed_even_if_the_receiver_raises(
    server: ScriptedServer, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pykka_smtp.django import receivers

    closed: list[str] = []
    monkeypatch.setattr(receivers, "_close", functools.partial(closed.append, "closed"))

    @closing_connections
    def broken(_sender: str, outcome: Outcome, **_: object) -> None:
        raise LookupError(outcome.mail.id)

    with smtp_send_success.connected_to(broken):
        backend(server).send_messages([message()])
        assert wait_until_done(PATIENCE)
    assert closed == ["closed"]

    nothing: Any = None
    with pytest.raises(AttributeError):
        broken("django", outcome=nothing)
    assert closed == ["closed"]  # a test that calls it keeps its transaction


def test_an_async_receiver_is_refused() -> None:
    async def receive(_sender: str, **_: object) -> None: ...

    with pytest.raises(TypeError, match="async def"):
        closing_connections(receive)
