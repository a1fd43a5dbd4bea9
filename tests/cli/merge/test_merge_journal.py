"""The journal of ``pykka-smtp merge``: what it knows, whatever has ended the run before."""

import os
from pathlib import Path
from typing import Any

import pytest

from pykka_smtp.cli.merge.journal import Journal, JournalError, JournalInUseError
from pykka_smtp.cli.output.results import Row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "june.journal"


def opened(path: Path, digest: str = "d") -> Journal:
    return Journal(path, digest, "people.csv")


def row(result: Any = "accepted", *, retryable: bool = False) -> Row:
    return Row(address="a@x.test", result=result, retryable=retryable)


def states(journal: Journal) -> str:
    """Return a letter for each row: d for done, ? for doubtful, - for neither."""
    return "".join(
        "d" if journal.is_done(n) else "?" if journal.is_doubtful(n) else "-" for n in range(2, 8)
    )


def noted(path: Path) -> None:
    with opened(path) as journal:
        journal.begin([2, 3, 4, 5, 6])
        journal.end(2, row())
        journal.end(3, row("refused"))
        journal.end(4, row("failed", retryable=True))
        journal.end(5, row("maybe"))


def test_what_was_noted_is_known_afterwards(path: Path) -> None:
    noted(path)

    with opened(path) as journal:
        assert states(journal) == "dd-??-"
        assert [journal.is_refused(number) for number in range(2, 5)] == [False, True, False]
        assert [(number, found.result) for number, found in journal.results(bool)] == [
            (2, "accepted"),
            (3, "refused"),
        ]
        journal.begin([4])
        journal.end(4, row())
        journal.end(6, row("not sent", retryable=True))

    with opened(path) as journal:
        assert states(journal) == "ddd?--"
        assert [number for number, _ in journal.results(bool)] == [2, 3, 4]


def test_cut_anywhere_it_never_takes_a_row_for_unsent_that_was_submitted(path: Path) -> None:
    noted(path)
    octets = path.read_bytes()
    begun = octets.index(b"\n", octets.index(b"begun")) + 1

    for size in range(len(octets) + 1):
        path.write_bytes(octets[:size])
        with opened(path) as journal:
            found = states(journal)
            journal.begin([7])  # what comes next is a line of its own
        if size >= begun:
            assert found[:2].strip("d?") == ""
            assert found[3:] == "??-"
        with opened(path) as journal:
            assert states(journal) == f"{found[:5]}?"


def test_nothing_is_noted_before_it_is_in_the_file(path: Path) -> None:
    with opened(path) as journal:
        journal.begin([2])
        assert b"begun" in path.read_bytes()
        journal.end(2, row())
        assert b"accepted" in path.read_bytes()


@pytest.mark.parametrize(
    "text", [b"email,name\n", b"x", b"{}\n", b'{"journal": "other 1"}\n', b"\0\0\0\n"]
)
def test_another_file_is_no_journal_and_stays_as_it_is(path: Path, text: bytes) -> None:
    path.write_bytes(text)

    with pytest.raises(JournalError, match="is no journal"):
        opened(path)
    assert path.read_bytes() == text


def test_a_journal_of_other_rows_is_refused(path: Path) -> None:
    noted(path)

    with pytest.raises(JournalError, match=r"was begun with other rows than people\.csv has now"):
        opened(path, "another digest")


ROW = b'"address": "a@x.test", "result": "accepted", "retryable": false'


@pytest.mark.parametrize(
    "line",
    [
        *(b"x\n", b'{"row": 3}\n', b'{"begun": 3}\n', b"[]\n", b"[" * 100_000 + b"\n", b"\0\n"),
        *(b'{"begun": [%b]}\n' % number for number in (b"-1", b"99999999999", b"true", b"2.0")),
        *(b'{"row": %b, %b}\n' % (number, ROW) for number in (b"-1", b"1e9", b'"3"', b"null")),
        b'{"row": 3, "result": "accepted", "retryable": false}\n',
        b'{"row": 3, %b, "more": 1}\n' % ROW,
        b'{"row": 3, %b}\n' % ROW.replace(b'"accepted"', b'"sent"'),
        b'{"row": 3, %b}\n' % ROW.replace(b'"accepted"', b"[]"),
    ],
)
def test_a_damaged_journal_is_refused(path: Path, line: bytes) -> None:
    noted(path)
    with path.open("ab") as file:
        file.write(line + b'{"begun": [7]}\n')

    with pytest.raises(JournalError, match="is damaged"):
        opened(path)


@pytest.mark.parametrize("result", ["failed", "not sent"])
def test_what_has_failed_for_another_reason_is_to_be_sent(path: Path, result: str) -> None:
    with opened(path) as journal:
        journal.begin([2])
        journal.end(2, row(result))
        assert states(journal) == "------"

    with opened(path) as journal:
        assert states(journal) == "------"
        assert not list(journal.results(bool))


def test_a_row_that_was_refused_twice_and_then_accepted_has_one_result(path: Path) -> None:
    with opened(path) as journal:
        for result in ("refused", "refused"):
            journal.begin([2])
            journal.end(2, row(result))
        assert [found.result for _, found in journal.results(bool)] == ["refused"]
        journal.begin([2])
        journal.end(2, row())
        assert [found.result for _, found in journal.results(bool)] == ["accepted"]
        assert not list(journal.results(lambda number: number != 2))


def test_half_a_line_that_a_full_disk_has_left_spoils_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def write_half(file: int, octets: bytes) -> int:
        if len(octets) < 12:
            raise OSError(28, "No space left on device")
        return write(file, octets[: len(octets) // 2])

    with opened(path) as journal:
        journal.begin([2])
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", write_half)
            with pytest.raises(OSError, match="No space left"):
                journal.begin([3])
        journal.end(2, row())  # by now, there is room

    with opened(path) as journal:
        assert states(journal) == "d-----"


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be moved here")
@pytest.mark.parametrize("is_back", [False, True])
def test_a_journal_that_was_moved_meanwhile_lets_nothing_be_sent(path: Path, is_back: bool) -> None:
    with opened(path) as journal:
        journal.begin([2])
        path.rename(path.with_name("elsewhere"))
        if is_back:
            path.write_text("")
        with pytest.raises(OSError, match="it was moved or deleted"):
            journal.begin([3])
        journal.end(2, row())

    with opened(path.with_name("elsewhere")) as journal:
        assert states(journal) == "d-----"


@pytest.mark.parametrize("name", ["/dev/null", "pipe"])
def test_what_keeps_nothing_is_no_journal(tmp_path: Path, name: str) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(JournalError, match=r"is no regular file$"):
        opened(tmp_path / name)


def test_two_runs_do_not_share_a_journal(path: Path) -> None:
    pytest.importorskip("fcntl")
    with opened(path), pytest.raises(JournalInUseError, match="is in use by another run"):
        opened(path)
    with opened(path):
        pass


def test_only_its_owner_may_read_it(path: Path) -> None:
    with opened(path):
        assert os.name != "posix" or path.stat().st_mode & 0o077 == 0
