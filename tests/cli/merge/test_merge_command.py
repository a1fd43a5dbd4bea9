"""``pykka-smtp merge``: what each row gets, what is checked before, and what is reported."""

import email
import io
import sys
from typing import Any

import pytest
from servers.merging import PEOPLE, Desk, received, report
from servers.python import python
from servers.sending import dead_url, url_of

from pykka_smtp.testing.polite import polite


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


@pytest.mark.parametrize(("more", "count"), [((), 3), (("--quiet",), 0)])
def test_a_check_that_takes_long_tells_how_far_it_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], count: int
) -> None:
    monkeypatch.setattr("pykka_smtp.cli.merge.plan._OFTEN", 0.0)
    rows = "".join(f"u{number}@x.test,x,1\n" for number in range(399))
    desk.people.write_text(f"email,name,token\n{rows}")

    assert desk.merge("--dry-run", str(desk.shell.folder / "dry"), *more) == 0
    said = desk.says()
    assert said == [f"{n}00 rows checked, and nothing sent yet" for n in range(1, count + 1)]


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


def test_an_image_that_no_page_shows_is_told_before(desk: Desk) -> None:
    (desk.june / "inline" / "more.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    assert desk.merge() == 65
    assert "html does not embed more.png" in desk.says()[0]


def test_a_template_may_not_read_what_is_not_in_its_folder(desk: Desk) -> None:
    (desk.june / "body.txt").write_text("{% include '../people.csv' %}")

    assert desk.merge() == 65
    assert "body.txt, line 1: includes ../people.csv: is not in the folder" in desk.says()[0]


def test_a_full_disk_for_the_copy_of_the_rows_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pykka_smtp.cli.merge.rows.Table._keep", fail)

    assert desk.merge() == 74
    assert desk.says() == ["no room to keep the rows: [Errno 28] No space left on device"]


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
