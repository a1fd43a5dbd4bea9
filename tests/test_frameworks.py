"""Programs of others around a send: greenlets in place of threads, and servers that fork."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.ports import reserved_port
from servers.python import python
from servers.require import require_module
from servers.scripted import ScriptedServer, Start
from servers.waiting import wait_until

pytestmark = pytest.mark.long

PATIENCE = 30.0  # seconds; reached only by a test that fails
QUIET = ("-W", "ignore")


PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}

PROGRAM = """
import sys, time
from pykka_smtp import SendMail, SmtpActor, smtp_send_failure, smtp_send_success

def hear(sender, outcome, **extra):
    print("heard", getattr(outcome, "code", None) or outcome.detail, flush=True)

smtp_send_success.connect(hear)
smtp_send_failure.connect(hear)
ref = SmtpActor.start("127.0.0.1", int(sys.argv[1]))
mail = SendMail(sender="me@a.test", recipients="you@b.test", body="1 2 3")
"""

APPLICATION = """
import json, os, threading
from pykka_smtp import SendMail, SmtpActor, smtp_send_failure, smtp_send_success

PORT, HEARD = int(os.environ["SMTP_PORT"]), os.environ["HEARD"]

def hear(sender, outcome, **extra):
    with open(HEARD, "a") as file:
        file.write(f"{outcome.mail.id} {getattr(outcome, 'code', None)}\\n")

smtp_send_success.connect(hear)
smtp_send_failure.connect(hear)

def mail():
    return SendMail(sender="me@a.test", recipients="you@b.test", body="1 2 3")

if os.environ["BEFORE"]:
    SmtpActor.start("127.0.0.1", PORT).ask(mail(), timeout=20)
    # Where a thread runs at the moment of a fork that Python does not know of, its lock stays
    # taken in the child: docs/troubleshooting.md, "May I fork?".
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("pykka-smtp-")]
    for thread in ours:
        thread.join(20)

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    told, asked = mail(), mail()
    SmtpActor.start("127.0.0.1", PORT).tell(told)
    code = SmtpActor.start("127.0.0.1", PORT).ask(asked, timeout=20).code
    answer = {"pid": os.getpid(), "ids": [told.id, asked.id], "code": code}
    return [json.dumps(answer).encode()]
"""


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Ask a process to end when the test does, and see that it does."""
    try:
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


# Greenlets


@pytest.mark.parametrize("library", PATCHES)
def test_a_mail_told_just_before_a_program_of_greenlets_ends_goes_out_and_is_heard(
    server: ScriptedServer, library: str
) -> None:
    require_module(library)

    done = python(*QUIET, "-c", PATCHES[library] + PROGRAM + "ref.tell(mail)", server.port)

    assert (done.stdout.split("\n"), done.stderr) == (["heard 250", ""], "")
    assert done.returncode == 0
    assert server.accepted == 1


@pytest.mark.parametrize("library", PATCHES)
def test_other_greenlets_go_on_while_a_mail_is_on_its_way(
    scripted_server: Start, library: str
) -> None:
    require_module(library)

    def slow(conn: Any) -> None:
        conn.send("220 mx.test ESMTP")
        conn.line()
        conn.hang()

    server = scripted_server(slow)
    script = """
import threading

steps = threading.Event()

def step():
    for _ in range(20):
        time.sleep(0.01)
    steps.set()

answer = ref.ask(mail, block=False)
threading.Thread(target=step).start()
print("steps", steps.wait(10), flush=True)
ref.stop()
print(answer.get().kind.name, flush=True)
"""

    done = python(*QUIET, "-c", PATCHES[library] + PROGRAM + script, server.port)

    lines = done.stdout.splitlines()
    assert lines[0] == "steps True"
    assert "CANCELLED" in lines
    assert (done.returncode, done.stderr) == (0, "")


# Servers that fork


UWSGI = ("uwsgi", "--master", "--processes", "4", "--die-on-term", "--http-socket")
GUNICORN = ("gunicorn", "--workers", "3", "--bind")


@pytest.mark.parametrize("before", ["", "1"], ids=["nothing_sent", "sent_before"])
@pytest.mark.parametrize(
    "command",
    [
        pytest.param((*UWSGI, "{}", "--wsgi-file", "app.py"), id="uwsgi"),
        pytest.param((*GUNICORN, "{}", "--preload", "app"), id="gunicorn-preload"),
        pytest.param((*GUNICORN, "{}", "-k", "gevent", "app"), id="gunicorn-gevent"),
    ],
)
def test_each_process_of_a_server_that_forks_sends_mails_of_its_own(
    server: ScriptedServer, tmp_path: Path, command: tuple[str, ...], before: str
) -> None:
    program = Path(sys.executable).with_name(command[0])
    if not program.exists():
        require_module(command[0])
    (tmp_path / "app.py").write_text(APPLICATION)
    heard = tmp_path / "heard"
    exits = contextlib.ExitStack()
    address = f"127.0.0.1:{exits.enter_context(reserved_port('127.0.0.1'))}"
    home = ("--virtualenv", sys.prefix) if command[0] == "uwsgi" else ()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), *(part.format(address) for part in command[1:]), *home],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            env=os.environ | {"SMTP_PORT": str(server.port), "HEARD": str(heard), "BEFORE": before},
        )

    def answer() -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=PATIENCE) as reply:
                found: dict[str, Any] = json.load(reply)
                return found
        except OSError:
            return None

    with exits, ended(process):
        assert wait_until(lambda: answer() is not None, PATIENCE), (tmp_path / "log").read_text()
        answers = [answer() for _ in range(12)]
        good = [found for found in answers if found is not None]
        ids = [mail_id for found in good for mail_id in found["ids"]]
        assert {found["code"] for found in good} == {250}
        assert len(good) == 12
        assert len(set(ids)) == 24
        assert wait_until(lambda: set(ids) <= set(heard.read_text().split()), PATIENCE)
    assert "None" not in heard.read_text()


CELERY = """
import os
from celery import Celery
from celery.signals import worker_process_init
from pykka_smtp import SendMail, SmtpActor

app = Celery("tasks", broker=os.environ["BROKER"], backend="file://" + os.environ["RESULTS"])
app.conf.broker_transport_options = {
    "data_folder_in": os.environ["QUEUE"], "data_folder_out": os.environ["QUEUE"],
    "control_folder": os.environ["QUEUE"] + "-control",
}

@app.task
def send():
    mail = SendMail(sender="me@a.test", recipients="you@b.test", body="1 2 3")
    outcome = SmtpActor.start("127.0.0.1", int(os.environ["SMTP_PORT"])).ask(mail, timeout=20)
    return [os.getpid(), mail.id, outcome.code]

if os.environ.get("BEFORE"):
    send()
"""

CLIENT = """
from tasks import send
answers = [task.get(timeout=30) for task in [send.delay() for _ in range(12)]]
print(len(set(mail_id for _, mail_id, _ in answers)), {code for _, _, code in answers})
"""


def test_the_forked_workers_of_celery_send_mails_of_their_own(
    server: ScriptedServer, tmp_path: Path
) -> None:
    require_module("celery")
    (tmp_path / "tasks.py").write_text(CELERY)
    for name in ("queue", "results", "queue-control"):
        (tmp_path / name).mkdir()
    environment = os.environ | {
        "SMTP_PORT": str(server.port),
        "BROKER": "filesystem://",
        "QUEUE": str(tmp_path / "queue"),
        "RESULTS": str(tmp_path / "results"),
    }
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-c", "3", "-P", "prefork"],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            env=environment | {"BEFORE": "1"},
        )
    with ended(worker):
        done = python("-c", CLIENT, cwd=tmp_path, env=environment)

    assert done.stdout == "12 {250}\n", done.stderr + (tmp_path / "log").read_text()
    assert server.accepted == 13
