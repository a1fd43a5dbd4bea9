"""The command line, and the demo that it runs."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.demo_run import DemoRun
from servers.require import require_module
from servers.sending import read_until_closed

from pykka_smtp import __version__
from pykka_smtp.cli import main as command_line
from pykka_smtp.cli import sysexits

ROOT = Path(__file__).parents[3]
INTERPRETER = [sys.executable, "-W", "error"]
COMMAND = [*INTERPRETER, "-m", "pykka_smtp"]
HURRIED = """
import sys
from pykka_smtp.cli import main
from pykka_smtp.cli.demo import demo
demo.SILENT_TIMEOUT = 0.3
sys.exit(main.main(["demo"]))
"""
"""The demo, which does not wait for the silent server as long as it does for people."""
PROOF = re.compile(r"7 sends, 2 success, 5 failure, 7 signals, [0-9]+\.[0-9] s")
SECOND_PROOF = re.compile(r"5 put, 1 process killed, 5 sent, 1 perhaps twice, [0-9]+\.[0-9] s")
EXPECTED = {
    "accepted": "success for 1 of 1",
    "one of three recipients refused": "success for 2 of 3",
    "refused (550)": "SMTP at rcpt, do not try again",
    "greylisted (450)": "SMTP at rcpt, try again later",
    "connection refused": "CONNECT at connect, try again later",
    "silent server": "TIMEOUT at greeting, try again later",
    "dropped after the final dot": "CONNECTION at dot, maybe_accepted",
}


@pytest.fixture(autouse=True)
def extra_is_installed() -> None:
    require_module("rich")


@contextlib.contextmanager
def started(**options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start the demo; see that it ends."""
    with subprocess.Popen(
        [*COMMAND, "demo"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_demo_shows_each_case_and_ends_with_the_proof_in_under_ten_seconds(
    demo_run: DemoRun,
) -> None:
    assert demo_run.seconds < 10
    assert (demo_run.status, demo_run.errors) == (0, "")
    header, *rows, proof = demo_run.lines[: demo_run.lines.index("")]
    assert PROOF.fullmatch(proof)
    assert SECOND_PROOF.fullmatch(demo_run.lines[-1])
    # Columns begin where the header says: that is what aligned means.
    title_at, verdict_at, details_at = map(header.index, ("email", "outcome", "details"))
    shown = {row[title_at:verdict_at].strip(): row[verdict_at:details_at].strip() for row in rows}
    assert shown == EXPECTED
    assert all(re.match(r"[0-9]\.[0-9]{2} s  ", row) and row[details_at:].strip() for row in rows)


def test_in_the_second_act_a_process_is_killed_and_all_that_had_a_receipt_is_told(
    demo_run: DemoRun,
) -> None:
    title, put, killed, *told, _proof = demo_run.lines[demo_run.lines.index("") + 1 :]

    assert title.startswith("The Outbox: five emails in a file, kill -9")
    assert put.endswith("5 receipts: so many emails are on disk")
    assert "kill -9" in killed
    outcomes = {line.split()[2]: line for line in told}
    assert sorted(outcomes) == [f"order-{number}" for number in range(1, 6)]
    assert all("accepted: 250 2.0.0 taken" in line for line in told)
    assert [key for key, line in outcomes.items() if "doubts=1" in line] == ["order-1"]
    assert all(len(line) < 80 for line in demo_run.lines[demo_run.lines.index("") :])


def test_the_second_act_says_what_did_not_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    from pykka_smtp.cli.demo import second_act

    monkeypatch.setattr(second_act, "LIMIT", 0.2)
    monkeypatch.setattr(sys, "executable", shutil.which("true"))
    out, err = io.StringIO(), io.StringIO()

    assert second_act.run(out, err) is False
    assert err.getvalue() == (
        "pykka-smtp demo: of 5 emails 0 had a receipt, and 0 were sent; in doubt: none\n"
    )
    assert out.getvalue().splitlines()[-1].startswith("0 put, 1 process killed, 0 sent, ")


def test_the_demo_shows_a_signal_when_it_comes_not_at_the_end(demo_run: DemoRun) -> None:
    # The silent server is still being waited for.
    assert demo_run.ran_on_after == 7
    assert not any("silent server" in line for line in demo_run.lines[:7])
    assert demo_run.lines[7].split("  ")[1] == "silent server"


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_ends_the_demo_cleanly() -> None:
    with started() as process:
        assert process.stdout is not None
        for _ in range(7):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 130  # 128 and the number of SIGINT
    assert errors.strip() == "interrupted"


def test_the_demo_minds_nothing_when_its_output_is_no_longer_read() -> None:
    with started() as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.wait(20)

    assert (process.returncode, errors) == (sysexits.EX_IOERR, "")


def test_on_a_terminal_the_demo_draws_a_table_that_fills() -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [*INTERPRETER, "-c", HURRIED],
            cwd=ROOT,
            stdout=slave,
            stderr=subprocess.PIPE,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        )
        os.close(slave)
        written = b"".join(read_until_closed(master))
        _, errors = process.communicate(timeout=20)
    finally:
        os.close(master)

    assert (process.returncode, errors) == (0, b"")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    text, _, second = text.replace("\r", "").partition("\n\nThe Outbox: ")
    assert PROOF.fullmatch(text.splitlines()[-1])
    assert SECOND_PROOF.fullmatch(second.splitlines()[-1])
    # Drawn anew with each signal: at first all wait, in the end none does.
    assert text.count("sending") >= 7
    last = text[text.rindex("outcome") :]
    assert "sending" not in last
    assert "maybe_accepted" in last
    # It fits a terminal of 24 lines, with a line for the prompt.
    assert last.count("\n") < 24


def test_the_demo_says_when_an_outcome_is_not_the_expected_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pykka_smtp.cli.demo import demo

    wrong = [demo.Case(title="all well", port=1, expected="success for 1 of 1")]
    monkeypatch.setattr(
        demo,
        "cases",
        lambda ports: [
            demo.Case(title=w.title, port=ports.nobody, expected=w.expected) for w in wrong
        ],
    )
    out, err = io.StringIO(), io.StringIO()

    assert demo.run(out, err) is False
    assert err.getvalue() == (
        "pykka-smtp demo: all well: expected 'success for 1 of 1',"
        " received 'CONNECT at connect, try again later'\n"
    )
    assert out.getvalue().splitlines()[-1].startswith("1 sends, 0 success, 1 failure, 1 signals, ")


def test_the_demo_waits_for_no_signal_beyond_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from pykka_smtp.cli.demo import demo

    monkeypatch.setattr(demo, "LIMIT", 0.1)
    monkeypatch.setattr(demo, "QUIT_TIMEOUT", 0.1)
    monkeypatch.setattr(
        demo, "cases", lambda ports: [demo.Case(title="mute", port=ports.silent, expected="x")]
    )
    out, err = io.StringIO(), io.StringIO()

    assert demo.run(out, err) is False
    assert err.getvalue() == "pykka-smtp demo: mute: expected 'x', received 'nothing'\n"
    assert out.getvalue().splitlines()[-1].startswith("1 sends, 0 success, 0 failure, 0 signals, ")


def test_in_process_the_demo_draws_its_table_where_the_output_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pykka_smtp.cli.demo import demo
    from pykka_smtp.cli.demo.servers import Ports

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(demo, "SILENT_TIMEOUT", 0.3)
    out, err = Terminal(), io.StringIO()

    assert demo.run(out, err) is True
    assert err.getvalue() == ""
    assert PROOF.fullmatch(out.getvalue().splitlines()[-1])
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(
        demo._view(out, demo.cases(Ports(good=1, nobody=2, silent=3, dropping=4))), demo.PlainLines
    )


def test_a_demo_that_is_not_as_it_should_be_exits_with_70(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykka_smtp.cli.demo.demo.run", lambda _out, _err: False)

    assert command_line.main(["demo"]) == sysexits.EX_SOFTWARE


def test_a_demo_without_a_loopback_interface_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_out: object, _err: object) -> bool:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr("pykka_smtp.cli.demo.demo.run", refuse)

    assert command_line.main(["demo"]) == sysexits.EX_OSERR
    assert capsys.readouterr().err == (
        "pykka-smtp demo: cannot use the loopback interface:"
        " [Errno 99] Cannot assign requested address\n"
    )


def test_the_demo_needs_no_server_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiosmtpd", None)
    monkeypatch.setattr("pykka_smtp.cli.demo.demo.SILENT_TIMEOUT", 0.2)

    assert command_line.main(["demo"]) == sysexits.EX_OK


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)

    assert command_line.main(["demo"]) == sysexits.EX_UNAVAILABLE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"[^\n]*needs rich;[^\n]*pip install [^\n]*\[demo\][^\n]*\n", printed.err)


def test_without_arguments_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([]) == sysexits.EX_OK

    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("usage: ")
    assert "demo " in printed.out


def test_the_code_in_the_help_text_is_code(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.main([])
    _, _, code = capsys.readouterr().out.partition("In a program:\n\n")

    compile(re.sub(r"(?m)^  ", "", code), "<help>", "exec")


def test_the_command_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        command_line.main(["--version"])

    assert exited.value.code == 0
    assert capsys.readouterr().out == f"pykka-smtp {__version__}\n"


@pytest.mark.parametrize("arguments", [["dmeo"], ["demo", "--fast"], ["--nonsense"]])
def test_wrong_usage_exits_with_64_and_says_what_is_right(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        command_line.main(arguments)

    assert exited.value.code == sysexits.EX_USAGE
    assert "usage: " in capsys.readouterr().err
