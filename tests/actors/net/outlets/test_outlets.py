"""Outlets: the relay URL sends emails into memory, a folder, a program, or nowhere."""

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorRegistry
from servers.waiting import wait_until

from pykka_smtp import (
    Drain,
    Dsn,
    FailureKind,
    Mailer,
    Outcome,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
    verify,
    wait_until_done,
)
from pykka_smtp.actors.net.outlets import folder as folder_module
from pykka_smtp.actors.net.outlets.inner_transport import InnerTransport
from pykka_smtp.actors.net.outlets.record import Kept, KeptMail, recorded

PATIENCE = 10.0
BODY = ".dot first\nfrom here\n..two dots\n.\nlast ä\n"
BIG = b"Subject: big\r\n\r\n" + b".a line of an email, and a dot\r\n" * 40_000


@pytest.fixture(autouse=True)
def nothing_recorded_yet() -> Iterator[None]:
    recorded.clear()
    yield
    recorded.clear()


def mail(**given: Any) -> SendMail:
    default: dict[str, Any] = {"sender": "a@b.test", "recipients": ["c@d.test", "e@f.test"]}
    if "message" not in given:
        default |= {"subject": "Grüße", "body": BODY}
    return SendMail(**default | given)


def send(url: str, given: SendMail | None = None, **options: Any) -> Outcome:
    return SmtpActor.start(url=url, **options).ask(given or mail(), timeout=PATIENCE)


def failure(outcome: Outcome) -> SendFailure:
    assert isinstance(outcome, SendFailure), outcome
    return outcome


# In memory


def test_record_keeps_the_email_as_a_server_would_have_received_it(loop_kind: str) -> None:
    outcome = send("record:", mail(dsn=Dsn(notify="failure"), bcc="x@y.test"))

    assert isinstance(outcome, SendSuccess)
    assert outcome.peer is None
    assert str(outcome.reply) == "250 2.0.0 recorded"
    assert [result.accepted for result in outcome.recipients] == [True, True, True]
    [kept] = recorded.all()
    assert (kept.sender, kept.recipients) == ("a@b.test", ("c@d.test", "e@f.test", "x@y.test"))
    assert "BODY=8BITMIME" in kept.parameters
    assert kept.rcpt_parameters == ("NOTIFY=FAILURE",) * 3
    message = message_from_bytes(kept.data, policy=policy.default)
    assert message["Subject"] == "Grüße"
    assert message.get_content().replace("\r\n", "\n") == BODY


@pytest.mark.parametrize("source", ["bytes", "path", "file"])
def test_an_email_of_any_size_and_from_any_source_arrives_octet_for_octet(
    source: str, loop_kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "big.eml"
    path.write_bytes(BIG)
    with path.open("rb") as file:
        message = {"bytes": BIG, "path": path, "file": file}[source]
        outcome = send("record:", mail(message=message))

    assert isinstance(outcome, SendSuccess), outcome
    assert recorded.all()[0].data == BIG


def test_odd_addresses_arrive_as_they_are() -> None:
    odd = ['"a>b \\" c"@d.test', "ü@d.test", "ORCPT=x@d.test"]

    assert isinstance(send("record:", mail(sender="<>", recipients=odd, message=BIG)), SendSuccess)
    assert (recorded.all()[0].sender, recorded.all()[0].recipients) == ("", tuple(odd))


def test_a_mailer_keeps_its_sessions_and_each_of_its_emails_arrives_once(loop_kind: str) -> None:
    mailer = Mailer.start(url="record:", max_connections=3)
    for number in range(100):
        mailer.tell(mail(subject=f"number {number}"))

    assert mailer.ask(Drain(timeout=PATIENCE), timeout=PATIENCE)
    mailer.stop()
    subjects = {message_from_bytes(kept.data)["Subject"] for kept in recorded.all()}
    assert len(recorded.all()) == len(subjects) == 100


def test_what_record_keeps_has_a_bound() -> None:
    kept = Kept(most_mails=3, most_bytes=100)

    def add(size: int) -> None:
        facts: Any = {"sender": "", "recipients": (), "parameters": "", "rcpt_parameters": ()}
        kept.add(KeptMail(data=b"x" * size, at=0.0, **facts))

    for size in (1, 2, 3, 4):
        add(size)
    assert [len(one.data) for one in kept.all()] == [2, 3, 4]
    add(98)
    assert [len(one.data) for one in kept.all()] == [98]
    add(1000)
    assert [len(one.data) for one in kept.all()] == [1000]
    assert kept.forgotten == 5


def test_null_takes_everything_and_keeps_nothing() -> None:
    assert str(send("null:", mail(message=BIG)).reply) == "250 2.0.0 dropped"
    assert not recorded.all()


def test_refuse_sends_nothing_and_says_why() -> None:
    outcome = failure(send("refuse:"))

    assert (outcome.kind, outcome.stage) == (FailureKind.LOCAL, Stage.CONNECT)
    assert (outcome.retryable, outcome.maybe_accepted) == (False, False)
    assert outcome.detail.startswith("refuse: this process may not send")


@pytest.mark.parametrize("url", ["record:", "null:", "console:"])
def test_verify_finds_an_outlet_ready(url: str) -> None:
    report = verify(url=url)

    assert report.is_ready
    assert (report.server, report.peer) == (url, None)


def test_the_transcript_and_the_other_options_are_as_with_a_server() -> None:
    outcome = send("record:?debug=1&alias=news")

    assert outcome.alias == "news"
    assert "C: MAIL FROM:<a@b.test> BODY=8BITMIME" in "\n".join(outcome.transcript)
    assert "S: 250 2.0.0 recorded" in outcome.transcript


def test_an_outlet_is_a_backup_like_any_relay() -> None:
    mailer = Mailer.start(url="file:///nowhere/at/all", backups=["record:"])
    outcome = mailer.ask(mail(), timeout=PATIENCE)
    mailer.stop()

    assert isinstance(outcome, SendSuccess), outcome
    assert len(recorded.all()) == 1


# For all of the process


@pytest.mark.parametrize("given", [{"url": "smtps://u:p@h.invalid"}, {"server": "h.invalid"}])
def test_one_variable_sends_all_emails_of_the_process_elsewhere(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYKKA_SMTP_URL_ALL", "record:")
    mailer = Mailer.start(**given, backups=["smtp://also.invalid"], alias="mine")
    outcomes = [
        SmtpActor.start(**given, alias="mine").ask(mail(), timeout=PATIENCE),
        mailer.ask(mail(), timeout=PATIENCE),
    ]
    mailer.stop()

    assert [type(outcome) for outcome in outcomes] == [SendSuccess, SendSuccess], outcomes
    assert {outcome.alias for outcome in outcomes} == {"mine"}
    assert len(recorded.all()) == 2
    assert verify(**given).server == "record:"


def test_the_variable_can_name_a_server_and_none_of_the_own_credentials_goes_there(
    monkeypatch: pytest.MonkeyPatch, scripted_server: Callable[..., Any]
) -> None:
    server = scripted_server()
    monkeypatch.setenv("PYKKA_SMTP_URL_ALL", f"smtp://{server.host}:{server.port}")

    outcome = SmtpActor.start("h.invalid", 587, username="u", password="hunter2").ask(
        mail(), timeout=PATIENCE
    )

    assert isinstance(outcome, SendSuccess), outcome
    assert len(server.mails) == 1


def test_a_mistake_in_the_variable_is_an_error_of_start_and_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYKKA_SMTP_URL_ALL", "recrod:")

    with pytest.raises(ValueError, match=r"^PYKKA_SMTP_URL_ALL: unknown scheme; write smtp://"):
        SmtpActor.start("localhost")


def test_the_own_options_are_checked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYKKA_SMTP_URL_ALL", "record:")

    with pytest.raises(ValueError, match="port: "):
        SmtpActor.start("localhost", 0)


# A folder


def files(folder: Path, ending: str) -> list[Path]:
    return sorted(folder.glob(f"*.{ending}"))


def test_a_folder_gets_the_email_and_its_envelope(loop_kind: str, tmp_path: Path) -> None:
    outcome = send(f"file://{tmp_path}", mail(bcc="x@y.test"))

    [eml], [envelope] = files(tmp_path, "eml"), files(tmp_path, "json")
    assert isinstance(outcome, SendSuccess), outcome
    assert str(outcome.reply) == f"250 2.0.0 written to {eml}"
    assert outcome.peer is None
    assert eml.stem == envelope.stem
    assert message_from_bytes(eml.read_bytes())["Subject"] == "=?utf-8?b?R3LDvMOfZQ==?="
    facts = json.loads(envelope.read_text())
    assert facts["sender"] == "a@b.test"
    assert facts["recipients"] == ["c@d.test", "e@f.test", "x@y.test"]
    assert eml.stat().st_mode & 0o077 == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_large_email_goes_into_a_folder_octet_for_octet(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()

    assert isinstance(send(f"file://{tmp_path}/a%20folder", mail(message=BIG)), SendSuccess)
    assert files(folder, "eml")[0].read_bytes() == BIG


@pytest.mark.parametrize(("place", "number"), [("gone", errno.ENOENT), ("file", errno.ENOTDIR)])
def test_a_folder_that_is_missing_is_a_relay_that_is_down(
    place: str, number: int, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    outcome = failure(send(f"file://{tmp_path}/{place}"))

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECT, Stage.CONNECT)
    assert (outcome.operation, outcome.errno) == ("open", number)
    assert outcome.retryable
    assert outcome.detail == f"file://{tmp_path}/{place}: {os.strerror(number)}"


@pytest.mark.parametrize("when", ["write", "fsync", "rename"])
def test_a_full_disk_defers_the_email_and_leaves_nothing_of_it(
    when: str, loop_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    if when == "write":
        monkeypatch.setattr(folder_module, "_write_all", full)
    else:
        monkeypatch.setattr(os, when, full)

    outcome = failure(send(f"file://{tmp_path}", mail(message=BIG)))

    assert (outcome.kind, outcome.code) == (FailureKind.SMTP, 452)
    assert outcome.retryable
    assert not outcome.maybe_accepted
    assert "No space left on device" in outcome.detail
    assert wait_until(lambda: not list(tmp_path.iterdir()), PATIENCE)


@pytest.mark.parametrize("when", ["write", "finish"])
def test_a_stop_while_the_disk_hangs_ends_the_send_at_once(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, goes_on = threading.Event(), threading.Event()
    real = os.fsync if when == "finish" else folder_module._write_all

    def hang(*args: Any) -> Any:
        hangs.set()
        goes_on.wait(PATIENCE)
        return real(*args)

    if when == "write":
        monkeypatch.setattr(folder_module, "_write_all", hang)
    else:
        monkeypatch.setattr(os, "fsync", hang)
    actor = SmtpActor.start(url=f"file://{tmp_path}")
    future = actor.ask(mail(), block=False)
    assert hangs.wait(PATIENCE)

    actor.stop()
    outcome = failure(future.get(timeout=PATIENCE))
    goes_on.set()

    assert outcome.kind is FailureKind.CANCELLED
    # Only if all of it was written it may be there in the end.
    assert outcome.maybe_accepted is (when == "finish")
    assert wait_until(lambda: not list(tmp_path.glob(".*")), PATIENCE)
    assert len(files(tmp_path, "eml")) <= (when == "finish")


def test_a_stop_just_before_the_disk_gets_the_first_octet_is_no_internal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = InnerTransport._read

    def read_and_close(transport: InnerTransport) -> None:
        real(transport)
        if transport._feeding is not None:
            transport.close()

    monkeypatch.setattr(InnerTransport, "_read", read_and_close)

    outcome = failure(send(f"file://{tmp_path}"))

    assert outcome.kind is FailureKind.CONNECTION
    assert wait_until_done(PATIENCE)
    assert "internal error" not in caplog.text
    assert not list(tmp_path.iterdir())


# The console


def test_the_console_shows_the_email_decoded_and_harmless(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = mail(subject="Grüße", body="bell \x1b[31m here\nsecond line\n")

    assert str(send("console:", given).reply) == "250 2.0.0 shown on stderr"
    shown = capsys.readouterr().err
    assert "from <a@b.test>, to c@d.test, e@f.test\n" in shown
    assert "Subject: Grüße\n" in shown
    assert "bell \\x1b[31m here\nsecond line\n" in shown
    assert "\x1b" not in shown


def test_a_console_that_is_closed_defers_the_email(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    outcome = failure(send("console:"))

    assert outcome.code == 451
    assert "cannot write to stderr" in outcome.detail


# A program


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Write a shell script, which knows its folder as ``$here``."""

    def write(text: str) -> Path:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\nhere='{tmp_path}'\n{text}\n")
        path.chmod(0o755)
        return path

    return write


def test_a_program_gets_the_email_on_its_input_and_the_envelope_as_arguments(
    loop_kind: str, tmp_path: Path, program: Callable[[str], Path]
) -> None:
    path = program('printf "%s\\n" "$@" >"$here/args"; cat >"$here/mail"')

    outcome = send(f"sendmail://{path}?args=-x%20$(id)", mail(message=BIG))

    assert isinstance(outcome, SendSuccess), outcome
    assert str(outcome.reply) == f"250 2.0.0 taken by {path}"
    assert outcome.peer is not None
    assert str(outcome.peer) == str(path)
    words = (tmp_path / "args").read_text().split("\n")
    assert words[:-1] == ["-x", "$(id)", "-i", "-f", "a@b.test", "--", "c@d.test", "e@f.test"]
    assert (tmp_path / "mail").read_bytes() == BIG.replace(b"\r\n", b"\n")


def test_no_shell_reads_an_address(tmp_path: Path, program: Callable[[str], Path]) -> None:
    path = program('printf "%s\\n" "$@" >"$here/args"; cat >/dev/null')
    hostile = ["-oQ/tmp@d.test", "`id`@d.test", '"$(id); x"@d.test']

    given = mail(sender="<>", recipients=hostile, message=BIG)
    assert isinstance(send(f"sendmail://{path}", given), SendSuccess)
    assert (tmp_path / "args").read_text().split("\n")[1:-1] == ["-f", "<>", "--", *hostile]


@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        (64, FailureKind.LOCAL, None, False),
        (65, FailureKind.SMTP, 554, False),
        (67, FailureKind.SMTP, 550, False),
        (69, FailureKind.SMTP, 554, False),
        (71, FailureKind.SMTP, 451, True),
        (75, FailureKind.SMTP, 451, True),
        (78, FailureKind.LOCAL, None, False),
        (1, FailureKind.SMTP, 554, False),
    ],
)
def test_the_exit_status_of_a_program_is_the_verdict(
    status: int,
    kind: FailureKind,
    code: int | None,
    retryable: bool,
    program: Callable[[str], Path],
) -> None:
    path = program(f"cat >/dev/null; echo because >&2; exit {status}")

    outcome = failure(send(f"sendmail://{path}"))

    assert (outcome.kind, outcome.code, outcome.retryable) == (kind, code, retryable)
    assert not outcome.maybe_accepted
    assert f"ended with {status}" in outcome.detail
    assert outcome.detail.endswith("because")


@pytest.mark.parametrize(
    ("text", "may_have_it"),
    [
        ("kill -9 $$", False),
        ("cat >/dev/null; kill -9 $$", True),
        ("head -c 100 >/dev/null; exit 0", True),
        ("head -c 100 >/dev/null; exit 75", False),
    ],
)
def test_a_program_that_dies_may_have_the_email_only_if_it_could_have_read_all_of_it(
    text: str,
    may_have_it: bool,
    loop_kind: str,
    program: Callable[[str], Path],
) -> None:
    outcome = failure(send(f"sendmail://{program(text)}", mail(message=BIG)))

    assert outcome.maybe_accepted is may_have_it
    assert outcome.retryable is not may_have_it


def test_an_exit_status_that_is_lost_is_no_success(program: Callable[[str], Path]) -> None:
    path = program("cat >/dev/null; exit 75")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        outcome = failure(send(f"sendmail://{path}"))
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert outcome.kind is FailureKind.CONNECTION
    assert outcome.maybe_accepted
    assert "the exit status of" in outcome.detail


def test_a_program_that_talks_without_end_is_heard_and_the_reply_stays_short(
    program: Callable[[str], Path],
) -> None:
    path = program("yes talk | head -c 1000000; cat >/dev/null; exit 75")

    outcome = failure(send(f"sendmail://{path}", mail(message=BIG)))

    assert outcome.code == 451
    assert len(outcome.detail) < 500


def test_a_program_that_is_not_there_is_a_relay_that_is_down(tmp_path: Path) -> None:
    outcome = failure(send(f"sendmail://{tmp_path}/none"))

    assert (outcome.kind, outcome.operation) == (FailureKind.CONNECT, "exec")
    assert outcome.detail == f"sendmail://{tmp_path}/none: No such file or directory"


def test_a_file_that_is_no_program_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no program\n")
    path.chmod(0o755)

    outcome = failure(send(f"sendmail://{path}"))

    assert (outcome.kind, outcome.retryable) == (FailureKind.LOCAL, False)
    assert "Exec format error" in outcome.detail


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def numbers_in(folder: Path) -> list[int]:
    """Wait for the script and its child; return their process ids."""
    assert wait_until((folder / "ready").exists, PATIENCE)
    return [int(word) for word in (folder / "ready").read_text().split()]


HANGS = 'sleep 60 & echo "$$ $!" >"$here/new"; mv "$here/new" "$here/ready"; wait'


@pytest.mark.parametrize("reads", ["", "cat >/dev/null; "])
@pytest.mark.parametrize("how", ["stop", "timeout", "stop_all"])
def test_a_program_that_hangs_is_killed_with_its_children(
    how: str, reads: str, loop_kind: str, tmp_path: Path, program: Callable[[str], Path]
) -> None:
    url = f"sendmail://{program(reads + HANGS)}"
    actor = SmtpActor.start(url=url, timeout=0.5 if how == "timeout" else 30)
    future = actor.ask(mail(message=BIG), block=False)
    numbers = numbers_in(tmp_path)
    if how == "stop":
        actor.stop()
    elif how == "stop_all":
        ActorRegistry.stop_all()

    outcome = failure(future.get(timeout=PATIENCE))

    kind = FailureKind.TIMEOUT if how == "timeout" else FailureKind.CANCELLED
    assert (outcome.kind, outcome.maybe_accepted) == (kind, bool(reads))
    assert wait_until(lambda: not any(map(is_alive, numbers)), PATIENCE)


def test_what_a_program_leaves_running_is_not_waited_for_and_not_killed(
    tmp_path: Path, program: Callable[[str], Path]
) -> None:
    path = program('cat >/dev/null; sleep 60 & echo $! >"$here/ready"')
    began = time.monotonic()

    outcome = send(f"sendmail://{path}")

    [number] = numbers_in(tmp_path)
    assert isinstance(outcome, SendSuccess), outcome
    assert time.monotonic() - began < PATIENCE / 2
    assert is_alive(number)
    os.kill(number, 9)


def test_many_recipients_come_in_several_runs(
    tmp_path: Path, program: Callable[[str], Path]
) -> None:
    path = program('echo $# >>"$here/counts"; cat >/dev/null')
    many = [f"r{number}@d.test" for number in range(1200)]

    outcome = send(f"sendmail://{path}", mail(recipients=many))

    assert isinstance(outcome, SendSuccess), outcome
    assert all(result.accepted for result in outcome.recipients)
    counts = [int(word) - 4 for word in (tmp_path / "counts").read_text().split()]
    assert sum(counts) == 1200
    assert max(counts) <= 500
