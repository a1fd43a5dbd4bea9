"""The pytest plugin of pykka-smtp: the fixture `smtp_outbox`, and the option ``--smtp-forbid``.

It lies beside the package, and imports it when a test wants the fixture: a module of the package
would have all of it imported at the start of every run, before pytest-cov counts.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pykka_smtp.testing import RecordedMails

_VARIABLE = "PYKKA_SMTP_URL_ALL"
_PATIENCE = 5.0
"""Seconds until actors and threads must be gone after a test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option, and the line of a configuration file that is the same."""
    text = "pykka-smtp sends no email in this run, but for what smtp_outbox records"
    parser.getgroup("pykka-smtp").addoption("--smtp-forbid", action="store_true", help=text)
    parser.addini("smtp_forbid", type="bool", default=False, help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Forbid sends, in this process and those that it starts."""
    if config.getoption("smtp_forbid") or config.getini("smtp_forbid"):
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = "refuse:"
        config.add_cleanup(lambda: _set_back(before))


def _set_back(before: str | None) -> None:
    if before is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = before


@pytest.fixture
def smtp_outbox() -> "Iterator[RecordedMails]":
    """Record the emails of this test instead of sending them; see `RecordedMails`.

    After the test, the actors that were started in it are stopped, and their threads have ended.
    """
    from pykka_smtp.testing import record_mails
    from pykka_smtp.testing.recorded import sends

    before = sends.alive()
    try:
        with record_mails() as outbox:
            yield outbox
    finally:
        sends.end_all(_PATIENCE, but=before)
