"""What an error shows of a value, and values without the methods of a subclass."""

from enum import IntEnum, StrEnum
from typing import Any

import pytest

from pykka_smtp.smtp.words.plain import plain_int, plain_str
from pykka_smtp.smtp.words.shown import MAX_SHOWN, shown


def kind(value: object) -> str:
    """Name a case; pytest would write the numbers out."""
    return type(value).__name__


class Raising:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Unhashable(str):
    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\r\nb", r"'a\r\nb'"),
        ("ä\ud800", r"'\xe4\ud800'"),
        (Loud("a"), "'a'"),
        (12, "12"),
        (-3, "-3"),
        (True, "True"),
        (1.5, "1.5"),
        (float("inf"), "inf"),
        (None, "None"),
        (b"\xff", r"b'\xff'"),
        (10**5000, "a number of about 5001 digits"),
        (-(10**5000), "a number of about 5001 digits"),
        ((10**5000,), "<tuple>"),
        (Raising(), "<Raising>"),
    ],
    ids=kind,
)
def test_a_value_is_shown_in_one_plain_line(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    "value", ["x" * 10**6, "\n" * 100, 10**400, [0] * 1000, b"x" * 1000], ids=kind
)
def test_of_a_long_value_no_more_is_shown_than_a_line_holds(value: object) -> None:
    assert len(shown(value)) == MAX_SHOWN
    assert shown(value).endswith("...")
    assert len(shown(value, 10)) == 10


def test_a_plain_str_has_no_methods_of_a_subclass() -> None:
    class Colour(StrEnum):
        RED = "red"

    assert type(plain_str("x", Colour.RED)) is str
    assert plain_str("x", Loud("a")) == "a"


@pytest.mark.parametrize("value", [None, 3, b"a", Unhashable("a")])
def test_what_is_no_plain_str_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match=r"^x: needs a (plain )?str, not \w+$"):
        plain_str("x", value)


def test_a_plain_int_has_no_methods_of_a_subclass() -> None:
    class Port(IntEnum):
        SMTP = 25

    assert type(plain_int("x", Port.SMTP, 1, 30)) is int


@pytest.mark.parametrize("value", [True, 2.0, "2", None])
def test_what_is_no_int_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^x: needs an int, not \w+$"):
        plain_int("x", value, 1, 3)


@pytest.mark.parametrize("value", [0, 4, -(10**5000), 10**5000], ids=kind)
def test_an_int_out_of_range_is_a_value_error(value: int) -> None:
    with pytest.raises(ValueError, match=r"^x: needs 1 to 3, not [a-z0-9 ]{1,40}$"):
        plain_int("x", value, 1, 3)
