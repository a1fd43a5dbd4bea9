"""The command as a process: its help, its standard streams, its terminal, and Ctrl-C."""

import os
import re
import signal
import ssl
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from servers.python import python, run_to_its_end
from servers.scripted import ScriptedServer, Start
from servers.sending import (
    PATIENCE,
    ROOT,
    list_in,
    mail_in,
    many,
    read_until_closed,
    rows_of,
    url_of,
)
from servers.sending_fixtures import Holding

from pykka_smtp.cli import main as command_line
from pykka_smtp.quiet_start import is_the_command
from pykka_smtp.testing.polite import polite


@pytest.fixture
def mail(tmp_path: Path) -> str:
    return mail_in(tmp_path)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_to_its_end(*command, cwd=ROOT, env=environment)


# Help.


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", [(), ("send",), ("verify",), ("demo",)])
def test_the_help_fits_the_terminal_and_breaks_no_word(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    command: tuple[str, ...],
) -> None:
    def help_at(width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit) as exited:
            command_line.main([*command, "--help"])
        assert exited.value.code == 0
        return capsys.readouterr().out

    shown, wide = help_at(columns), help_at(1000)

    assert max(map(len, shown.splitlines())) <= columns
    assert set(shown.split()) == set(wide.split())


def test_examples_in_the_help_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["--help"])

    example = capsys.readouterr().out.partition("In a program:\n\n")[2]
    compile("\n".join(line.removeprefix("  ") for line in example.splitlines()), "help", "exec")


def test_the_statuses_in_the_help_are_named_as_sysexits_has_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["--help"])

    shown = " ".join(capsys.readouterr().out.split())
    assert "69 service unavailable, 70 internal error" in shown
    assert "76 protocol error" in shown


# Standard streams.


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_command_whose_standard_streams_are_closed_ends_with_the_right_status(
    scripted_server: Start, mail: str, closed: str, loop: str
) -> None:
    server = scripted_server(polite(replies={"no@x.test": "550 5.1.1 who?"}))
    statuses = [
        run(
            *(
                "sh",
                "-c",
                f'exec "$0" -W error -m pykka_smtp "$@" {closed}',
                sys.executable,
                "send",
            ),
            *("--url", url_of(server), "--to", address, mail),
            PYKKA_SMTP_LOOP=loop,
        )
        for address in ("a@x.test", "no@x.test")
    ]

    assert [done.returncode for done in statuses] == [0, 69]
    assert ["Traceback" in done.stderr for done in statuses] == [False, False]
    assert [mail.recipients for mail in server.mails] == [("a@x.test",)]


@pytest.mark.parametrize("command", ["verify", "--help"])
def test_other_commands_do_without_standard_output(scripted_server: Start, command: str) -> None:
    server = scripted_server(polite(), polite())
    arguments = [command, url_of(server)] if command == "verify" else [command]

    done = run(*("sh", "-c", 'exec "$0" -m pykka_smtp "$@" >&-', sys.executable, *arguments))

    assert (done.returncode, done.stderr) == (0, "")


def test_missing_standard_streams_are_restored_at_the_end(
    scripted_server: Start, mail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    status = command_line.main(["send", "--url", url_of(scripted_server()), "--to=a@x.test", mail])

    assert status == 0
    assert (sys.stdout, sys.stderr) == (None, None)


# A terminal that goes away.

ON_ITS_TERMINAL = """\
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(1, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize("is_told", [True, False], ids=["told by SIGHUP", "not told"])
@pytest.mark.parametrize("has_bar", [True, False], ids=["bar", "no bar"])
def test_a_closed_terminal_is_not_a_report_error(
    holding: Holding, mail: str, tmp_path: Path, *, is_told: bool, has_bar: bool
) -> None:
    pty = pytest.importorskip("pty")
    report = tmp_path / "report.json"
    master, slave = pty.openpty()
    first = ["-c", ON_ITS_TERMINAL] if is_told else []
    process = subprocess.Popen(
        [
            *(sys.executable, *first, "-m", "pykka_smtp", "send", "--url", url_of(holding.server)),
            *("--to-file", list_in(tmp_path, many(3)), "--report", str(report), mail),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"TERM": "xterm" if has_bar else "dumb"},
    )
    try:
        os.close(slave)
        holding.wait_for_mails(2)
        os.close(master)
        holding.released.set()
        status = process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()

    assert status == 129
    accepted = [address for address, row in rows_of(report).items() if row["result"] == "accepted"]
    assert len(rows_of(report)) == 3
    assert sorted(accepted) == sorted(mail.recipients[0] for mail in holding.server.mails)


def test_an_interrupted_bar_is_not_full_and_says_what_was_not_sent(
    holding: Holding, mail: str, tmp_path: Path
) -> None:
    pytest.importorskip("rich")
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pykka_smtp", "send", "--url", url_of(holding.server)),
            *("--to-file", list_in(tmp_path, many(400)), mail),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )
    try:
        os.close(slave)
        holding.wait_for_mails(3)
        process.send_signal(signal.SIGINT)
        piece = b""
        for more in read_until_closed(master):
            piece += more
            if b"interrupted" in piece:
                holding.released.set()
        printed, _ = process.communicate(timeout=PATIENCE)
    finally:
        os.close(master)
        process.kill()
        process.wait()

    accepted = len(holding.server.mails)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", piece.decode())
    last = [line for line in re.split(r"[\r\n]+", text) if "/400" in line][-1]
    assert process.returncode == 130
    assert f" {accepted}/400 {accepted} accepted, {400 - accepted} not sent" in last
    assert f"accepted    {accepted:>3}\n" in printed
    assert f"not sent    {400 - accepted:>3}  their turn did not come\n" in printed
    assert "failed        0\n" in printed


# Ctrl-C while it is imported.

SLOW = 'import signal\nprint("importing", flush=True)\nsignal.pause()\n'


@pytest.fixture
def slow_to_import(tmp_path: Path) -> dict[str, str]:
    """Have an import of the package's stand still; return the environment for that."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "aiohappyeyeballs.py").write_text(SLOW)
    return {"PYTHONPATH": str(folder)}


def interrupt_import(command: list[str], env: dict[str, str]) -> tuple[int, str]:
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | env,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    return process.returncode, complaints


@pytest.mark.parametrize("way", ["module", "script"])
def test_ctrl_c_while_it_is_imported_is_quiet(slow_to_import: dict[str, str], way: str) -> None:
    command = [sys.executable, "-m", "pykka_smtp", "verify"]
    if way == "script":
        script = Path(sysconfig.get_path("scripts"), "pykka-smtp")
        if not script.exists():
            pytest.skip("the command is not installed")
        command = [str(script), "verify"]

    assert interrupt_import(command, slow_to_import) == (130, "")


def test_ctrl_c_in_a_program_that_imports_the_package_stays_the_programs_own(
    slow_to_import: dict[str, str],
) -> None:
    program = "try:\n import pykka_smtp\nexcept KeyboardInterrupt:\n raise SystemExit(7)\n"

    assert interrupt_import([sys.executable, "-c", program], slow_to_import) == (7, "")


@pytest.mark.parametrize(
    ("argv", "orig_argv", "is_it"),
    [
        (["-m"], ["python", "-m", "pykka_smtp", "send"], True),
        (["-m"], ["python", "-W", "error", "-m", "pykka_smtp"], True),
        (["-m"], ["python", "-m", "mine"], False),
        (["/usr/bin/pykka-smtp", "send"], ["python", "/usr/bin/pykka-smtp", "send"], True),
        (["pykka-smtp.exe"], ["pykka-smtp.exe"], True),
        (["/usr/bin/pykka-smtp-sendmail"], ["python", "/usr/bin/pykka-smtp-sendmail"], True),
        (["mine.py", "pykka-smtp"], ["python", "mine.py", "pykka-smtp"], False),
        (["-c"], ["python", "-c", "import pykka_smtp"], False),
        ([], [], False),
        ([""], ["python"], False),
    ],
)
def test_only_the_command_itself_takes_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], orig_argv: list[str], *, is_it: bool
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)

    assert is_the_command() is is_it


# What the environment says.


def test_the_command_trusts_an_authority_that_ssl_cert_file_names(
    scripted_server: Start, tmp_path: Path
) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    server = scripted_server(polite("STARTTLS"), polite("STARTTLS"), context=context)
    command = [sys.executable, "-m", "pykka_smtp", "verify", url_of(server, "?tls=starttls")]

    trusting = run(*command, SSL_CERT_FILE=str(file))

    assert (trusting.returncode, trusting.stderr) == (0, "")
    assert ", verified" in trusting.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_verify_that_cannot_print_says_so_by_its_status_and_not_by_a_traceback(
    server: ScriptedServer,
) -> None:
    with Path("/dev/full").open("w") as full:
        command = ("-m", "pykka_smtp", "verify", url_of(server))
        done = python(*command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE)

    assert (done.returncode, done.stderr) == (74, "")


def test_a_link_to_the_sendmail_is_the_command_and_another_sendmail_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script, link = tmp_path / "pykka-smtp-sendmail", tmp_path / "sendmail"
    script.touch()
    link.symlink_to(script)

    monkeypatch.setattr(sys, "argv", [str(link)])
    assert is_the_command()

    link.unlink()
    link.touch()
    assert not is_the_command()
