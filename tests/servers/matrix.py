"""Which servers a plain run tests with, and which only one with ``pytest -m servers``."""

from collections.abc import Container, Iterable
from typing import Any

import pytest

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
