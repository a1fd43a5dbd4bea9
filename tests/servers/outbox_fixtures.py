"""Fixtures for the tests of the Outbox."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.outboxes import Outboxes


@pytest.fixture
def outboxes(tmp_path: Path) -> Iterator[Outboxes]:
    """Start outboxes on one file; they are stopped at the end."""
    with Outboxes(tmp_path) as made:
        yield made
