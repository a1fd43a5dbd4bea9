"""``pykka-smtp merge`` is interrupted, or killed, and goes on: no row is sent twice."""

import csv
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from servers.sending import PATIENCE, program, send, url_of
from servers.sending_fixtures import Holding, Shell

pytestmark = pytest.mark.long
COUNT = 500


class Run:
    """A run with many rows."""

    def __init__(self, shell: Shell, url: str) -> None:
        self.shell = shell
        folder = shell.folder / "june"
        folder.mkdir()
        (folder / "subject.txt").write_text("News")
        (folder / "body.txt").write_text("Dear {{ name }}")
        people = shell.folder / "people.csv"
        people.write_text(
            "email,name\n" + "".join(f"u{number}@x.test,N\n" for number in range(COUNT))
        )
        self.arguments = (
            *("--template", str(folder), "--rows", str(people), "--from", "me@a.test"),
            *("--journal", str(shell.folder / "j"), "--url", url, "--quiet"),
        )

    def again(self, *more: str) -> dict[str, str]:
        """Run it again, to its end; return the results by address."""
        report = self.shell.folder / "report.csv"
        send(*self.arguments, "--report", str(report), *more, command="merge")
        return results_in(report)


def results_in(report: Path) -> dict[str, str]:
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["row"]) for row in rows) == list(range(2, COUNT + 2))
    return {row["address"]: row["result"] for row in rows}


def has_more_than(server: Any, most: int) -> bool:
    return len(server.mails) > most


def counts(server: Any) -> Counter[str]:
    """Return how often each recipient got an email."""
    return Counter(mail.recipients[0] for mail in server.mails)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_where_it_was(
    shell: Shell, holding: Holding, number: signal.Signals
) -> None:
    run = Run(shell, url_of(holding.server))
    process = program(*run.arguments, command="merge")
    holding.wait_for_mails(3)
    process.send_signal(number)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("pykka-smtp merge: interrupted; emails in flight")
    holding.released.set()
    _, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert complaints == "pykka-smtp merge: the same command goes on from here\n"
    assert 3 <= len(counts(holding.server)) < COUNT

    assert set(run.again().values()) == {"accepted"}

    assert counts(holding.server) == dict.fromkeys((f"u{n}@x.test" for n in range(COUNT)), 1)


def test_after_kill_9_rows_in_doubt_are_told_and_not_sent_again_unless_asked_for(
    shell: Shell, holding: Holding
) -> None:
    run = Run(shell, url_of(holding.server))
    process = program(*run.arguments, command="merge")
    holding.wait_for_mails(5)
    process.kill()
    _, complaints = process.communicate(timeout=PATIENCE)
    assert (process.returncode, complaints) == (-signal.SIGKILL, "")
    holding.released.set()
    perhaps = set(counts(holding.server))  # received, and for all that is known here accepted

    results = run.again()

    doubtful = {address for address, result in results.items() if result == "maybe"}
    assert Counter(results.values()) == {"accepted": COUNT - len(doubtful), "maybe": len(doubtful)}
    assert 4 <= len(doubtful) <= 100  # those in flight or queued, and by far not all
    assert max(counts(holding.server).values()) == 1
    assert perhaps <= doubtful | {"u0@x.test"}
    said = shell.read().err
    assert f"{len(doubtful)} rows in doubt, and not sent again; --resend-doubtful sends" in said

    assert set(run.again("--resend-doubtful").values()) == {"accepted"}

    found = counts(holding.server)
    assert set(found) == {f"u{number}@x.test" for number in range(COUNT)}
    assert {address for address, count in found.items() if count > 1} == perhaps & doubtful


def test_killed_again_and_again_it_sends_no_row_twice(shell: Shell) -> None:
    run = Run(shell, url_of(shell.server))
    server = shell.server
    for most in (1, 40, 120, 250):
        process = program(*run.arguments, command="merge")
        server.wait_for(partial(has_more_than, server, most), PATIENCE)
        process.kill()
        process.communicate(timeout=PATIENCE)

    results = run.again()

    found = counts(shell.server)
    assert max(found.values()) == 1
    accepted = {address for address, result in results.items() if result == "accepted"}
    assert accepted <= set(found)
    assert {results[address] for address in set(results) - accepted} <= {"maybe"}
