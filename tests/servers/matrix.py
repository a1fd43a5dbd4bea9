"""Which servers a plain run tests with, and which only one with ``pytest -m servers``."""

import re
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, Protocol

import pytest

from pykka_smtp.testing.talk.ledger import ReceivedMail

from .leftovers import Leftovers

PLAIN = frozenset({"aiosmtpd", "aiosmtpd as LMTP", "smtp-sink"})
"""Those that start in no time."""


def each(names: Iterable[str], *more: Any, plain: Container[str] = PLAIN) -> list[Any]:
    """Give the parameter sets of a test that runs with each of these servers.

    Args:
        names: the servers; a test's parameter, and its id.
        more: further parameters, the same for each server; they come in a tuple with the name.
        plain: those of a plain run; the others get the marker ``servers``.
    """
    return [
        pytest.param(
            (name, *more) if more else name,
            id=name,
            marks=() if name in plain else pytest.mark.servers,
        )
        for name in names
    ]


class Server(Protocol):
    """A server that stores what comes."""

    host: str
    port: int

    @property
    def mails(self) -> tuple[ReceivedMail, ...]: ...
    def wait_for(self, predicate: Callable[[], object], timeout: float = ...) -> None: ...


def normal(data: bytes) -> bytes:
    """The data with CRLF at the end of each line, the last one included."""
    text = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return text if text.endswith(b"\r\n") else text + b"\r\n"


@pytest.fixture(scope="module", autouse=True, name="nothing_left_behind")
def left_behind_by_none() -> Iterator[None]:
    """Look after all tests of a module: a server may keep what it delivers by open."""
    before = Leftovers()
    yield
    assert before.complaints() == []
