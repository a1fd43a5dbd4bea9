"""Programs that send by a ``sendmail``, and find ours in its place."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers.python import IN_TIME, run_to_its_end
from servers.require import missing, require, require_root
from servers.scripted import ScriptedServer, Start
from servers.sending import url_of
from servers.submitting import Submitter, parsed

from pykka_smtp import FailureKind, SendFailure, SendMail, SendSuccess, SmtpActor
from pykka_smtp.testing.moods import refuse
from pykka_smtp.testing.polite import Polite, polite

pytestmark = pytest.mark.long

ME = "me@x.test"
PATCH = """\
From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: Me <me@x.test>
Date: Tue, 1 Dec 2026 20:00:00 +0000
Subject: [PATCH] Mend it

Gr\u00fc\u00dfe
.
---
"""


@pytest.fixture
def relay(scripted_server: Start, submit: Submitter) -> ScriptedServer:
    """Start a relay, which the settings name."""
    server = scripted_server(polite("8BITMIME", "PIPELINING"))
    submit.configure(server)
    return server


def ran(submit: Submitter, *command: object, relay: str = "", **options: object) -> str:
    environment = submit.environment(**({"SMTP_URL": relay} if relay else {}))
    done = run_to_its_end(*command, cwd=submit.home, env=environment, **options)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


# The program itself.


def test_the_script_is_a_sendmail_wherever_it_is_linked(
    submit: Submitter, relay: ScriptedServer
) -> None:
    mail = "To: you@x.test\nSubject: Hello\n\nHello\n.\n"

    assert ran(submit, submit.linked(), "-t", "-i", "-f", ME, input=mail) == ""
    assert ran(submit, submit.linked("mailq")).startswith("Mail queue is empty")
    assert ran(submit, submit.linked("newaliases")).startswith("no database of aliases")
    command = (sys.executable, "-m", "pykka_smtp", "sendmail", "you@x.test")
    assert ran(submit, *command, input=mail) == ""

    first, second = relay.mails
    assert (first.sender, first.recipients) == (ME, ("you@x.test",))
    assert first.data.endswith(b"\r\nHello\r\n.\r\n")
    assert second.data.endswith(b"\r\nHello\r\n")


def test_what_went_wrong_is_said_once_and_in_the_status(
    submit: Submitter, scripted_server: Start
) -> None:
    submit.configure(scripted_server(Polite(moods=[refuse("RCPT", "550 5.1.1 who?")])))

    done = run_to_its_end(submit.linked(), "you@x.test", env=submit.environment(), input="Hello\n")

    assert done.returncode == 67
    assert done.stderr.count("\n") == 1
    assert "you@x.test: 550 5.1.1 who?" in done.stderr


def test_input_that_is_closed_is_no_email(submit: Submitter, relay: ScriptedServer) -> None:
    done = run_to_its_end(
        *("sh", "-c", f"{submit.linked()} you@x.test <&-"), env=submit.environment()
    )

    assert (done.returncode, done.stdout) == (66, "")
    assert done.stderr == "pykka-smtp sendmail: cannot read standard input: it is closed\n"
    assert relay.sessions == []


# Our own programs, which send by a program.


def test_an_actor_can_send_by_it(
    submit: Submitter, relay: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sendmail://{submit.linked()}"
    monkeypatch.setenv("SMTP_URL", url)  # what is for the program is not for the sendmail
    mail = SendMail(sender=ME, recipients=["a@x.test", "b@x.test"], body="Hello\n.\n")

    outcome = SmtpActor.start(url=url).ask(mail, timeout=IN_TIME)

    assert isinstance(outcome, SendSuccess), outcome
    assert relay.mails[0].recipients == ("a@x.test", "b@x.test")
    assert relay.mails[0].data == mail.as_bytes()


@pytest.mark.parametrize(
    ("reply", "code", "enhanced", "retryable"),
    [
        ("550 5.1.1 who?", 550, "5.1.1 /", False),
        ("450 4.2.0 later", 451, "4.3.0 /", True),
        ("554 5.7.1 no", 554, "5.0.0 /", False),
    ],
)
def test_an_actor_hears_what_the_relay_said(
    submit: Submitter,
    scripted_server: Start,
    reply: str,
    code: int,
    enhanced: str,
    retryable: bool,
) -> None:
    submit.configure(scripted_server(Polite(moods=[refuse("RCPT", reply)])))
    mail = SendMail(sender=ME, recipients="you@x.test", body="Hello")

    outcome = SmtpActor.start(url=f"sendmail://{submit.linked()}").ask(mail, timeout=IN_TIME)

    assert isinstance(outcome, SendFailure)
    assert (outcome.kind, outcome.code) == (FailureKind.SMTP, code)
    assert outcome.retryable is retryable
    assert f"{code} {enhanced}" in outcome.detail
    assert outcome.detail.endswith(f" refused the recipient you@x.test: {reply}")


# Programs of others.


def test_git_send_email_passes_patches_on(submit: Submitter, relay: ScriptedServer) -> None:
    git = require("git")
    commands = Path(run_to_its_end(git, "--exec-path").stdout.strip())
    if not (commands / "git-send-email").exists():
        missing("git send-email is not installed")
    (submit.home / "0001.patch").write_text(PATCH)

    done = run_to_its_end(
        *(git, "-c", "user.name=Me", "-c", f"user.email={ME}"),
        *("send-email", f"--smtp-server={submit.linked()}", "--confirm=never", "--quiet"),
        *("--from", f"Me <{ME}>", "--to", "you@x.test", "--cc", "C <c@x.test>"),
        *("--bcc", "b@x.test", "--envelope-sender", "bounces@x.test", "--8bit-encoding=UTF-8"),
        "0001.patch",
        cwd=submit.home,
        env=submit.environment(GIT_CONFIG_NOSYSTEM="1", EMAIL=ME, GIT_COMMITTER_NAME="Me"),
    )

    assert done.returncode == 0, done.stderr
    [mail] = relay.mails
    assert mail.sender == "bounces@x.test"
    assert set(mail.recipients) == {"you@x.test", "c@x.test", "b@x.test", ME}
    assert parsed(mail)["Subject"] == "[PATCH] Mend it"
    assert "Gr\u00fc\u00dfe\r\n.\r\n" in mail.data.decode()
    assert b"b@x.test" not in mail.data


def test_mail_of_php_goes_out(submit: Submitter, relay: ScriptedServer) -> None:
    php = require("php")
    command = f"{submit.linked()} -t -i"
    code = (
        f'var_dump(mail("you@x.test", "Hello", "one\\n.\\n" . str_repeat("long ", 400),'
        f' "From: {ME}\\r\\nBcc: b@x.test", "-f{ME}"));'
    )

    def run() -> str:
        return ran(submit, php, "-d", f"sendmail_path={command}", "-r", code)

    assert run() == "bool(true)\n"

    [mail] = relay.mails
    assert (mail.sender, mail.recipients) == (ME, ("you@x.test", "b@x.test"))
    assert b"\r\n\r\none\r\n.\r\nlong " in mail.data
    assert b"b@x.test" not in mail.data


@pytest.mark.parametrize("name", ["bsd-mailx", "s-nail"])
def test_mail_of_the_shell_goes_out(submit: Submitter, relay: ScriptedServer, name: str) -> None:
    program = require(name)
    link = submit.linked()
    (submit.home / ".mailrc").write_text(f"set sendmail={link}\n")
    options = ("-S", f"mta={link}", "-r", ME) if name == "s-nail" else ()

    ran(
        submit,
        *(program, *options, "-s", "Hello", "-c", "c@x.test", "-b", "b@x.test", "you@x.test"),
        input="one\n.two\nthree\n",
        relay=url_of(relay),  # s-nail of root takes another HOME
    )

    [mail] = relay.mails
    assert set(mail.recipients) == {"you@x.test", "c@x.test", "b@x.test"}
    assert mail.data.endswith(b"\r\n\r\none\r\n.two\r\nthree\r\n")
    assert b"b@x.test" not in mail.data


CRON = """\
mount -t tmpfs tmpfs /run && mount --bind "$1/crontabs" /var/spool/cron/crontabs &&
mount --bind "$1/cron.d" /etc/cron.d && mount --bind "$1/crontab" /etc/crontab &&
mount --bind "$2" /usr/sbin/sendmail && exec "$3" -f
"""


@contextmanager
def cron_with(submit: Submitter, crontab: str) -> Iterator[None]:
    """Run cron with one crontab of root's; it sees our program at /usr/sbin/sendmail.

    Its files are mounted over those of the machine where only it sees them.
    """
    require_root()
    cron, unshare = require("cron"), require("unshare")
    places = ("/etc/cron.d", "/etc/crontab", "/var/spool/cron/crontabs", "/usr/sbin/sendmail")
    if absent := [place for place in places if not Path(place).exists()]:
        missing(f"{absent[0]} is not there")
    if subprocess.run([unshare, "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounts for one process are not allowed here, as in most containers")
    for name in ("crontabs", "cron.d"):
        (submit.home / name).mkdir()
    (submit.home / "crontab").touch()
    table = submit.home / "crontabs" / "root"
    table.write_text(crontab)
    table.chmod(0o600)
    script = submit.linked().resolve()
    process = subprocess.Popen(
        [unshare, "-m", "sh", "-c", CRON, "sh", submit.home, script, cron],
        env=submit.environment(),
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(IN_TIME)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts for one process are Linux's")
def test_what_a_job_of_cron_prints_arrives(submit: Submitter, relay: ScriptedServer) -> None:
    submit.configure(relay, '[aliases]\nroot = "you@x.test"\n')

    with cron_with(submit, "@reboot echo disk full; echo .; echo more\n"):
        relay.wait_for(lambda: relay.accepted == 1, IN_TIME)

    [mail] = relay.mails
    assert mail.recipients == ("you@x.test",)
    assert parsed(mail)["From"] == "root@here.test"
    assert parsed(mail)["Subject"].endswith("echo disk full; echo .; echo more")
    assert mail.data.endswith(b"\r\n\r\ndisk full\r\n.\r\nmore\r\n")
