"""The task for Celery: in this process, and with real workers that fork."""

import email
import email.policy
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pykka
import pytest
from servers.python import python
from servers.require import require_module
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import SendMail, SmtpActor, wait_until_done
from pykka_smtp.testing import Server
from pykka_smtp.testing.moods import At, answer, defer, drop, hold, refuse
from pykka_smtp.testing.talk.acts import Wait

require_module("celery")
import celery  # noqa: E402 - only where it is installed

from pykka_smtp.celery import mail_task, wait_at_shutdown  # noqa: E402

MAIL: dict[str, Any] = {"sender": "me@example.com", "recipients": "you@example.org", "body": "1"}

Make = Callable[..., Any]


@pytest.fixture
def make() -> Iterator[Make]:
    """Give what makes a task that runs in this thread when it is called."""

    def make(server: Server, **options: Any) -> Any:
        app = celery.Celery("tests", set_as_current=False)
        app.conf.task_always_eager = True
        return mail_task(app, server.host, server.port, **options)

    yield make
    wait_until_done(PATIENCE)
    pykka.ActorRegistry.stop_all()


# The task


def test_the_result_is_the_outcome_in_json(make: Make) -> None:
    moods = [refuse("RCPT", "550 5.1.1 who?", to="no@example.org")]
    with Server(*moods) as server:
        mail = MAIL | {"recipients": ["you@example.org", "no@example.org"]}
        result = make(server).delay(**mail)

    outcome = json.loads(json.dumps(result.get()))
    assert (outcome["outcome"], outcome["code"], outcome["alias"]) == ("success", 250, "mailer")
    assert [(one["accepted"], one["code"]) for one in outcome["recipients"]] == [
        (True, 250),
        (False, 550),
    ]
    assert outcome["mail"] == result.id
    assert f"Message-ID: <{result.id}@example.com>\r\n".encode() in server.mails[0].data


def test_a_failure_is_a_result_as_well(make: Make) -> None:
    with Server(refuse(".", "554 5.6.0 no")) as server:
        outcome = make(server, max_retries=3).delay(**MAIL).get()

    assert (outcome["outcome"], outcome["kind"], outcome["code"]) == ("failure", "SMTP", 554)
    assert not outcome["retryable"]
    assert len(server.mails) == 1


def test_recipients_may_have_names_though_json_has_no_pairs(make: Make) -> None:
    with Server() as server:
        mail = MAIL | {"recipients": [["You", "you@example.org"]], "cc": ["Her <her@example.org>"]}
        make(server).delay(**mail).get()

    assert b"To: You <you@example.org>\r\nCc: Her <her@example.org>\r\n" in server.mails[0].data


def test_a_complete_message_is_given_as_text(make: Make) -> None:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message.set_content("Schön")
    with Server() as server:
        make(server).delay(
            sender="me@example.com", recipients="you@example.org", message=message.as_string()
        ).get()

    parsed = email.message_from_bytes(server.mails[0].data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert (parsed["subject"], parsed.get_content().strip()) == ("Grüße", "Schön")


def test_an_invalid_email_fails_the_task(make: Make) -> None:
    with Server() as server, pytest.raises(ValueError, match="nobody"):
        make(server).delay(**MAIL | {"recipients": "nobody"}).get()


def test_a_wrong_option_is_an_error_where_the_task_is_made() -> None:
    with pytest.raises(TypeError, match="prot is not an option of Mailer"):
        mail_task(celery.Celery(set_as_current=False), prot=25)  # type: ignore[call-arg]


def test_a_task_is_acknowledged_after_its_outcome_unless_it_is_wanted_otherwise(
    make: Make,
) -> None:
    with Server() as server:
        usual = make(server)
        other = make(server, name="other", task_options={"acks_late": False, "rate_limit": "1/s"})

    assert (usual.name, usual.acks_late) == ("pykka_smtp.send", True)
    assert (other.name, other.acks_late, other.rate_limit) == ("other", False, "1/s")


# Retries


def test_a_deferred_email_is_retried_by_celery_where_that_is_wanted(make: Make) -> None:
    with Server(defer("RCPT", times=2)) as server:
        once = make(server).delay(**MAIL).get()
        again = make(server, max_retries=1).delay(**MAIL).get()

    assert (once["outcome"], once["retryable"], once["attempts"]) == ("failure", True, 1)
    assert (again["outcome"], again["attempts"]) == ("success", 1)
    assert len(server.mails) == 1


def test_after_the_last_retry_the_result_is_the_failure(make: Make) -> None:
    with Server(defer("RCPT")) as server:
        outcome = make(server, max_retries=2).delay(**MAIL).get()

    assert (outcome["outcome"], outcome["retryable"]) == ("failure", True)
    assert str(server.lines).count("RCPT") == 3


def test_an_email_that_may_have_been_accepted_is_never_retried(make: Make) -> None:
    with Server(drop(".")) as server:
        outcome = make(server, max_retries=5).delay(**MAIL).get()

    assert (outcome["maybe_accepted"], outcome["retryable"]) == (True, False)
    assert len(server.mails) == 1


def test_each_retry_is_twice_as_late_up_to_half_an_hour(make: Make) -> None:
    delays: list[float] = []

    class Task(celery.Task):  # type: ignore[misc]
        def retry(self, **given: Any) -> Any:
            delays.append(given["countdown"])
            return super().retry(**given)

    with Server(answer("RCPT", *["451 4.3.0 not now"] * 6)) as server:
        options = {"max_retries": 6, "retry_delay": 100, "task_options": {"base": Task}}
        assert make(server, **options).delay(**MAIL).get()["outcome"] == "success"

    assert delays == [100, 200, 400, 800, 1600, 1800]


# The end of a worker


SIGNALS = ("worker_process_shutdown", "worker_shutdown")


@pytest.mark.parametrize("name", SIGNALS)
def test_a_worker_ends_when_all_is_out_and_its_connections_are_closed(
    make: Make, name: str
) -> None:
    go = threading.Event()
    slow = At("MAIL", lambda moment: [Wait(go), moment.reply], to="slow@example.com")
    with Server(slow) as server:
        make(server, idle_timeout=30).delay(**MAIL).get()
        wait_at_shutdown(PATIENCE)
        told = SendMail(**MAIL | {"sender": "slow@example.com"})
        SmtpActor.start(server.host, server.port).tell(told)
        server.wait_for(lambda: "FROM:<slow" in str(server.lines))
        end = threading.Thread(target=getattr(celery.signals, name).send, args=(None,))
        end.start()
        end.join(0.2)
        assert end.is_alive()
        go.set()
        end.join(PATIENCE)

        assert not end.is_alive()
        assert server.accepted == 2
        assert pykka.ActorRegistry.get_all() == []


def test_a_worker_says_that_it_ends_without_an_outcome(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(hold("MAIL", threading.Event())) as server:
        wait_at_shutdown(0.1)
        ref = SmtpActor.start(server.host, server.port)
        ref.tell(SendMail(**MAIL))
        celery.signals.worker_process_shutdown.send(None)
        ref.stop()

    assert "after 0.1 s there are still emails without an outcome" in caplog.text


TASKS = """
import os
from celery import Celery, signals
from pykka_smtp import Mailer, SendMail, SmtpActor, smtp_send_failure, smtp_send_success
from pykka_smtp.celery import mail_task, wait_at_shutdown

def note(sender, outcome, **extra):
    with open(os.environ["HEARD"], "a") as file:
        file.write(f"{sender} {type(outcome).__name__}\\n")

smtp_send_success.connect(note)
smtp_send_failure.connect(note)

def end(**_):
    open(os.environ["ENDING"], "a").close()

# Before the wait, which is connected below.
signals.worker_process_shutdown.connect(end)

app = Celery("tasks", broker="filesystem://", backend="file://" + os.environ["RESULTS"])
app.conf.broker_transport_options = {
    "data_folder_in": os.environ["QUEUE"], "data_folder_out": os.environ["QUEUE"],
    "control_folder": os.environ["QUEUE"] + "-control",
}
app.conf.worker_prefetch_multiplier = 1

URL = f"smtp://127.0.0.1:{os.environ['SMTP_PORT']}"
send = mail_task(app, url=URL, alias="task", max_retries=1, retry_delay=0.01)
wait_at_shutdown(40)

def mail():
    return SendMail(sender="slow@example.com", recipients="you@example.org", body="1 2 3")

@app.task
def tell():
    SmtpActor.start(url=URL, alias="actor").tell(mail())
    Mailer.start(url=URL, alias="mailer").tell(mail())
    return os.getpid()
"""


class Workers:
    """A worker of Celery, with a broker of files in a folder."""

    def __init__(self, folder: Path, server: Server) -> None:
        (folder / "tasks.py").write_text(TASKS)
        for name in ("queue", "results", "queue-control"):
            (folder / name).mkdir()
        self.folder, self.heard, self.ending = folder, folder / "heard", folder / "ending"
        self.environment = os.environ | {
            "SMTP_PORT": str(server.port),
            "QUEUE": str(folder / "queue"),
            "RESULTS": str(folder / "results"),
            "HEARD": str(self.heard),
            "ENDING": str(self.ending),
        }
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tasks",
            "worker",
            "-c",
            "1",
            "-P",
            "prefork",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, env=self.environment
            )

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def client(self, code: str) -> str:
        done = python(
            "-W",
            "ignore",
            "-c",
            f"from tasks import *\n{code}",
            cwd=self.folder,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr + self.log.read_text()
        return done.stdout


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[[Server], Workers]]:
    started: list[Workers] = []

    def start(server: Server) -> Workers:
        started.append(Workers(tmp_path, server))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.mark.long
@pytest.mark.timeout(120)
def test_forked_workers_send_retry_and_end_when_all_is_out_and_heard(
    workers: Callable[[Server], Workers],
) -> None:
    go = threading.Event()
    slow = At("MAIL", lambda moment: [Wait(go), moment.reply], to="slow@example.com")
    with Server(defer("RCPT", to="later@example.org", times=1), slow) as server:
        worker = workers(server)
        worker.client(
            "send.delay(sender='me@example.com', recipients='later@example.org', body='1')\n"
            "tell.delay().get(timeout=30)"
        )
        # A retried one is out, and two that a task has told are on their way.
        server.wait_for(lambda: str(server.lines).count("MAIL FROM:<slow") == 2)
        server.wait_for(lambda: server.accepted == 1)
        worker.process.send_signal(signal.SIGTERM)
        assert wait_until(worker.ending.exists, PATIENCE * 2), worker.log.read_text()
        with pytest.raises(subprocess.TimeoutExpired):  # a child has a second of Celery's own
            worker.process.wait(2.5)
        go.set()

        assert worker.process.wait(PATIENCE * 3) == 0, worker.log.read_text()
        assert server.accepted == 3

    heard = sorted(worker.heard.read_text().splitlines())
    assert heard == [
        "actor SendSuccess",
        "mailer SendSuccess",
        "task SendFailure",
        "task SendSuccess",
    ]
    results = [json.loads(path.read_text()) for path in (worker.folder / "results").iterdir()]
    outcomes = [one["result"] for one in results if isinstance(one["result"], dict)]
    assert [one["outcome"] for one in outcomes] == ["success"]
    assert outcomes[0]["recipients"][0]["address"] == "later@example.org"
