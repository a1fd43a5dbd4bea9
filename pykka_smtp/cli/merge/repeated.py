"""Rows with the same address: each gets its email, and is told, unless ``--unique`` is given."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...signals.protecting.protection import key_of_address

_MOST_TOLD = 20
"""Addresses that are told; the others are counted."""
_MOST_ROWS = 5
"""Rows of one address that are told."""


@dataclass(frozen=True, slots=True)
class Group:
    """An address that several rows have.

    Attributes:
        address: as the first of them has it.
        numbers: of the rows, at least two.
    """

    address: str
    numbers: Sequence[int]

    def in_words(self) -> str:
        """Return the address and its rows."""
        first = [str(number) for number in self.numbers[:_MOST_ROWS]]
        left = len(self.numbers) - len(first)
        last = f"{left} more" if left else first.pop()
        return f"{self.address} is in the rows {', '.join(first)} and {last}"


class Addresses:
    """Finds addresses that come more than once, in little memory. Case does not count."""

    def __init__(self) -> None:
        self._seen: set[int] = set()  # hashes only: there may be a million
        self._again: set[int] = set()

    def add(self, address: str) -> None:
        """Note the address of a row."""
        mark = hash(key_of_address(address))
        (self._again if mark in self._seen else self._seen).add(mark)

    def groups(self, rows: Iterable[tuple[int, str]]) -> list[Group]:
        """Return the addresses that come more than once.

        Args:
            rows: number and address of the rows that were noted, once more.
        """
        if not self._again:
            return []
        found: dict[str, tuple[str, list[int]]] = {}
        for number, address in rows:
            key = key_of_address(address)
            if hash(key) in self._again:
                found.setdefault(key, (address, []))[1].append(number)
        return [Group(*each) for each in found.values() if len(each[1]) > 1]


def warnings_of(groups: Sequence[Group], name: str, *, is_unique: bool) -> Iterator[str]:
    """Yield what to tell the user of rows with the same address.

    Args:
        groups: the addresses.
        name: of the file with the rows.
        is_unique: whether only one of them gets the email.
    """
    what = "one of them gets the email" if is_unique else "each gets an email (see --unique)"
    for group in groups[:_MOST_TOLD]:
        yield f"{name}: {group.in_words()}; {what}"
    if len(groups) > _MOST_TOLD:
        yield f"{name}: {len(groups) - _MOST_TOLD} more addresses are in several rows; {what}"


def left_out(groups: Iterable[Group], rank: Callable[[int], int]) -> dict[int, int]:
    """Return the rows that get no email, each with the one that stands for it.

    Args:
        groups: the addresses.
        rank: of a row by its number; the first with the least stands for all, and those with
            rank 0 have it already.
    """
    found: dict[int, int] = {}
    for group in groups:
        kept = min(group.numbers, key=rank)
        found |= {number: kept for number in group.numbers if number != kept and rank(number)}
    return found
