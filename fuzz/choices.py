"""Choices made by octets: what turns a fuzzer's input into something with a structure."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Reads choices from octets, in order.

    When the octets are used up, each choice is the first one. So the first choice should be the
    harmless one: the empty input is then the plain case, and each octet deviates from it.

    Args:
        data: a fuzzer's input.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_used_up(self) -> bool:
        """Whether no octet is left."""
        return self._at >= len(self._data)

    def below(self, limit: int) -> int:
        """Choose a number from 0 up to, but not including, the limit; 65536 at most."""
        number = self._octet()
        if limit > 256:
            number = number << 8 | self._octet()
        return number % limit

    def pick(self, options: Sequence[T]) -> T:
        """Choose one of several."""
        return options[self.below(len(options))]

    def one_in(self, count: int) -> bool:
        """Choose yes in one of so many cases; no when the octets are used up."""
        return self.below(count) == count - 1

    def octets(self, most: int) -> bytes:
        """Choose some octets, as they stand in the input."""
        length = self.below(most + 1)
        piece = self._data[self._at : self._at + length]
        self._at += length
        return piece

    def rest(self) -> bytes:
        """Take all that is left."""
        piece = self._data[self._at :]
        self._at = len(self._data)
        return piece

    def cut(self, data: bytes, most: int = 4) -> list[bytes]:
        """Cut octets into pieces, none of them empty.

        Args:
            data: what to cut.
            most: how many cuts at most.
        """
        places = {self.below(len(data)) for _ in range(self.below(most + 1))} if data else set()
        edges = [0, *sorted(places - {0}), len(data)]
        return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]

    def _octet(self) -> int:
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1]
