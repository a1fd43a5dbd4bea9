"""``pykka-smtp send`` as a program: on a terminal, and under Ctrl-C."""

import os
import re
import signal

import pytest
from servers.require import require_module
from servers.sending import PATIENCE, dead_url, many, program, read_until_closed, rows_of, url_of
from servers.sending_fixtures import Holding, Shell

from pykka_smtp.cli.send import run as send_run
from pykka_smtp.cli.send.interrupts import Interrupts
from pykka_smtp.testing.polite import polite


def test_on_a_terminal_there_is_a_bar_that_fits_and_fills(shell: Shell) -> None:
    require_module("rich")
    pty = pytest.importorskip("pty")
    server = shell.serve(polite(replies={"u7@x.test": "550 5.1.1 who?"}))
    master, slave = pty.openpty()
    try:
        process = program(
            *("--url", url_of(server), "--to-file", shell.to_file(many(300)), shell.mail),
            stderr=slave,
            env={"TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        )
        os.close(slave)
        written = b"".join(read_until_closed(master)).decode()
        printed, _ = process.communicate(timeout=PATIENCE)
    finally:
        os.close(master)

    assert process.returncode == 69
    assert "accepted    299" in printed
    text = re.sub(r"\x1b\[[0-9;]*m", "", written)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\r", text)
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    assert all(len(line) <= 80 for line in lines)
    assert re.search(r"300/300 299 accepted, 1 refused, \d+/s 0:00:00$", lines[-1])


def test_whoever_does_not_read_the_summary_has_his_mails_sent_all_the_same(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = program("--url", url_of(shell.server), "--to=a@x.test", shell.mail, stdout=writer)
    os.close(writer)
    _, complaints = process.communicate(timeout=PATIENCE)

    assert (process.returncode, complaints) == (74, "")
    assert shell.server.accepted == 1


# Ctrl-C.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_lets_mails_under_way_finish_and_reports_all(
    shell: Shell, holding: Holding, number: signal.Signals
) -> None:
    report = shell.folder / "report.json"
    process = program(
        *("--url", url_of(holding.server), "--to-file", shell.to_file(many(5000))),
        *("--report", str(report), shell.mail),
    )
    holding.wait_for_mails(3)
    process.send_signal(number)
    assert process.stderr is not None
    notice = process.stderr.readline()
    holding.released.set()
    printed, complaints = process.communicate(timeout=PATIENCE)

    rows = rows_of(report)
    accepted = {address for address, row in rows.items() if row["result"] == "accepted"}
    assert process.returncode == 128 + number
    assert notice == (
        "pykka-smtp send: interrupted; emails in flight have 10 s, interrupt again to end at once\n"
    )
    assert complaints == ""
    assert len(rows) == 5000
    assert len(accepted) >= 3
    assert accepted == {mail.recipients[0] for mail in holding.server.mails}
    assert {
        (row["result"], row["kind"], row["retryable"], row["attempts"])
        for address, row in rows.items()
        if address not in accepted
    } == {("not sent", "CANCELLED", True, 0)}
    assert f"accepted    {len(accepted):>4}\n" in printed


def test_a_second_ctrl_c_ends_it_at_once_and_lists_unknown_results(
    shell: Shell, holding: Holding
) -> None:
    report = shell.folder / "report.json"
    process = program(
        *("--url", url_of(holding.server), "--to-file", shell.to_file(many(50))),
        *("--report", str(report), shell.mail),
    )
    holding.wait_for_mails(3)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    # It is not waited for the server, which goes on to say nothing.
    printed, complaints = process.communicate(timeout=send_run.GRACE / 2)

    rows = rows_of(report)
    maybe = {address for address, row in rows.items() if row["result"] == "maybe"}
    assert process.returncode == 130
    assert len(maybe) >= 2
    assert maybe >= {mail.recipients[0] for mail in holding.server.mails[1:]}
    assert f"{len(maybe)} recipients may have got the email, nobody knows" in complaints
    assert f"maybe       {len(maybe):>2}" in printed


def test_ctrl_c_while_it_still_reads_ends_it_at_once(shell: Shell) -> None:
    fifo = shell.folder / "fifo"
    os.mkfifo(fifo)
    process = program("--url", dead_url(), "--to-file", str(fifo), shell.mail)
    with fifo.open("wb") as pipe:
        # More than a pipe holds: it has begun to read, and waits for what never comes.
        pipe.write(b"# comment\n" * 50_000)
        pipe.flush()
        process.send_signal(signal.SIGINT)
        printed, complaints = process.communicate(timeout=PATIENCE)

    assert (process.returncode, printed) == (130, "")
    assert complaints == "\ninterrupted\n"


def test_what_is_ignored_stays_ignored_and_all_is_as_before_in_the_end() -> None:
    def seen(interrupts: Interrupts) -> tuple[int | None, bool]:
        return interrupts.number, interrupts.is_urgent

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert seen(interrupts) == (None, False)
            signal.raise_signal(signal.SIGTERM)
            assert seen(interrupts) == (signal.SIGTERM, False)
            signal.raise_signal(signal.SIGINT)
            assert seen(interrupts) == (signal.SIGTERM, True)
            # From the third on they do what they did before.
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is interrupt
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
