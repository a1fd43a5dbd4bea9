"""Backends for the servers of a test."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def backend() -> Iterator[Any]:
    """Make backends for a server; their Mailers are stopped after the test."""
    from with_django.rig import EmailBackend, stop_mailers

    def make(server: Any = None, **options: Any) -> Any:
        if server is not None:
            options |= {"host": server.host, "port": server.port}
        return EmailBackend(**options)

    yield make
    assert stop_mailers(15)
