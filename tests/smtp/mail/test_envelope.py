"""Envelopes: valid once they exist."""

import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykka_smtp.smtp.mail.domain import AddressError
from pykka_smtp.smtp.mail.envelope import MAX_RECIPIENTS, Envelope


def test_one_address_makes_one_recipient() -> None:
    envelope = Envelope.of("me@example.com", "you@example.org")
    assert envelope.reverse_path == "me@example.com"
    assert envelope.forward_paths == ("you@example.org",)


@pytest.mark.parametrize(
    "make", [list, tuple, iter, dict.fromkeys, lambda paths: (p for p in paths)]
)
def test_recipients_may_come_from_anything_that_is_iterable(
    make: Callable[[list[str]], Iterable[str]],
) -> None:
    envelope = Envelope.of("me@example.com", make(["b@example.org", "a@example.org"]))
    assert envelope.forward_paths == ("b@example.org", "a@example.org")


def test_exact_duplicates_are_coalesced_and_the_order_stays() -> None:
    envelope = Envelope.of("me@x.example", ["b@y", "a@y", "b@y", "A@y", "a@Y", "a@y"])
    assert envelope.forward_paths == ("b@y", "a@y", "A@y", "a@Y")


def test_the_null_reverse_path_is_the_empty_string_inside() -> None:
    envelope = Envelope.of("<>", "you@example.org")
    assert envelope.reverse_path == ""
    assert f"MAIL FROM:<{envelope.reverse_path}>" == "MAIL FROM:<>"
    assert envelope == Envelope(reverse_path="", forward_paths=("you@example.org",))


def test_an_empty_sender_is_refused_with_a_hint() -> None:
    with pytest.raises(AddressError, match=r'sender: .* written "<>"'):
        Envelope.of("", "you@example.org")


def test_postmaster_is_a_recipient_without_a_domain() -> None:
    assert Envelope.of("me@x.example", "Postmaster").forward_paths == ("Postmaster",)


@pytest.mark.parametrize("none", [[], (), iter(())])
def test_no_recipients_are_refused(none: Iterable[str]) -> None:
    with pytest.raises(ValueError, match="there are no recipients; give at least one"):
        Envelope.of("me@x.example", none)


def test_a_hundred_thousand_recipients_are_taken() -> None:
    envelope = Envelope.of("me@x.example", (f"r{n}@y.example" for n in range(MAX_RECIPIENTS)))
    assert len(envelope.forward_paths) == MAX_RECIPIENTS == 100_000


def test_more_recipients_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 100000 recipients; send to them in several"):
        Envelope.of("me@x.example", ["you@y.example"] * (MAX_RECIPIENTS + 1))


def test_an_endless_iterator_is_not_read_to_its_end() -> None:
    endless = itertools.count()
    with pytest.raises(ValueError, match="more than 100000 recipients"):
        Envelope.of("me@x.example", (f"r{n}@y.example" for n in endless))
    assert next(endless) == MAX_RECIPIENTS + 1


@pytest.mark.parametrize(
    "value",
    [None, 5, b"you@y.example", bytearray(b"a@b"), memoryview(b"a@b")],
    ids=lambda value: type(value).__name__,
)
def test_recipients_of_another_type_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"recipients must be .*, not {type(value).__name__}$"):
        Envelope.of("me@x.example", value)


@pytest.mark.parametrize("value", [None, b"you@y.example", 5, ["you@y.example"]], ids=repr)
def test_an_element_that_is_not_a_str_is_rejected_with_its_position(value: Any) -> None:
    name = type(value).__name__
    with pytest.raises(TypeError, match=rf"^recipients\[2\]: .* must be a str, not {name}$"):
        Envelope.of("me@x.example", ["a@y", "b@y", value])


@pytest.mark.parametrize("value", [None, b"me@x.example", ["me@x.example"]], ids=repr)
def test_a_sender_that_is_not_a_str_is_rejected(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^sender: .* must be a str, not"):
        Envelope.of(value, "you@y.example")


def test_an_invalid_recipient_is_refused_with_its_position_and_the_reason() -> None:
    with pytest.raises(AddressError, match=r"^recipients\[1\]: invalid address 'b': it has no"):
        Envelope.of("me@x.example", ["a@y", "b"])


def test_an_invalid_sender_is_refused_with_the_reason() -> None:
    with pytest.raises(AddressError, match=r"^sender: invalid address 'a b@c': "):
        Envelope.of("a b@c", "you@y.example")


@pytest.mark.parametrize("text", ["a@y,b@y", "a@y, b@y", "a@y;b@y"])
def test_a_list_in_one_string_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(AddressError, match="pass several recipients as a list"):
        Envelope.of("me@x.example", text)


def test_the_null_reverse_path_is_not_a_recipient() -> None:
    with pytest.raises(AddressError, match=r"recipients\[0\]"):
        Envelope.of("me@x.example", "<>")


def test_an_error_of_the_callers_iterator_is_passed_on() -> None:
    def broken() -> Iterator[str]:
        yield "a@y"
        raise TypeError("a defect of the caller's")

    with pytest.raises(TypeError, match="a defect of the caller's"):
        Envelope.of("me@x.example", broken())


def test_the_constructor_checks_as_well() -> None:
    with pytest.raises(AddressError, match=r"recipients\[0\]: .*control character"):
        Envelope(reverse_path="a@b", forward_paths=("c@d\r\nDATA",))
    with pytest.raises(AddressError, match=r"sender: .*control character"):
        Envelope(reverse_path="a@b\r\n", forward_paths=("c@d",))
    with pytest.raises(AddressError, match=r"sender: .*without angle brackets"):
        Envelope(reverse_path="<>", forward_paths=("c@d",))
    with pytest.raises(ValueError, match="there are no recipients"):
        Envelope(reverse_path="a@b", forward_paths=())


def test_the_constructor_makes_a_tuple_of_a_list_and_refuses_a_str() -> None:
    paths: Any = ["c@d", "c@d"]
    lone: Any = "c@d"
    assert Envelope(reverse_path="a@b", forward_paths=paths).forward_paths == ("c@d",)
    with pytest.raises(TypeError, match="recipients must be"):
        Envelope(reverse_path="a@b", forward_paths=lone)


def test_an_envelope_is_frozen_hashable_and_can_be_pickled() -> None:
    envelope = Envelope.of("a@b", ["c@d", "é@f"])
    with pytest.raises(FrozenInstanceError):
        envelope.reverse_path = "evil@x"  # type: ignore[misc]
    assert len({envelope, pickle.loads(pickle.dumps(envelope))}) == 1  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("sender", "recipients", "needed"),
    [
        ("a@b", ["c@d", "postmaster"], False),
        ("<>", ["c@bücher.example"], False),
        ("a@bücher.example", ["c@d"], False),
        ("é@b", ["c@d"], True),
        ("<>", ["c@d", "é@f"], True),
    ],
)
def test_smtputf8_is_needed_when_one_local_part_is_not_ascii(
    sender: str, recipients: list[str], needed: bool
) -> None:
    assert Envelope.of(sender, recipients).needs_smtputf8 is needed


@given(st.lists(st.integers(0, 9).map("r{}@y.example".format), min_size=1, max_size=40))
def test_forward_paths_are_the_recipients_once_each_in_order_of_first_mention(
    recipients: list[str],
) -> None:
    paths = Envelope.of("me@x.example", recipients).forward_paths
    assert sorted(set(recipients), key=recipients.index) == list(paths)


def test_what_was_checked_is_what_is_kept_whatever_the_tuple_says_next() -> None:
    class Fickle(tuple[str, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[str]:
            return iter(("evil@x.test> SIZE=1",))

    envelope = Envelope.of("s@t.test", Fickle(("a@b.test",)))

    assert list(envelope.forward_paths) == ["a@b.test"]


def test_an_envelope_comes_apart_into_those_together_and_each_other_alone() -> None:
    envelope = Envelope.of("a@b.test", ["c@d.test", "e@f.test", "g@h.test", "i@j.test"])

    def paths(together: set[str]) -> list[tuple[str, ...]]:
        return [part.forward_paths for part in envelope.apart(together)]

    assert paths({"g@h.test", "c@d.test", "other@x.test"}) == [
        ("c@d.test", "g@h.test"),
        ("e@f.test",),
        ("i@j.test",),
    ]
    assert paths(set()) == [("c@d.test",), ("e@f.test",), ("g@h.test",), ("i@j.test",)]
    assert paths(set(envelope.forward_paths)) == [envelope.forward_paths]
    assert {part.reverse_path for part in envelope.apart(set())} == {"a@b.test"}
