"""The examples run, as a reader would run them, against real servers."""

import email
import email.policy
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from servers.ports import reserved_port
from servers.python import python
from servers.require import require_module
from servers.sink import AiosmtpdServer, SmtpSink
from servers.waiting import wait_until

EXAMPLES = Path(__file__).parents[1] / "examples"

NAMES = (
    "ask_and_wait",
    "bulk",
    "celery_tasks",
    "email_message",
    "fastapi_app",
    "flask_app",
    "mailer_bulk",
    "mailer_sigterm",
    "newsletter",
    "outbox",
    "outcome_to_an_actor",
    "per_send_signals",
    "retries",
    "send_one",
    "subscribe_by_sender",
)
FRAMEWORKS = {
    "celery_tasks": ("celery",),
    "fastapi_app": ("fastapi", "uvicorn"),
    "flask_app": ("flask",),
}
PLAIN = tuple(
    name
    for name in NAMES
    if name not in {"bulk", "newsletter", "outbox"} and name not in FRAMEWORKS
)

Servers = Callable[..., AiosmtpdServer]


def run(name: str, *arguments: object, status: int = 0) -> str:
    """Run an example; return what it printed."""
    for module in FRAMEWORKS.get(name, ()):
        require_module(module)
    done = python("-W", "error", EXAMPLES / f"{name}.py", *arguments)
    assert (done.returncode, status or done.stderr) == (status, status or ""), done.stderr
    return done.stdout if status == 0 else done.stderr


def test_each_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_how_it_is_run_and_takes_no_screenfuls(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()

    assert f"python examples/{name}.py [host [port" in text
    assert text.count("\n") <= 70


def test_send_one_goes_on_at_once_and_prints_the_servers_reply(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server()

    printed = run("send_one", server.host, server.port)

    assert sorted(printed.splitlines()) == [
        "smtp_client: accepted: 250 2.0.0 taken",
        "told; the program goes on",
    ]
    [mail] = server.mails
    assert (mail.sender, mail.recipients) == ("me@example.com", ("you@example.org",))
    assert b"\r\n\r\n1 2 3 4 5 6\r\n" in mail.data


def test_send_one_prints_why_a_mail_was_not_sent(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"you@example.org": "550 5.1.1 who?"})

    printed = run("send_one", server.host, server.port)

    assert "smtp_client: not sent: SMTP: " in printed
    assert "550 5.1.1 who?" in printed


def test_subscribe_by_sender_gets_one_alias_only(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server()

    printed = run("subscribe_by_sender", server.host, server.port).splitlines()

    [alerts] = [line for line in printed if line.startswith("alerts_only")]
    assert "alerts: mail " in alerts
    everything = sorted(line for line in printed if line.startswith("everything"))
    assert everything == [
        "everything hears of alerts: SendSuccess",
        "everything hears of newsletter: SendSuccess",
        "everything hears of newsletter: SendSuccess",
    ]
    assert server.accepted == 3


def test_per_send_signals_reach_their_own_receivers_only(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server()
    deaf = aiosmtpd_server(replies={".": "452 4.3.1 disk full"})

    assert run("per_send_signals", server.host, server.port) == "invoice 4711 is on its way\n"
    printed = run("per_send_signals", deaf.host, deaf.port)

    assert printed.startswith("invoice 4711 was not sent: ")
    assert printed.endswith("452 4.3.1 disk full\n")


def test_outcome_to_an_actor_arrives_in_its_inbox(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server()
    picky = aiosmtpd_server(replies={"you@example.org": "550 5.1.1 who?"})

    reached = run("outcome_to_an_actor", server.host, server.port)
    missed = run("outcome_to_an_actor", picky.host, picky.port)

    assert reached == "reached so far: ['you@example.org']\n"
    assert missed.startswith("you@example.org could not be reached: ")
    assert server.accepted == 1


def test_ask_and_wait_tells_of_each_recipient(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"her@example.org": "550 5.1.1 who?"})

    assert run("ask_and_wait", server.host, server.port).splitlines() == [
        "you@example.org accepted 250 2.1.5 Ok",
        "her@example.org refused 550 5.1.1 who?",
    ]


def test_ask_and_wait_exits_with_a_status_if_no_recipient_accepts(
    aiosmtpd_server: Servers,
) -> None:
    server = aiosmtpd_server(replies={".": "554 5.6.0 no"})

    assert run("ask_and_wait", server.host, server.port, status=1).startswith("not sent: ")


def test_email_message_arrives_with_its_attachment(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server()

    assert " accepted by " in run("email_message", server.host, server.port)

    [mail] = server.mails
    message = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    [attachment] = message.iter_attachments()
    assert attachment.get_filename() == "figures.csv"
    assert attachment.get_content().splitlines()[1] == "January,12"


def test_bulk_counts_the_outcomes(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"reader7@example.org": "450 4.2.0 later"})

    printed = run("bulk", server.host, server.port, 50).splitlines()

    assert printed[:2] == ["accepted: 49", "SMTP: 1"]
    assert server.accepted == 49


def test_bulk_sends_a_thousand_to_a_sink(smtp_sink: Callable[..., SmtpSink]) -> None:
    sink = smtp_sink()

    printed = run("bulk", sink.host, sink.port)

    assert printed.startswith("accepted: 1000\n")
    assert re.search(r"told in .* s, all done in .* s: [0-9]+ mails a second\n$", printed)


def test_mailer_bulk_counts_what_became_of_the_mails(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"reader7@example.org": "550 5.1.1 who?"})

    done = python(EXAMPLES / "mailer_bulk.py", server.host, server.port, 50)
    printed = done.stdout.splitlines()

    # Nobody in there hears of the failure, so it is shown.
    assert "refused the recipient reader7@example.org: 550 5.1.1 who?" in done.stderr
    assert printed[-3:-1] == ["accepted: 49", "SMTP: 1"]
    assert server.accepted == 49


def test_mailer_bulk_sends_a_thousand_to_a_server_of_its_own() -> None:
    printed = run("mailer_bulk")

    assert "accepted: 1000\n" in printed
    assert re.search(r"^all done in .* s: [0-9]+ mails a second\n\Z", printed, re.MULTILINE)


def test_a_newsletter_goes_to_more_readers_than_may_be_queued(
    aiosmtpd_server: Servers, tmp_path: Path
) -> None:
    server = aiosmtpd_server(replies={"reader7@example.org": "550 5.1.1 who?"})
    readers = tmp_path / "readers.txt"
    readers.write_text("".join(f"reader{number}@example.org\n" for number in range(300)))

    done = python("-W", "error", EXAMPLES / "newsletter.py", server.host, server.port, readers)

    assert (done.returncode, done.stderr) == (0, "")
    assert "told: 300\n" in done.stdout
    assert done.stdout.count("not sent: ") == 1
    assert (tmp_path / "readers.txt.left").read_text() == "reader7@example.org\n"
    assert server.accepted == 299


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a program at once there")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_mailer_sigterm_tells_of_each_mail_when_it_is_ended(
    number: int, aiosmtpd_server: Servers
) -> None:
    server = aiosmtpd_server()

    with subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            EXAMPLES / "mailer_sigterm.py",
            server.host,
            f"{server.port}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as example:
        assert example.stdout is not None
        assert example.stdout.readline() == "told: 200\n"
        example.send_signal(number)
        printed, _ = example.communicate(timeout=50)

    counts = {
        what: int(n) for what, _, n in (line.partition(": ") for line in printed.splitlines())
    }
    assert example.returncode == 0
    assert sum(counts.values()) == 200
    assert counts["CANCELLED"] > 0
    assert counts.get("accepted", 0) == server.accepted


def test_outbox_is_killed_and_goes_on_and_every_order_is_sent_and_heard(
    aiosmtpd_server: Servers, tmp_path: Path
) -> None:
    server = aiosmtpd_server()

    lines = run("outbox", server.host, server.port, tmp_path / "orders.db").splitlines()

    assert "life 1: 10 put, 0 were in the file" in lines
    assert "life 1 was killed" in lines
    assert "life 2: 0 put, 10 were in the file" in lines
    assert lines[-2:] == ["life 2: all are told: True", "life 2 has ended"]
    accepted = [line for line in lines if " accepted" in line]
    assert {line.split()[2] for line in accepted} == {f"order-{number}" for number in range(10)}
    # Three were heard in the first life; of those the first two at most are not told again.
    assert 10 <= len(accepted) <= 13
    # Two connections: that is how many can have been sent twice, and each of them says so.
    twice = [line for line in accepted if "perhaps sent twice" in line]
    assert 10 <= server.accepted <= 10 + len(twice)
    assert len(twice) <= 2


def test_mailer_sigterm_ends_by_itself_as_well(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server()

    assert run("mailer_sigterm", server.host, server.port, 10) == "told: 10\naccepted: 10\n"


def test_the_flask_application_answers_a_request_and_says_what_became_of_its_email(
    aiosmtpd_server: Servers,
) -> None:
    server = aiosmtpd_server()
    deaf = aiosmtpd_server(replies={".": "554 5.6.0 no"})

    sent = run("flask_app", server.host, server.port).splitlines()
    failed = run("flask_app", deaf.host, deaf.port).splitlines()

    thanks = "Thank you. We have sent you an email."
    assert sorted(sent) == [thanks, "shop has sent it: 250 2.0.0 taken"]
    assert len(failed) == 2
    assert "554 5.6.0 no" in str(failed)
    assert server.mails[0].recipients == ("you@example.org",)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a program at once there")
def test_the_fastapi_application_serves_requests_and_ends_by_a_signal(
    aiosmtpd_server: Servers,
) -> None:
    for module in FRAMEWORKS["fastapi_app"]:
        require_module(module)
    server = aiosmtpd_server(replies={"no@example.org": "550 5.1.1 who?"})
    with reserved_port("127.0.0.1") as port:
        command = [sys.executable, EXAMPLES / "fastapi_app.py", server.host, server.port, port]
        with subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.PIPE, text=True
        ) as example:
            try:
                url = f"http://127.0.0.1:{port}/"
                assert wait_until(lambda: post(url + "test?address=you@example.org"), 30)
                answers = [
                    post(url + f"{path}@example.org")
                    for path in ("test?address=you", "test?address=no", "signup?address=her")
                ]
                example.send_signal(signal.SIGTERM)
                printed, _ = example.communicate(timeout=50)
            finally:
                example.kill()

    assert [status for status, _ in filter(None, answers)] == [200, 502, 200]
    assert "550 5.1.1 who?" in str(answers[1])
    assert len([line for line in printed.splitlines() if line.startswith("outcome: ")]) == 4
    assert server.accepted == 3


def post(url: str) -> tuple[int, str] | None:
    """Make a request; return status and body, or None if nobody listens."""
    try:
        with urllib.request.urlopen(url, b"", 30) as reply:  # noqa: S310 - it is ours
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return None


def test_the_celery_task_tells_of_each_recipient(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"her@example.org": "550 5.1.1 who?"})

    assert run("celery_tasks", server.host, server.port).splitlines() == [
        "success 2.0.0 taken",
        "you@example.org accepted",
        "her@example.org 5.1.1 who?",
    ]


def test_retries_shows_each_attempt_and_what_it_came_to(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"her@example.org": "450 4.2.0 greylisted"})

    printed = run("retries", server.host, server.port, 0.05).splitlines()

    later = (
        f"{server.host}:{server.port} refused the recipient her@example.org: 450 4.2.0 greylisted"
    )
    assert printed == [
        "attempt 1: not taken for everybody; again in 0 s",
        *(f"attempt {number}: {later}; again in 0 s" for number in (2, 3, 4)),
        "you@example.org accepted 250 2.1.5 Ok",
        "her@example.org refused 450 4.2.0 greylisted",
        "attempts: 5",
    ]
    assert server.accepted == 1


JUKEBOX = EXAMPLES / "jukebox"


def test_the_jukebox_thanks_who_can_be_reached(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"her@example.org": "550 5.1.1 who?"})

    done = python("-W", "error", JUKEBOX / "jukebox.py", server.host, server.port)

    thanked, failures = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert thanked == "thanked: ['you@example.org for Kaya']"
    assert failures.startswith("failures: ['jukebox: mail ")
    assert "550 5.1.1 who?" in failures


@pytest.mark.long  # it is a run of pytest in its own process
def test_the_tests_of_the_jukebox_pass() -> None:
    done = python(
        *("-m", "pytest", "-p", "pytest_pykka_smtp", "-p", "no:cacheprovider", "-q", "-W", "error"),
        *("-c", "/dev/null", "--rootdir", JUKEBOX, JUKEBOX),
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
    )

    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.servers  # that they work is shown above
@pytest.mark.parametrize("name", PLAIN)
def test_an_example_works_with_smtp_sink_as_well(
    name: str, smtp_sink: Callable[..., SmtpSink]
) -> None:
    sink = smtp_sink()

    printed = run(name, sink.host, sink.port)

    assert printed
    assert "not sent" not in printed
