"""A frozen dataclass that is quick to make is as frozen as any other."""

import copy
import inspect
import pickle
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from itertools import count

import pytest

from pykka_smtp.smtp.words.quick_frozen import quick_frozen

_numbers: Iterator[int] = count(1)


@quick_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """What the tests make."""

    name: str
    size: int = 3
    number: int = field(default_factory=lambda: next(_numbers), repr=False)
    made: str = field(init=False)

    def __post_init__(self) -> None:
        with pytest.raises(FrozenInstanceError):
            self.size = 4  # type: ignore[misc]
        if self.size < 0:
            raise ValueError("size: is negative")
        object.__setattr__(self, "made", f"{self.name}, {self.size}")


class Sub(Quick):
    """Has a dictionary, so its objects cannot be of another class for a moment."""


@pytest.mark.parametrize("kind", [Quick, Sub])
def test_it_is_made_like_any_dataclass_and_frozen(kind: type[Quick]) -> None:
    made = kind(name="one")

    assert type(made) is kind
    assert (made.name, made.size, made.made) == ("one", 3, "one, 3")
    assert kind(name="two").number == made.number + 1
    with pytest.raises(FrozenInstanceError):
        made.size = 4  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del made.size
    assert made.size == 3


def test_it_is_copied_replaced_and_pickled_as_it_was() -> None:
    made = Quick(name="one", size=5)

    assert replace(made, size=6, number=made.number).made == "one, 6"
    for other in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):  # noqa: S301
        assert other == made
        assert type(other) is Quick
    assert [f.name for f in fields(made)] == ["name", "size", "number", "made"]
    assert repr(made) == "Quick(name='one', size=5, made='one, 5')"


def test_it_refuses_arguments_in_the_words_of_any_dataclass() -> None:
    with pytest.raises(TypeError, match=r"^Quick\.__init__\(\) missing 1 .*'name'"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Quick\.__init__\(\) got an unexpected .* 'sise'"):
        Quick(name="one", sise=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Quick\.__init__\(\) takes 1 positional argument"):
        Quick("one")  # type: ignore[call-arg]
    assert list(inspect.signature(Quick).parameters) == ["name", "size", "number"]


def test_one_that_is_refused_is_frozen_too() -> None:
    with pytest.raises(ValueError, match="negative") as caught:
        Quick(name="one", size=-1)

    [half_made] = [
        entry.frame.f_locals["self"] for entry in caught.traceback if entry.name == "__post_init__"
    ]
    assert type(half_made) is Quick
    with pytest.raises(FrozenInstanceError):
        setattr(half_made, "size", 1)  # noqa: B010 - type checkers know that it is frozen
