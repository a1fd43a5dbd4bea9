"""The CSV file of ``pykka-smtp merge``: what is read as it is meant, and what is wrong where."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.cli.merge import rows
from pykka_smtp.cli.merge.rows import BadRowsError, Table


def table(text: str | bytes) -> Table:
    return Table(io.BytesIO(text.encode() if isinstance(text, str) else text), "people.csv")


def cells(text: str | bytes) -> list[tuple[int, dict[str, str]]]:
    with table(text) as made:
        return [(row.number, row.cells) for row in made]


def flaw(text: str | bytes) -> str:
    with pytest.raises(BadRowsError) as raised:
        cells(text)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_what_spreadsheets_write_is_read(separator: str, end: str, start: str) -> None:
    lines: tuple[list[str], ...] = (
        ["email", " name "],
        ["a@x.test", '"Ann ""A"" B"'],
        [],
        ["b@x.test", '"one\ntwo"'],
    )

    found = cells(start + end.join(separator.join(line) for line in lines))

    assert found == [
        (2, {"email": "a@x.test", "name": 'Ann "A" B'}),
        (4, {"email": "b@x.test", "name": "one\ntwo"}),
    ]


def test_a_separator_within_quotes_is_none() -> None:
    assert cells('a;"b, c, d"\n1;2') == [(2, {"a": "1", "b, c, d": "2"})]


def test_rows_without_text_are_left_out_and_counted() -> None:
    assert [number for number, _ in cells("a,b\n,\n\n1,2\n,\n3,4")] == [4, 6]


def test_a_table_is_read_again_and_again() -> None:
    with table("a\n1\n2\n") as made:
        assert [row.cells["a"] for row in made] == [row.cells["a"] for row in made] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "people.csv: the first row names no columns"),
        ("\n\na,b", "people.csv: the first row names no columns"),
        ("a,,b\n", "people.csv, row 1: column 2 has no name"),
        ("a,b,a\n", "people.csv, row 1: two columns are named 'a'"),
        ("a,b\n1,2\n\n1\n", "people.csv, row 4: has 1 cell, but there are 2 columns"),
        ("a,b\n1,2,3\n", "people.csv, row 2: has 3 cells, but there are 2 columns"),
        ('a,b\n1,"2"3\n', "people.csv, row 2: ',' expected after '\"'"),
        ('a,b\n1,2\n"1,2\n', "people.csv, row 3: a quote that is opened here is never closed"),
        (
            "a,b\r1,2\r",
            "people.csv, row 1: a line ends in CR alone, as on old Macs; save it with LF",
        ),
        (
            b"PK\x03\x04\x14\x00",
            "people.csv is a spreadsheet, or another ZIP file; save it as CSV in UTF-8",
        ),
        (b"\xd0\xcf\x11\xe0\xa1", "people.csv is a spreadsheet; save it as CSV in UTF-8"),
        (b"a,b\n1,2\nGr\xfc\xdfe,2", "people.csv, line 3: not UTF-8; save it as CSV in UTF-8"),
        ("a,b".encode("utf-16"), "people.csv is UTF-16; save it as CSV in UTF-8"),
    ],
)
def test_a_wrong_table_is_told_with_its_row(text: str | bytes, expected: str) -> None:
    assert flaw(text) == expected


def test_an_endless_line_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_LINE", 100)

    assert flaw("a\n" + "x" * 101) == "people.csv, line 2: longer than 100 octets"


def test_a_huge_cell_is_told_with_its_row() -> None:
    assert flaw("a\n" + "x" * 200_000).endswith(
        "csv, row 2: a cell has more than 131072 characters"
    )


@given(st.binary())
def test_any_octets_are_rows_or_one_clear_line(octets: bytes) -> None:
    try:
        found = cells(octets)
    except BadRowsError as error:
        found, said = [], str(error)
    else:
        said = "people.csv"

    assert said.startswith("people.csv")
    assert all(any(row.values()) for _, row in found)
