"""``pykka-smtp merge``: what each row gets, what is checked before, and what is reported."""

import csv
import email
import email.policy
import io
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from servers.python import python
from servers.sending import dead_url, send, url_of
from servers.sending_fixtures import Shell

from pykka_smtp.cli.output.results import Row
from pykka_smtp.testing.moods import refuse
from pykka_smtp.testing.polite import Polite, polite

PEOPLE = "email,name,token\nann@x.test,Ann,1\nBen B <ben@x.test>,Bén <b>,2\n\ncy@x.test,Cy,3\n"


@pytest.fixture
def june(tmp_path: Path) -> Path:
    """Make a folder with templates."""
    folder = tmp_path / "june"
    (folder / "inline").mkdir(parents=True)
    (folder / "attachments").mkdir()
    (folder / "subject.txt").write_text("News for {{ name }}\n")
    (folder / "body.txt").write_text("Dear {{ name }}\n")
    (folder / "body.html").write_text(
        '<style>p{color: red}</style><p>Dear {{ name }}</p><img src="cid:logo.png">'
    )
    (folder / "inline" / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "attachments" / "paper.pdf").write_bytes(b"%PDF")
    (folder / "attachments" / ".DS_Store").write_bytes(b"")
    return folder


class Desk:
    """Who types the command."""

    def __init__(self, shell: Shell, june: Path) -> None:
        self.shell = shell
        self.june = june
        self.people = shell.folder / "people.csv"
        self.people.write_text(PEOPLE)
        self.journal = shell.folder / "june.journal"

    def merge(self, *more: str, url: str | None = None, author: str = "News <me@a.test>") -> int:
        return send(
            *("--template", str(self.june), "--rows", str(self.people), "--from", author),
            *("--journal", str(self.journal), "--url", url or url_of(self.shell.server), *more),
            command="merge",
        )

    def says(self) -> list[str]:
        """Return what it complained of."""
        lines = self.shell.read().err.splitlines()
        assert all(line.startswith("pykka-smtp merge: ") for line in lines)
        return [line.removeprefix("pykka-smtp merge: ") for line in lines]


@pytest.fixture
def desk(shell: Shell, june: Path) -> Desk:
    return Desk(shell, june)


def received(server: Any) -> dict[str, EmailMessage]:
    """Return what each recipient got, by the address; once each."""
    addresses = [mail.recipients[0] for mail in server.mails]
    assert len(set(addresses)) == len(addresses)
    return {
        mail.recipients[0]: email.message_from_bytes(mail.data, policy=email.policy.default)
        for mail in server.mails
    }


def report(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_row_gets_its_own_email(desk: Desk) -> None:
    assert desk.merge("--unsubscribe", "https://a.test/u/{{ token }}", "--list-id", "n.a.test") == 0

    found = received(desk.shell.server)
    assert set(found) == {"ann@x.test", "ben@x.test", "cy@x.test"}
    ben = found["ben@x.test"]
    assert not ben.defects
    assert ben["To"] == "Ben B <ben@x.test>"
    assert ben["From"] == "News <me@a.test>"
    assert ben["Subject"] == "News for Bén <b>"
    assert ben["List-Unsubscribe"] == "<https://a.test/u/2>"
    assert ben["List-Id"] == "<n.a.test>"
    text, page = (ben.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert page is not None
    assert text.get_content().strip() == "Dear Bén <b>"
    assert '<p style="color: red;">Dear Bén &lt;b&gt;</p>' in page.get_content()
    assert [part.get_filename() for part in ben.iter_attachments()] == ["paper.pdf"]
    printed, complaints = desk.shell.read()
    assert printed.startswith("recipients  3  in ")
    assert complaints == ""


def test_the_text_is_made_of_the_html_if_there_is_none(desk: Desk) -> None:
    (desk.june / "body.txt").unlink()

    assert desk.merge() == 0
    text: Any = received(desk.shell.server)["ann@x.test"].get_body(("plain",))
    assert text.get_content().strip() == "Dear Ann"


def test_a_missing_subject_is_told(desk: Desk) -> None:
    (desk.june / "subject.txt").rename(desk.june / "subject")

    assert desk.merge("--dry-run", str(desk.shell.folder / "dry")) == 0
    assert desk.says() == [f"{desk.june} has no subject.txt, so the subject is (none)"]


def test_the_report_has_the_outcome_of_each_row(desk: Desk) -> None:
    server = desk.shell.serve(polite(replies={"ben@x.test": "550 5.1.1 who?"}))
    path = desk.shell.folder / "report.csv"

    assert desk.merge("--report", str(path), url=url_of(server)) == 69

    rows = sorted((row["row"], row["address"], row["result"], row["code"]) for row in report(path))
    assert rows == [
        ("2", "ann@x.test", "accepted", "250"),
        ("3", "ben@x.test", "refused", "550"),
        ("5", "cy@x.test", "accepted", "250"),
    ]


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


def test_a_dry_run_writes_the_first_three_and_sends_nothing(desk: Desk) -> None:
    desk.people.write_text(f"{PEOPLE}di@x.test,Di,4\n")
    folder = desk.shell.folder / "dry"

    assert desk.merge("--dry-run", str(folder), url=dead_url()) == 0

    files = [folder / f"row-{number}.eml" for number in (2, 3, 5)]
    assert sorted(folder.iterdir()) == files
    assert email.message_from_bytes(files[0].read_bytes())["To"] == "ann@x.test"
    assert not desk.journal.exists()
    said = desk.shell.read().out
    assert said.startswith("would send 4 emails; see ")
    assert said.endswith("; nothing was sent\n")


def test_rows_can_come_from_stdin(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PEOPLE.encode())))

    assert desk.merge("--rows", "-") == 0
    assert len(desk.shell.server.mails) == 3


@pytest.mark.parametrize(
    ("sender", "path", "author"),
    [
        ("bounces@a.test", "bounces@a.test", "News <me@a.test>"),
        ("<>", "", "News <me@a.test>"),
        ("me@a.test", "me@a.test", "News <me@a.test>"),
    ],
)
def test_bounces_may_go_elsewhere(desk: Desk, sender: str, path: str, author: str) -> None:
    assert desk.merge("--sender", sender) == 0

    assert {mail.sender for mail in desk.shell.server.mails} == {path}
    assert received(desk.shell.server)["ann@x.test"]["From"] == author


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


# What is wrong, before anything is sent


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        (
            "email,name\na@x.test,A\nb@@x.test,B\n",
            "people.csv, row 3, column email: invalid address 'b@@x.test': ",
        ),
        ("email,name\n,A\n", "people.csv, row 2, column email: invalid address '': "),
        (
            'email,name\n"a@x.test, b@x.test",A\n',
            "people.csv, row 2, column email: invalid address 'a@x.test, b@x.test': it is",
        ),
        (
            "email,nme\na@x.test,A\nb@x.test,B\n",
            "people.csv, row 2: subject.txt, line 1: 'name' is undefined (and 1 more rows)",
        ),
        ("email,name\na@x.test,A\x07\n", "people.csv, row 2: subject: "),
        ("email,name\na@x.test\n", "people.csv, row 2: has 1 cell, but there are 2 columns"),
    ],
)
def test_a_wrong_row_is_told_with_its_number_and_column(
    desk: Desk, people: str, expected: str
) -> None:
    desk.people.write_text(people)

    assert desk.merge() == 65

    first, *others = desk.says()
    assert first.removeprefix(f"{desk.people.parent}/").startswith(expected)
    assert others == ["nothing was sent"]
    assert desk.shell.server.sessions == []
    assert not desk.journal.exists()


def test_of_very_many_wrong_rows_the_first_are_told(desk: Desk) -> None:
    rows = "".join(f"bad{number},x\n" for number in range(1000))
    desk.people.write_text(f"email,name\n{rows}")

    assert desk.merge() == 65

    said = desk.says()
    assert len(said) == 22
    assert said[20].endswith("row 22: and other errors (and 979 more rows)")


def test_wrong_usage_is_one_line(desk: Desk) -> None:
    wrong = [
        (["--column", "mail"], 65, "people.csv has no column mail; --column is one of email, name"),
        (["--from", "nobody"], 64, "--from: "),
        (["--sender", "nobody"], 64, "--sender: "),
        (["--template", "none"], 66, "cannot read none: No such file or directory"),
        (
            ["--template", str(desk.june / "inline")],
            65,
            "has neither body.txt nor body.html",
        ),
        (["--rows", "none"], 66, "cannot read none: No such file or directory"),
        (["--journal", str(desk.people)], 65, "people.csv is no journal of pykka-smtp merge"),
        (["--journal", "/nowhere/x"], 73, "cannot write /nowhere/x: No such file or directory"),
        (["--report", str(desk.people)], 64, "would replace what is to be sent, or to whom"),
        (["--unsubscribe", "http://a.test/"], 65, "row 2: unsubscribe: "),
        (
            ["--unsubscribe", "https://a.test/{{ x }}"],
            65,
            "row 2: --unsubscribe, line 1: 'x'",
        ),
        (["--reply-to", "nobody"], 65, "row 2: "),
        (["--url", "nonsense://"], 64, "--url: "),
    ]
    for arguments, status, expected in wrong:
        assert desk.merge(*arguments, url=dead_url()) == status, arguments
        assert expected in desk.says()[0]
    assert not desk.journal.exists()


def test_without_a_journal_nothing_is_sent(desk: Desk) -> None:
    arguments = ("--template", str(desk.june), "--rows", str(desk.people), "--from", "me@a.test")

    assert send(*arguments, "--url", dead_url(), command="merge") == 64
    assert desk.says() == [
        "name a file with --journal, which notes what was sent; or use --dry-run"
    ]


def test_an_image_that_no_page_shows_is_told_before(desk: Desk) -> None:
    (desk.june / "inline" / "more.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    assert desk.merge() == 65
    assert "html does not embed more.png" in desk.says()[0]


def test_a_template_may_not_read_what_is_not_in_its_folder(desk: Desk) -> None:
    (desk.june / "body.txt").write_text("{% include '../people.csv' %}")

    assert desk.merge() == 65
    assert "body.txt, line 1: includes ../people.csv: is not in the folder" in desk.says()[0]


def test_the_missing_extra_is_told(desk: Desk) -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from pykka_smtp.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = python(
        *("-c", code, "merge", "--template", str(desk.june), "--rows", str(desk.people)),
        *("--from", "me@a.test", "--dry-run", str(desk.shell.folder)),
    )

    assert done.returncode == 69
    assert done.stderr == (
        "pykka-smtp merge: a Template needs jinja2: pip install 'pykka-smtp[templates]'\n"
    )


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
