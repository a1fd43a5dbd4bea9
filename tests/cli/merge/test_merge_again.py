"""``pykka-smtp merge`` a second time: nothing twice, whatever has gone wrong the first time."""

import os
from typing import Any

import pytest
from servers.merging import Desk, received, report
from servers.sending import dead_url, send, url_of

from pykka_smtp.cli.output.report import Report
from pykka_smtp.cli.output.results import Row
from pykka_smtp.testing.moods import refuse
from pykka_smtp.testing.polite import Polite, polite


def test_the_same_command_again_sends_nothing_twice(desk: Desk) -> None:
    server = desk.shell.serve(polite(replies={"ben@x.test": "550 5.1.1 who?"}))
    path, again = (desk.shell.folder / name for name in ("report.csv", "again.csv"))
    desk.merge("--report", str(path), url=url_of(server))
    desk.shell.read()

    assert desk.merge("--report", str(again), url=url_of(server)) == 0

    assert desk.says() == [
        f"3 rows done before, as {desk.journal} says",
        "1 row of these refused for good; --resend-refused sends them all the same",
        "nothing is left to send",
    ]
    assert len(server.mails) == 2
    assert sorted(path.read_text().splitlines()) == sorted(again.read_text().splitlines())


def test_what_was_deferred_is_sent_by_the_next_run(desk: Desk) -> None:
    server = desk.shell.serve(polite(replies={"ben@x.test": "450 4.2.0 later"}))
    assert desk.merge(url=url_of(server)) == 75

    assert desk.merge() == 0

    assert set(received(desk.shell.server)) == {"ben@x.test"}


@pytest.mark.parametrize(
    ("moods", "user", "query"),
    [
        ([refuse("EHLO", "554 5.7.1 go away")], "", ""),
        ([refuse("AUTH", "535 5.7.8 wrong password")], "me:secret@", ""),
        ([], "", "?tls=starttls"),
    ],
)
def test_a_row_that_met_a_relay_that_takes_none_of_ours_is_sent_by_the_next_run(
    desk: Desk, moods: list[Any], user: str, query: str
) -> None:
    server = desk.shell.serve(Polite("AUTH PLAIN", moods=moods))
    assert desk.merge(url=url_of(server, query).replace("//", f"//{user}")) in {69, 77}
    assert desk.says()[-1] == "the same command goes on from here"

    assert desk.merge() == 0

    assert set(received(desk.shell.server)) == {"ann@x.test", "ben@x.test", "cy@x.test"}


def test_what_was_refused_is_sent_again_if_asked_for(desk: Desk) -> None:
    server = desk.shell.serve(Polite(moods=[refuse("MAIL", "530 5.7.0 log in first")]))
    path = desk.shell.folder / "report.csv"
    assert desk.merge(url=url_of(server)) == 69

    assert desk.merge("--resend-refused", "--report", str(path)) == 0

    assert set(received(desk.shell.server)) == {"ann@x.test", "ben@x.test", "cy@x.test"}
    assert sorted(row["result"] for row in report(path)) == ["accepted"] * 3
    assert desk.merge("--resend-refused") == 0
    assert len(desk.shell.server.mails) == 3


def test_a_report_does_not_write_over_the_journal(desk: Desk) -> None:
    report = f"{desk.shell.folder}/june/../june.csv"
    assert desk.merge("--journal", str(desk.shell.folder / "june.csv"), "--report", report) == 64

    assert desk.says() == ["--journal and --report are the same file"]
    assert not desk.shell.server.mails


def test_a_dry_run_with_a_journal_tells_what_is_left(desk: Desk) -> None:
    server = desk.shell.serve(polite(replies={"ben@x.test": "450 4.2.0 later"}))
    assert desk.merge(url=url_of(server)) == 75
    desk.shell.read()
    before = desk.journal.read_bytes()
    folder = desk.shell.folder / "dry"

    assert desk.merge("--dry-run", str(folder)) == 0

    said = desk.shell.read()
    assert said.err == f"pykka-smtp merge: 2 rows done before, as {desk.journal} says\n"
    assert said.out == f"would send 1 email; see {folder}/row-3.eml; nothing was sent\n"
    assert desk.journal.read_bytes() == before
    assert not desk.shell.server.sessions
    assert desk.merge() == 0
    desk.shell.read()
    assert desk.merge("--dry-run", str(folder)) == 0
    assert desk.shell.read().out == "would send 0 emails; nothing was sent\n"


# Rows with the same address

TWICE = "email,name,token\nann@x.test,A,1\nben@x.test,B,2\nAnn <ANN@x.test>,C,3\nann@X.test,D,4\n"


def test_rows_with_the_same_address_are_told_and_sent(desk: Desk) -> None:
    desk.people.write_text(TWICE)
    told = f"{desk.people}: ann@x.test is in the rows 2, 4 and 5; each gets an email (see --unique)"

    assert desk.merge("--dry-run", str(desk.shell.folder / "dry")) == 0
    said = desk.shell.read()
    assert said.err == f"pykka-smtp merge: {told}\n"
    assert said.out.startswith("would send 4 emails; ")

    assert desk.merge("--quiet") == 0
    assert desk.says() == [told]
    assert len(desk.shell.server.mails) == 4


def test_if_asked_for_each_address_gets_one_email(desk: Desk) -> None:
    desk.people.write_text(TWICE)
    path = desk.shell.folder / "report.csv"
    told = f"{desk.people}: ann@x.test is in the rows 2, 4 and 5; one of them gets the email"

    assert desk.merge("--unique", "--dry-run", str(desk.shell.folder / "dry")) == 0
    said = desk.shell.read()
    assert said.err == f"pykka-smtp merge: {told}\n"
    assert said.out.startswith("would send 2 emails; ")
    files = (desk.shell.folder / "dry").iterdir()
    assert sorted(file.name for file in files) == ["row-2.eml", "row-3.eml"]

    for _ in range(2):
        assert desk.merge("--unique", "--report", str(path)) == 0
        assert desk.says()[0] == told
        assert len(received(desk.shell.server)) == 2
        assert received(desk.shell.server)["ann@x.test"]["Subject"] == "News for A"
        rows = sorted((row["row"], row["result"], row["text"]) for row in report(path))
        assert rows == [
            ("2", "accepted", "2.0.0 taken"),
            ("3", "accepted", "2.0.0 taken"),
            ("4", "not sent", "has the address of row 2"),
            ("5", "not sent", "has the address of row 2"),
        ]


def test_who_has_got_it_by_another_row_gets_no_second_one(desk: Desk) -> None:
    from pykka_smtp.cli.merge.journal import Journal
    from pykka_smtp.cli.merge.rows import Table

    desk.people.write_text(TWICE)
    with desk.people.open("rb") as file, Table(file, "") as table:
        digest = table.digest
    with Journal(desk.journal, digest, "") as journal:
        journal.begin([2, 5])
        journal.end(5, Row(address="ann@X.test", result="accepted"))

    assert desk.merge("--unique", "--resend-doubtful") == 0
    assert {mail.recipients[0] for mail in desk.shell.server.mails} == {"ben@x.test"}


def test_of_very_many_addresses_in_several_rows_the_first_are_told(desk: Desk) -> None:
    rows = "".join(f"u{number % 30}@x.test,x,1\n" for number in range(300))
    desk.people.write_text(f"email,name,token\n{rows}")

    assert desk.merge("--dry-run", str(desk.shell.folder / "dry")) == 0

    first, *_, last = said = desk.says()
    assert len(said) == 21
    assert "u0@x.test is in the rows 2, 32, 62, 92, 122 and 5 more; each gets" in first
    assert ": 10 more addresses are in several rows; each gets an email" in last


def test_without_a_journal_nothing_is_sent(desk: Desk) -> None:
    arguments = ("--template", str(desk.june), "--rows", str(desk.people), "--from", "me@a.test")

    assert send(*arguments, "--url", dead_url(), command="merge") == 64
    assert desk.says() == [
        "name a file with --journal, which notes what was sent; or use --dry-run"
    ]


def test_a_relay_that_rejects_us_stops_it_and_the_next_run_goes_on(desk: Desk) -> None:
    assert desk.merge(url=dead_url()) == 75
    assert desk.says()[-1] == "the same command goes on from here"

    assert desk.merge() == 0

    assert len(received(desk.shell.server)) == 3


def test_a_journal_that_cannot_be_written_stops_it_before_an_unnoted_email(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pykka_smtp.cli.merge.journal import Journal

    begin = Journal.begin

    def fail_at_last(self: Journal, numbers: list[int]) -> None:
        if 2 not in numbers:
            raise OSError(28, "No space left on device")
        begin(self, numbers)

    monkeypatch.setattr(Journal, "begin", fail_at_last)

    assert desk.merge() == 74

    assert set(received(desk.shell.server)) == {"ann@x.test"}
    assert any("No space left on device" in line for line in desk.says())


def test_a_report_that_cannot_be_written_leaves_no_row_in_doubt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"u{number}@x.test,x,1\n" for number in range(400))
    desk.people.write_text(f"email,name,token\n{rows}")
    written: list[Row] = []

    def fill_the_disk(_report: Report, row: Row) -> None:
        written.append(row)
        if len(written) > 5:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Report, "write", fill_the_disk)
        assert desk.merge("--report", str(desk.shell.folder / "report.csv")) == 74
    assert "stopped: the report can't be written: No space left on device" in desk.says()
    sent = set(received(desk.shell.server))
    assert len(sent) > 5

    assert desk.merge() == 0
    assert set(received(desk.shell.server)) == {f"u{number}@x.test" for number in range(400)}
    assert desk.says() == [f"{len(sent)} rows done before, as {desk.journal} says"]


def test_a_journal_on_a_full_disk_is_told_by_its_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def write_on_full_disk(file: int, octets: bytes) -> int:
        if octets.startswith(b'{"row": '):
            raise OSError(28, "No space left on device")
        return write(file, octets)

    monkeypatch.setattr(os, "write", write_on_full_disk)

    assert desk.merge() == 74
    assert f"stopped: {desk.journal} can't be written: No space left on device" in desk.says()
