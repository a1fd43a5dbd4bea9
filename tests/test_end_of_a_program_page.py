"""docs/end-of-a-program.md: whoever ends the program, the mail under way goes out and is heard."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.ports import reserved_port
from servers.program import Program
from servers.python import IN_TIME, printed, run_to_its_end
from servers.require import require, require_module
from servers.scripted import ScriptedServer, Start
from servers.sink import AiosmtpdServer
from servers.waiting import wait_until

from pykka_smtp.testing.moods import At, Moment
from pykka_smtp.testing.polite import Polite
from pykka_smtp.testing.talk.acts import Act, Wait

PAGE = (Path(__file__).parents[1] / "docs" / "end-of-a-program.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
[UNIT] = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SIGTERM, SYSTEMD, CRON, GUNICORN, MULTIPROCESSING, EXIT = BLOCKS
HERE = 'server="localhost", port=25'

HEARS = """
import sys
from pykka_smtp import smtp_send_failure, smtp_send_success

@smtp_send_success.connect
@smtp_send_failure.connect
def hear(sender, outcome, **extra):
    print("heard", getattr(outcome, "code", None) or outcome.detail, flush=True)
"""

Servers = Callable[..., AiosmtpdServer]


class Slow:
    """A server that replies to the end of an email only once it is told to."""

    def __init__(self, begin: Start) -> None:
        self.released = threading.Event()
        self.server: ScriptedServer = begin(Polite(moods=[At(".", self._wait)]))

    def _wait(self, moment: Moment) -> list[Act]:
        return [Wait(self.released), moment.reply]

    def wait_for_mails(self, count: int) -> None:
        """Wait until so many emails are under way."""
        self.server.wait_for(lambda: len(self.server.mails) >= count, IN_TIME)


@pytest.fixture
def slow(scripted_server: Start) -> Iterator[Slow]:
    """Start such a server; after the test it replies to all that is left."""
    made = Slow(scripted_server)
    yield made
    made.released.set()


def at(server: Any, code: str) -> str:
    """Return a block of code with this server in it."""
    assert HERE in code
    return code.replace(HERE, f'server="{server.host}", port={server.port}')


def test_all_the_code_of_the_page_is_run_here() -> None:
    assert len(BLOCKS) == 6


def begun(slow: Slow, code: str, loop: str) -> Program:
    return Program(HEARS + at(slow.server, code), loop=loop, options=("-W", "error"))


def ended_with(program: Program, slow: Slow) -> list[str]:
    """End a program by SIGTERM, as systemd does, while an email is under way."""
    slow.wait_for_mails(1)
    program.signal(signal.SIGTERM)
    slow.released.set()
    return program.end()


# SIGTERM


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_script_that_is_ended_by_sigterm_waits_for_its_mail(slow: Slow, loop: str) -> None:
    with begun(slow, SIGTERM, loop) as program:
        lines = ended_with(program, slow)

    assert lines == ["heard 250", "all heard: True"]
    assert (program.status, program.complaints) == (143, [])
    assert slow.server.accepted == 1


def test_without_a_handler_the_mail_is_lost_as_the_page_says(slow: Slow) -> None:
    code = SIGTERM.replace("signal.signal(signal.SIGTERM, end)\n", "")
    with begun(slow, code, "uvloop") as program:
        slow.wait_for_mails(1)
        program.signal(signal.SIGTERM)
        lines = program.end()

    assert (lines, program.status) == ([], -signal.SIGTERM)


def test_a_service_that_systemd_stops_sends_what_is_queued(slow: Slow) -> None:
    code = SYSTEMD.replace(
        "    yield ", "    for _ in range(9 * (not ended.is_set())):\n        yield "
    )
    code = code.replace("mailer.tell_all(due())\n", "[mailer.tell(mail) for mail in due()]\n")
    code = code.replace("port=25)", "port=25, max_connections=2)")
    with begun(slow, code, "uvloop") as program:
        lines = ended_with(program, slow)

    assert lines == [*["heard 250"] * 9, "all out: True"]
    assert (program.status, program.complaints) == (0, [])
    assert slow.server.accepted == 9


def test_the_service_on_the_page_sends_what_is_due_and_waits(slow: Slow) -> None:
    slow.released.set()
    with begun(slow, SYSTEMD, "uvloop") as program:
        assert program.lines(1) == ["heard 250"]
        program.signal(signal.SIGTERM)

        assert program.done() == ["all out: True"]


@pytest.mark.long
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = require("systemd-analyze")
    unit = tmp_path / "newsletter.service"
    unit.write_text(UNIT.replace("/opt/newsletter/bin/python", "/bin/true"))

    done = run_to_its_end(analyze, "verify", unit)

    mine = [line for line in (done.stdout + done.stderr).splitlines() if "newsletter" in line]
    assert (done.returncode, mine) == (0, [])


# Cron


def test_a_job_of_cron_ends_well_if_its_mail_was_accepted(aiosmtpd_server: Servers) -> None:
    assert printed("-W", "error", "-c", at(aiosmtpd_server(), CRON)) == ""


def test_a_job_of_cron_says_why_its_mail_was_not_accepted(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"you@example.org": "550 5.1.1 who?"})

    done = run_to_its_end(sys.executable, "-W", "error", "-c", at(server, CRON))

    assert done.returncode == 1
    assert done.stderr.startswith("the report was not sent: ")
    assert done.stderr.endswith("550 5.1.1 who?\n")


# gunicorn

APPLICATION = """
import os
from pykka_smtp import Mailer, SendMail, SmtpActor, smtp_send_failure, smtp_send_success

PORT = int(os.environ["SMTP_PORT"])
mailers = []

@smtp_send_success.connect
@smtp_send_failure.connect
def hear(sender, outcome, **extra):
    print("heard", getattr(outcome, "code", None) or outcome.detail, flush=True)

def application(environ, start_response):
    mail = SendMail(sender="me@a.test", recipients="you@b.test", body="1 2 3")
    if environ["PATH_INFO"] == "/mailer":
        mailers[:] = mailers or [Mailer.start("127.0.0.1", PORT, max_connections=1)]
        for _ in range(3):
            mailers[0].tell(mail)
    else:
        SmtpActor.start("127.0.0.1", PORT).tell(mail)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"told"]
"""


KINDS = {"sync": ("-k", "sync"), "gthread": ("-k", "gthread", "--threads", "2")}


def got(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=IN_TIME) as reply:  # noqa: S310 - it is http
            found: bytes = reply.read()
            return found
    except OSError:
        return b""


@pytest.mark.long
@pytest.mark.parametrize(("path", "count"), [("/actor", 1), ("/mailer", 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_of_gunicorn_waits_for_its_mails(
    slow: Slow, tmp_path: Path, kind: str, path: str, count: int
) -> None:
    require_module("gunicorn")
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "gunicorn.conf.py").write_text(GUNICORN)
    log = tmp_path / "log"
    with contextlib.ExitStack() as exits:
        address = f"127.0.0.1:{exits.enter_context(reserved_port('127.0.0.1'))}"
        output = exits.enter_context(log.open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-b", address, *KINDS[kind], "app"],
            cwd=tmp_path,
            stdout=output,
            stderr=output,
            env=os.environ | {"SMTP_PORT": str(slow.server.port), "PYTHONUNBUFFERED": "1"},
        )
        exits.callback(process.wait)
        exits.callback(process.kill)
        assert wait_until(lambda: got(f"http://{address}{path}") == b"told", IN_TIME), (
            log.read_text()
        )
        slow.wait_for_mails(1)

        process.terminate()
        assert wait_until(lambda: "Worker exiting" in log.read_text(), IN_TIME), log.read_text()
        assert process.poll() is None
        slow.released.set()

        assert process.wait(IN_TIME) == 0

    said = log.read_text()
    assert slow.server.accepted == said.count("heard 250") == count, said
    assert f"Using worker: {kind}\n" in said
    assert "emails are out: True" in said
    assert "emails are out: False" not in said


# multiprocessing


def test_the_tasks_of_a_pool_wait_for_their_mails(aiosmtpd_server: Servers, tmp_path: Path) -> None:
    server = aiosmtpd_server()
    program = tmp_path / "pool.py"  # a file: its processes may import it
    program.write_text(at(server, MULTIPROCESSING))

    assert printed("-W", "error", program) == "[True, True, True, True]\n"
    assert server.accepted == 4


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_that_ends_by_itself_delivers_first_and_its_receivers_run(
    slow: Slow, tmp_path: Path, method: str
) -> None:
    program = tmp_path / "process.py"
    program.write_text(
        HEARS
        + f"""
import multiprocessing, warnings
from pykka_smtp import SendMail, SmtpActor

def send():
    mail = SendMail(sender="me@a.test", recipients="you@b.test", body="1 2 3")
    SmtpActor.start("127.0.0.1", {slow.server.port}).tell(mail)
    print("told", flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=send)
    process.start()
    process.join()
    print("status", process.exitcode)
"""
    )
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as process:
        slow.wait_for_mails(1)
        slow.released.set()
        out, _ = process.communicate(timeout=IN_TIME)

    assert out.splitlines() == ["told", "heard 250", "status 0"]


# os._exit


def test_a_program_that_leaves_by_exit_has_waited(slow: Slow) -> None:
    with begun(slow, EXIT, "uvloop") as program:
        slow.wait_for_mails(1)
        slow.released.set()

        assert program.done() == ["heard 250"]
    assert slow.server.accepted == 1


def test_a_child_of_a_fork_that_leaves_by_exit_has_waited(slow: Slow) -> None:
    code = "import os\nif os.fork():\n    print('status', os.wait()[1])\nelse:\n"
    code += re.sub("^", "    ", EXIT, flags=re.MULTILINE)
    with begun(slow, code, "uvloop") as program:
        slow.wait_for_mails(1)
        slow.released.set()

        assert program.done() == ["heard 250", "status 0"]
